"""Fetch one upstream file at its pinned commit, verify it, publish it.

The commit and git's blob id of the file stand in params.yaml, so what arrives is what was pinned or
an error.
"""

import argparse
from pathlib import Path

from selfevolve.data.download import fetch
from selfevolve.runtime.command import run
from selfevolve.runtime.parameters import load_params


def main() -> None:
    """Parse the arguments and fetch."""
    parser = argparse.ArgumentParser(prog="python -m stages.fetch", description=__doc__.splitlines()[0])
    parser.add_argument("--name", required=True, help="a key of fetch.files in the parameters")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args()
    fetch(args.name, args.out, load_params("fetch", args.params))
    print(f"fetch: {args.name} -> {args.out}, verified")


if __name__ == "__main__":
    run(main)
