"""What runs in every worker on a cluster: an engine on the policy, checked to be the stage's own."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from stages.engines.load import open_engine
from stages.engines.policy import read_policy
from stages.engines.request import LocalEngine, Request, Sampling
from stages.records.errors import InputError
from stages.records.fingerprint import digest_file, digest_value
from stages.records.schema import Response


@dataclass(frozen=True)
class Job:
    """What a worker needs to know; every path means the same on every node."""

    folder: str
    """Where the stage runs, absolute."""
    policy: str
    """The policy's folder, absolute."""
    digest: str
    """The policy's digest, as the stage read it."""
    code: str
    """`code_digest()` where the stage runs."""
    engine: dict[str, Any]
    """The parameters of the engine."""


@dataclass(frozen=True)
class Opened:
    """What a worker says when its engine is open."""

    node: str
    model: str
    described: dict[str, Any]


class Worker:
    """One engine in a process of its own; its methods are called one at a time."""

    def __init__(self) -> None:
        """Do nothing that could fail: what fails here looks to Ray as if the process had died."""
        self._open = ExitStack()
        self._engine: LocalEngine

    def open(self, job: Job) -> Opened:
        """Open the engine, once.

        Raises:
            InputError: the folder, the code or the policy is not the stage's own, or the engine cannot be
                opened; the message names the node.
        """
        node = socket.gethostname()
        try:
            self._check(job)
            self._engine, _ = self._open.enter_context(open_engine(job.engine, Path(job.policy)))
        except InputError as error:
            raise InputError(f"worker on {node}: {error}") from None
        return Opened(node, self._engine.model, self._engine.describe())

    def ready(self) -> None:
        """Do nothing; who gets an answer knows that the engine is open."""

    def plan(self, requests: Sequence[Request], sampling: Sampling) -> list[list[str]]:
        """Return the ids of the engine's batches for these requests."""
        return [[request.id for request in batch] for batch in self._engine.batches(requests, sampling)]

    def answer(self, batch: Sequence[Request], sampling: Sampling) -> list[Response]:
        """Write one batch."""
        return self._engine.answer(batch, sampling)

    def close(self) -> None:
        """Put the engine away."""
        self._open.close()

    def _check(self, job: Job) -> None:
        try:
            os.chdir(job.folder)  # engines put work in progress below it
        except OSError:
            raise InputError("no such folder: every node needs the stage's", file=job.folder) from None
        if code_digest() != job.code:
            raise InputError("has other code, or another torch or transformers, than the stage")
        if read_policy(job.policy).digest != job.digest:
            raise InputError("is another policy than the stage's", file=job.policy)


def code_digest() -> str:
    """Return a digest of the code that writes texts: this folder, and the libraries under it."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    versions = [version("torch"), version("transformers")]
    return digest_value([versions, *([file.name, digest_file(file)] for file in files)])
