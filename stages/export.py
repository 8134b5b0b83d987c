"""Merge a policy into one model for a server: `python -m stages.export --policy models/m2 --out FOLDER`.

Not part of the pipeline: M2 is kept as a chain of adapters of some megabytes, and the merged weights can be
made at any time.
"""

import argparse
from pathlib import Path

from stages.command import run
from stages.engines.merge import merge
from stages.engines.policy import read_policy
from stages.records.errors import InputError


def main() -> None:
    """Read the command line and let LLaMA-Factory merge the chain."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--policy", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    if args.out.exists():
        raise InputError("is there already", file=args.out)
    merge(read_policy(args.policy), args.out)
    print(f"{args.policy} merged into {args.out}")


if __name__ == "__main__":
    run(main)
