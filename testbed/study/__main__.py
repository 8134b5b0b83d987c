"""Make runs of the study and the tables of all that are there: `python -m testbed.study self-11 golden-11`.

This is what `make study` calls. Without names it makes every run. Two of these may run in one clone at once:
what both need, one makes while the other waits. Each uses one thread, so that a run is the same on any number
of cores, and two use two cores.
"""

import argparse
import os
from collections.abc import Sequence

from selfevolve.experiment.checkout import require_checkout
from selfevolve.runtime.command import run
from selfevolve.runtime.ending import ending_whole
from selfevolve.runtime.errors import InputError
from testbed.study.making import make
from testbed.study.parameters import BASE, STUDY, StudyParams, read_study
from testbed.study.tables import OUT, RUNS, make_tables, not_enough, read_runs


def main() -> None:
    """Read the command line, make the runs and then the tables; however it ends, nothing is left running."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("runs", nargs="*", metavar="RUN", help=f"ARM-SEED, or {BASE}-SEED (default: all)")
    args = parser.parse_args()
    require_checkout()
    study = read_study(STUDY)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with ending_whole():
        make(by_seed(args.runs or list(study.runs), study), "arm")
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


if __name__ == "__main__":
    run(main)
