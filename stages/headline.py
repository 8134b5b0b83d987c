"""Copy the numbers of one model to one path, so that `dvc metrics diff m1 m2` compares two iterations."""

import argparse
from pathlib import Path

from selfevolve.runtime.command import run
from selfevolve.runtime.files import publish_json, read_json


def main() -> None:
    """Read the command line and write the headline."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--text", type=Path, required=True, help="the model's text metrics")
    parser.add_argument("--capability", type=Path, required=True, help="the model's lm-eval results")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    text, capability = read_json(args.text), read_json(args.capability)
    publish_json(
        args.out,
        {
            "paper": text["paper"],
            "standard": text["standard"],
            "mean_words": text["mean_words"],
            "capability": capability["score"],
        },
    )


if __name__ == "__main__":
    run(main)
