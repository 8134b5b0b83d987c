"""Bring runs up to date by DVC, seed by seed; two processes may do so in one clone at once."""

import fcntl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from selfevolve.experiment.pipeline import is_current, repro
from testbed.study.parameters import BASE

SHARED = ("prepare", "backbone")  # stages of the pipeline that all runs need
STAGE = "testbed/dvc.yaml:{kind}@{name}"
LOCKS = Path(".scratch/study")


def make(runs: Mapping[int, Sequence[str]], kind: str) -> None:
    """Make these runs, seed by seed, and before them what they need.

    Args:
        runs: their names by the seed of their base; of a seed without any, the base alone is made.
        kind: the stage that makes them.
    """
    for seed, names in runs.items():
        base = STAGE.format(kind=BASE, name=seed)
        with _alone(f"{BASE}-{seed}"):
            if not is_current([base]):
                with _alone("what all runs share"):
                    if not is_current(SHARED):
                        repro(SHARED)
                repro([base], beside_others=True)
        if names:
            repro([STAGE.format(kind=kind, name=name) for name in names], beside_others=True)


@contextmanager
def _alone(what: str) -> Iterator[None]:
    """Let one process at a time make something, so that a second one finds it made."""
    LOCKS.mkdir(parents=True, exist_ok=True)
    with (LOCKS / f"{what.replace(' ', '-')}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for {what}, which another process makes", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
