"""Bring stages up to date: `python -m selfevolve.experiment.repro TARGET ...`, as the Makefile does it.

This is `dvc repro`, except that nothing of it is left running, however it ends.
"""

import argparse

from selfevolve.experiment.checkout import require_checkout
from selfevolve.experiment.pipeline import repro
from selfevolve.runtime.command import run
from selfevolve.runtime.ending import ending_whole


def main() -> None:
    """Read the command line and run DVC."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("targets", nargs="+", metavar="TARGET", help="stages, or dvc.yaml files")
    args = parser.parse_args()
    require_checkout()
    with ending_whole():
        repro(args.targets)


if __name__ == "__main__":
    run(main)
