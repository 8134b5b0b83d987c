"""Engines in workers on a Ray cluster: what one process would write, in less time.

The workers plan and answer as the engine in them would do alone, and only this process writes the journal.
So the texts, and even the journal, are those of that engine: a stage begun on one machine may go on on a
cluster and the other way round.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from selfevolve.engines.ray.cluster import connected
from selfevolve.engines.ray.pool import Pool
from selfevolve.generation.engines import open_engine, read_engine
from selfevolve.generation.request import Engine, Request, Sampling
from selfevolve.policies.policy import read_policy
from selfevolve.policies.window import Window
from selfevolve.records.schema import Response
from selfevolve.runtime.digests import digest_file, digest_value
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.parameters import Params

# What a worker shares with the stage, where the stage has it: threads, and where models come from.
VARIABLES = ("OMP_NUM_THREADS", "TOKENIZERS_PARALLELISM", "HF_HUB_OFFLINE", "HF_HOME")
ROOMS = ("engines", "generation", "policies", "records", "runtime")  # whose code makes the texts


class Options(Params):
    """Section `engine` for `kind: ray`; `cpus` and `gpus` are those of each worker.

    Fewer workers do as well, while the cluster has no room for more.
    """

    kind: Literal["ray"]
    workers: int = Field(ge=1)
    cpus: float = Field(gt=0)
    gpus: float = Field(ge=0)
    worker: dict[str, Any]
    """The section `engine` for the engine in every worker."""


@contextmanager
def open(policy: Path, options: Options) -> Iterator[tuple[RayEngine, Window]]:
    """Give an engine whose workers are on the cluster of RAY_ADDRESS, or on a local Ray.

    On every node the policy's folder must stand at the same path.
    """
    read_engine(options.worker, "engine.worker", ("transformers", "server"))
    chain = read_policy(policy)
    job = Job(os.getcwd(), str(policy.absolute()), chain.digest, code_digest(), options.worker)
    with connected(options.workers, options.cpus, options.gpus):
        import ray

        variables = {name: os.environ[name] for name in VARIABLES if name in os.environ}
        kind = ray.remote(Worker).options(
            num_cpus=options.cpus,
            num_gpus=options.gpus,
            max_restarts=0,
            max_task_retries=0,  # a lost batch goes to whoever is free: see pool.py
            runtime_env={"env_vars": variables},
        )

        def hire() -> tuple[Any, Any]:
            actor = kind.remote()
            return actor, actor.open.remote(job)

        with closing(RayEngine(options.workers, hire)) as engine:
            yield engine, Window.of(chain)


class RayEngine:
    """Spreads the batches of an engine over workers; its model and settings are those of their engines."""

    def __init__(self, workers: int, hire: Any):
        """Take how many workers there may be and how to hire one (see Pool)."""
        self._pool = Pool(workers, hire, self._remember)
        self._first: Opened | None = None

    @cached_property
    def model(self) -> str:
        """The model of the workers' engines; the first of them is waited for."""
        return self._opened().model

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The workers' own settings: the texts are the same as theirs alone."""
        return self._opened().settings

    def plan(
        self, requests: Sequence[Request], sampling: Sampling, done: Collection[str] = ()
    ) -> list[list[Request]]:
        """Return the batches of a worker's engine that are not wholly done; InputError if one cannot open."""
        if all(request.id in done for request in requests):
            return []
        known = {request.id: request for request in requests}
        planned = self._one("plan", list(requests), sampling, set(done))
        return [[known[identity] for identity in batch] for batch in planned]

    def answer(
        self, batches: Sequence[Sequence[Request]], sampling: Sampling
    ) -> Generator[list[Response], None, None]:
        """Yield the answers of each batch as they come; raises as `plan`."""
        calls = [("answer", (list(batch), sampling)) for batch in batches]
        with closing(self._pool.run(calls)) as answers:
            for _, responses in answers:
                yield responses

    def stream(self, request: Request, sampling: Sampling) -> Generator[str, None, None]:
        """Yield the text of one request in one piece; raises as `plan`."""
        for responses in self.answer(self.plan([request], sampling), sampling):
            yield responses[0].text

    def close(self) -> None:
        """End the workers."""
        self._pool.close()

    def _one(self, method: str, *arguments: Any) -> Any:
        ((_, value),) = self._pool.run([(method, arguments)])
        return value

    def _opened(self) -> Opened:
        if self._first is None:
            self._one("ready")
        assert self._first is not None  # a worker that answers has opened
        return self._first

    def _remember(self, opened: Opened) -> None:
        self._first = opened  # all are alike: each has checked its job


@dataclass(frozen=True)
class Job:
    """What a worker needs to know, as the stage sees it: absolute paths, digests, the engine's parameters."""

    folder: str
    policy: str
    digest: str
    code: str
    engine: dict[str, Any]


@dataclass(frozen=True)
class Opened:
    """What a worker says when its engine is open."""

    model: str
    settings: dict[str, Any]


class Worker:
    """One engine in a process of its own; its methods are called one at a time."""

    def __init__(self) -> None:
        """Do nothing that could fail: what fails here looks to Ray as if the process had died."""
        self._stack = ExitStack()
        self._engine: Engine

    def open(self, job: Job) -> Opened:
        """Open the engine, once; an InputError names the node.

        The folder, the code and the policy must be the stage's own.
        """
        node = socket.gethostname()
        try:
            _check(job)
            self._engine, _ = self._stack.enter_context(open_engine(job.engine, Path(job.policy)))
        except InputError as error:
            raise InputError(f"worker on {node}: {error}") from None
        return Opened(self._engine.model, self._engine.settings)

    def ready(self) -> None:
        """Do nothing; who gets an answer knows that the engine is open."""

    def plan(self, requests: Sequence[Request], sampling: Sampling, done: set[str]) -> list[list[str]]:
        """Return the ids of the engine's batches for these requests."""
        return [[one.id for one in batch] for batch in self._engine.plan(requests, sampling, done)]

    def answer(self, batch: Sequence[Request], sampling: Sampling) -> list[Response]:
        """Write one batch."""
        return [response for some in self._engine.answer([batch], sampling) for response in some]

    def close(self) -> None:
        """Put the engine away."""
        self._stack.close()


def _check(job: Job) -> None:
    try:
        os.chdir(job.folder)  # engines put work in progress below it
    except OSError:
        raise InputError("no such folder: every node needs the stage's", file=job.folder) from None
    if code_digest() != job.code:
        raise InputError("has other code, or another torch or transformers, than the stage")
    if read_policy(job.policy).digest != job.digest:
        raise InputError("is another policy than the stage's", file=job.policy)


def code_digest() -> str:
    """Return a digest of the code that writes texts: rooms of this package, torch and transformers."""
    package = Path(__file__).resolve().parents[2]
    files = sorted(path for room in ROOMS for path in (package / room).rglob("*.py"))
    versions = [version("torch"), version("transformers")]
    return digest_value([versions, *([str(file.relative_to(package)), digest_file(file)] for file in files)])
