"""Engines in workers on a Ray cluster: what one process would write, in less time.

The workers plan and answer as the engine in them would do alone, and only this process writes the journal.
So the texts, and even the journal, are those of that engine: a stage begun on one machine may go on on a
cluster and the other way round.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from stages.engines.policy import read_policy
from stages.engines.ray_cluster import connected
from stages.engines.ray_pool import Pool
from stages.engines.ray_worker import Job, Opened, Worker, code_digest
from stages.engines.request import Request, Sampling
from stages.records.errors import InputError
from stages.records.schema import Response

# What a worker shares with the stage, where the stage has it: threads, and where models come from.
VARIABLES = ("OMP_NUM_THREADS", "TOKENIZERS_PARALLELISM", "HF_HUB_OFFLINE", "HF_HOME")


@contextmanager
def open_ray(
    policy: Path, worker: dict[str, Any], workers: int, cpus: float, gpus: float
) -> Iterator[RayEngine]:
    """Give an engine whose workers are on the cluster of RAY_ADDRESS, or on a local Ray.

    Args:
        policy: a policy folder; on every node it must stand at the same path.
        worker: the parameters of the engine in every worker.
        workers: how many there are to be; fewer work as well while the cluster has no room for more.
        cpus: CPUs a worker.
        gpus: GPUs a worker.

    Raises:
        InputError: the policy cannot be read, or as `connected`.
    """
    digest = read_policy(policy).digest
    job = Job(os.getcwd(), str(policy.absolute()), digest, code_digest(), worker)
    with connected(workers, cpus, gpus):
        import ray

        variables = {name: os.environ[name] for name in VARIABLES if name in os.environ}
        kind = ray.remote(Worker).options(
            num_cpus=cpus,
            num_gpus=gpus,
            max_restarts=0,
            max_task_retries=0,  # a lost batch goes to whoever is free: see ray_pool.py
            runtime_env={"env_vars": variables},
        )

        def hire() -> tuple[Any, Any]:
            actor = kind.remote()
            return actor, actor.open.remote(job)

        opened = RayEngine(workers, hire)
        with closing(opened):
            yield opened


class RayEngine:
    """Spreads the batches of an engine over workers; opened by `open_ray`."""

    def __init__(self, workers: int, hire: Any):
        """Take how many workers there may be and how to hire one (see Pool)."""
        self._pool = Pool(workers, hire, self._greet)
        self._first: Opened | None = None

    @property
    def model(self) -> str:
        """The model of the workers' engines; the first of them is waited for."""
        return self._facts().model

    def describe(self) -> dict[str, Any]:
        """Return the workers' own description: the texts are the same as theirs alone."""
        return self._facts().described

    def complete(
        self, requests: Sequence[Request], sampling: Sampling, done: Collection[str]
    ) -> Generator[list[Response], None, None]:
        """Yield the answers of every batch of the plan that is not wholly in `done`, as they come.

        Raises:
            InputError: as the engine in the workers, or a worker differs from the stage or the others.
        """
        if all(request.id in done for request in requests):
            return
        known = {request.id: request for request in requests}
        plan = self._one("plan", list(requests), sampling)
        calls = [
            ("answer", ([known[identity] for identity in batch], sampling))
            for batch in plan
            if not all(identity in done for identity in batch)
        ]
        with closing(self._pool.run(calls)) as answers:
            for _, responses in answers:
                yield responses

    def close(self) -> None:
        """End the workers."""
        self._pool.close()

    def _one(self, method: str, *arguments: Any) -> Any:
        ((_, value),) = self._pool.run([(method, arguments)])
        return value

    def _facts(self) -> Opened:
        if self._first is None:
            self._one("ready")
        assert self._first is not None  # a worker that answers has opened
        return self._first

    def _greet(self, opened: Opened) -> None:
        first = self._first = self._first or opened
        if (opened.model, opened.described) != (first.model, first.described):
            raise InputError(
                f"worker on {opened.node} would write other texts than the one on {first.node}:"
                f" {opened.model} {opened.described}, not {first.model} {first.described}"
            )
