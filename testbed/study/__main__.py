"""Make runs of the study and the tables of all that are there: `python -m testbed.study self-11 golden-11`.

This is what `make study` calls. Without names it makes every run. Two of these may run in one clone at once:
what both need, one makes while the other waits. Each uses one thread, so that a run is the same on any number
of cores, and two use two cores.
"""

import argparse
import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from selfevolve.experiment.checkout import require_checkout
from selfevolve.experiment.pipeline import is_current, repro
from selfevolve.runtime.command import run
from selfevolve.runtime.ending import ending_whole
from selfevolve.runtime.errors import InputError
from testbed.study.parameters import BASE, STUDY, StudyParams, read_study
from testbed.study.tables import OUT, RUNS, make_tables, not_enough, read_runs

SHARED = ("prepare", "backbone")  # stages of the pipeline that all runs need
STAGE = "testbed/dvc.yaml:{kind}@{name}"
LOCKS = Path(".scratch/study")


def main() -> None:
    """Read the command line, make the runs and then the tables; however it ends, nothing is left running."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("runs", nargs="*", metavar="RUN", help=f"ARM-SEED, or {BASE}-SEED (default: all)")
    args = parser.parse_args()
    require_checkout()
    study = read_study(STUDY)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with ending_whole():
        make(by_seed(args.runs or list(study.runs), study))
    made = read_runs(RUNS, study)
    if too_few := not_enough(made):
        print(too_few)
    else:
        make_tables(made, study, RUNS, OUT)


def by_seed(names: Sequence[str], study: StudyParams) -> dict[int, list[str]]:
    """Return the arms' runs among these by seed, with the seeds of the bases; InputError for other names."""
    bases = {f"{BASE}-{seed}": seed for seed in study.seeds}
    found: dict[int, list[str]] = {}
    for name in dict.fromkeys(names):
        if name not in study.runs and name not in bases:
            message = f"there is no run {name}; there are {', '.join((*bases, *study.runs))}"
            raise InputError(message, file=STUDY, field="study.runs")
        seed = bases[name] if name in bases else study.runs[name].seed
        found.setdefault(seed, []).extend([] if name in bases else [name])
    return found


def make(runs: dict[int, list[str]]) -> None:
    """Make these runs, seed by seed, and before them what they need."""
    for seed, names in runs.items():
        base = STAGE.format(kind=BASE, name=seed)
        with _alone(f"{BASE}-{seed}"):
            if not is_current([base]):
                with _alone("what all runs share"):
                    if not is_current(SHARED):
                        repro(SHARED)
                repro([base], beside_others=True)
        if names:
            repro([STAGE.format(kind="arm", name=name) for name in names], beside_others=True)


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


if __name__ == "__main__":
    run(main)
