"""A Ray for the length of a stage: the cluster that RAY_ADDRESS names, or one of this machine alone."""

from __future__ import annotations

import math
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from selfevolve.runtime.errors import InputError

ADDRESS = "RAY_ADDRESS"
REACH_S = 10.0  # for a cluster to take a connection
STORE_BYTES = 100_000_000
"""Shared memory of a local Ray, which would reserve 30 % of the machine. What does not fit goes to disk."""


@contextmanager
def connected(workers: int, cpus: float, gpus: float) -> Iterator[None]:
    """Connect this process to a Ray, and disconnect at the end; a Ray that was started here ends with it.

    A local Ray listens on loopback only and takes orders only from who knows its token, which nobody but
    this process and its children does. It ends when this process is killed, too: its main processes and the
    workers at once, two agents of it when they have looked for its head for a minute.

    Raises:
        InputError: no Ray answers at RAY_ADDRESS or it is of another version; or there is no such variable
            and this machine has not as many GPUs as all workers need.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if address := os.environ.get(ADDRESS, ""):
        _check_address(address)
        with _closing(address=address):
            yield
        return
    os.environ |= {
        # Ray binds to every interface unless it is told, before it is imported, that this is no cluster.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_worker_niceness": "0",  # what workers do is the stage's own work, no other's background
    }
    # The names of Ray's sockets may have 107 bytes, too few for many a project's own folder.
    folder = tempfile.mkdtemp(prefix="ray-")
    try:
        with _closing(
            address="local",
            num_cpus=math.ceil(workers * cpus),
            include_dashboard=False,
            object_store_memory=STORE_BYTES,
            _temp_dir=folder,
        ):
            import ray

            if (needed := workers * gpus) > (there := ray.cluster_resources().get("GPU", 0.0)):
                message = f"the workers need {needed:g}, this machine has {there:g}"
                raise InputError(message, field="engine.gpus")
            yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _check_address(address: str) -> None:
    """Raise InputError where nobody listens: Ray itself would try for longer than anybody waits."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host:  # "auto" and the like, that Ray finds or does not
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACH_S).close()
    except (OSError, ValueError) as error:
        raise InputError(f"no Ray to work with at {address}: {error}", field=ADDRESS) from None


@contextmanager
def _closing(address: str, **options: object) -> Iterator[None]:
    import ray

    try:
        ray.init(address=address, log_to_driver=False, logging_level="error", **options)
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"no Ray to work with at {address}: {error}", field=ADDRESS) from None
    try:
        yield
    finally:
        ray.shutdown()
