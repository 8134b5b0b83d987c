"""A Ray cluster of several nodes on loopback, whose nodes and workers can be taken away."""

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil

# Read when ray is imported: without it every node listens on all interfaces.
os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
# Else Ray puts a token into the home folder.
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
os.environ.setdefault("RAY_worker_niceness", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")


class Nodes:
    """A head that runs no workers, and nodes with one CPU each: room for one worker a node."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **self._small()})
        self.nodes: list[Any] = []

    @property
    def address(self) -> str:
        return self.cluster.address

    def add(self) -> None:
        self.nodes.append(self.cluster.add_node(num_cpus=1, **self._small()))

    def remove(self) -> None:
        """Take the oldest node away as a power cut would."""
        self.cluster.remove_node(self.nodes.pop(0), allow_graceful=False)

    def workers(self) -> list[psutil.Process]:
        """The processes of the workers that answer just now."""
        found = []
        for node in self.nodes:
            raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
            found += [p for p in raylet.children() if "Worker.answer" in " ".join(p.cmdline())]
        return found

    def kill_a_worker(self) -> None:
        """SIGKILL a worker while it answers."""
        deadline = time.monotonic() + 30
        while not (found := self.workers()):
            assert time.monotonic() < deadline, "no worker answers"
            time.sleep(0.005)
        found[0].kill()

    @staticmethod
    def _small() -> dict[str, Any]:
        return {"object_store_memory": 80_000_000, "include_dashboard": False}


@contextmanager
def two_nodes() -> Iterator[Nodes]:
    """Give a head and two nodes; whatever is left of them is taken down at the end."""
    nodes = Nodes()
    try:
        nodes.add()
        nodes.add()
        yield nodes
    finally:
        nodes.cluster.shutdown()
