"""Make runs of the evolution, and the tables of all that are there: `python -m testbed.evolution fresh-11`.

This is what `make evolution` calls. Without names it makes every run. Like those of the study (`make study`),
two of these may run in one clone at once, and each uses one thread.
"""

import argparse
import os
from collections.abc import Sequence

from selfevolve.experiment.checkout import require_checkout
from selfevolve.runtime.command import run
from selfevolve.runtime.ending import ending_whole
from selfevolve.runtime.errors import InputError
from testbed.evolution.parameters import Evolution, read_evolution
from testbed.evolution.tables import OUT, RUNS, make_tables, not_enough, read_runs
from testbed.study.making import make
from testbed.study.parameters import STUDY


def main() -> None:
    """Read the command line, make the runs and then the tables; however it ends, nothing is left running."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("runs", nargs="*", metavar="RUN", help="ARM-SEED (default: all)")
    args = parser.parse_args()
    require_checkout()
    evolution = read_evolution()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with ending_whole():
        make(by_seed(args.runs or list(evolution.runs), evolution), "evolution")
    made = read_runs(RUNS, evolution)
    if too_few := not_enough(made):
        print(too_few)
    else:
        make_tables(made, OUT)


def by_seed(names: Sequence[str], evolution: Evolution) -> dict[int, list[str]]:
    """Return these runs by seed; InputError for a name that is none."""
    found: dict[int, list[str]] = {}
    for name in dict.fromkeys(names):
        if name not in evolution.runs:
            message = f"there is no run {name}; there are {', '.join(evolution.runs)}"
            raise InputError(message, file=STUDY, field="evolution.arms")
        found.setdefault(evolution.runs[name], []).append(name)
    return found


if __name__ == "__main__":
    run(main)
