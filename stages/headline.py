"""Copy the numbers of one model to one path, so that `dvc metrics diff m1 m2` compares two iterations."""

import argparse
import json
from pathlib import Path
from typing import Any

from stages.command import run
from stages.records.errors import InputError
from stages.records.jsonl import read_text
from stages.records.publish import publish_json


def main() -> None:
    """Read the command line and write the headline."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--text", type=Path, required=True, help="the model's text metrics")
    parser.add_argument("--capability", type=Path, required=True, help="the model's lm-eval results")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    text, capability = _read(args.text), _read(args.capability)
    publish_json(
        args.out,
        {
            "paper": text["paper"],
            "standard": text["standard"],
            "mean_words": text["mean_words"],
            "capability": capability["score"],
        },
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise InputError(f"not JSON: {error.msg}", file=path) from None


if __name__ == "__main__":
    run(main)
