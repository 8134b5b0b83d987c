"""Prepare a further test set: `python -m stages.analyses.unseen --name mine --dialogues FILE --out ...`.

Any dialogues in a layout that selfevolve/data/layouts.py knows (the records tell which) are cleaned as ESConv
is. A dialogue that repeats one the models were trained on, or an earlier one of the same set, exactly or
nearly, is removed and counted: here it is the test set that yields, since the training is done. So is one
that was written from the situation of a training dialogue. What a backbone has seen before, nobody can check.
`--name` becomes the dialogues' source and begins their ids.
"""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from selfevolve.data.cleaning import clean_corpus, table_1
from selfevolve.data.corpus import load_corpus
from selfevolve.data.corpus_files import counted_files
from selfevolve.data.layouts import RoleParams
from selfevolve.data.leakage import remove_duplicates, shared_situations
from selfevolve.records.jsonl import read_records, write_records
from selfevolve.records.schema import Dialogue, NonEmpty, Record
from selfevolve.runtime.command import run
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import publish_json
from selfevolve.runtime.parameters import Params, read_params

# Our names for the kinds of selfevolve.data.leakage, whose "test" are the training dialogues here.
KINDS = {
    "exact_of_test": "exact_of_training",
    "near_of_test": "near_of_training",
    "exact_in_training": "exact_inside",
    "near_in_training": "near_inside",
}


class UnseenSet(Record):
    """One further test set: its name in paths and ids, and where its dialogues lie."""

    name: NonEmpty
    path: NonEmpty


class AskedModel(Record):
    """A model that is asked: its name in paths, its policy and the prompt it is asked with."""

    name: NonEmpty
    policy: NonEmpty
    prompt: NonEmpty


class UnseenParams(Params):
    """Section `unseen` of params.yaml; the dvc file lays out `sets` and `asked`."""

    min_turns: int = Field(ge=2)
    near_duplicate: float = Field(gt=0, le=1)
    sets: list[UnseenSet]
    asked: list[AskedModel]


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, clean, remove what was trained on, and write dialogues and counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--name", required=True, help="letters, digits, - and _")
    parser.add_argument("--dialogues", type=Path, required=True, help="a file, or a folder of files")
    parser.add_argument("--training", type=Path, nargs="+", required=True, help="all that was trained on")
    parser.add_argument("--out", type=Path, required=True, help="the dialogues (JSONL)")
    parser.add_argument("--metrics", type=Path, required=True)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    params = read_params("unseen", UnseenParams, args.params)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", args.name):
        raise InputError(f"{args.name!r} is no name: letters, digits, - and _", field="unseen.sets.name")
    roles = read_params("prepare", RoleParams, args.params).roles
    files = counted_files(args.dialogues)
    cleaned, counts = clean_corpus(load_corpus(args.dialogues, args.name, roles), params.min_turns)
    training = [dialogue for file in args.training for dialogue in read_records(file, Dialogue)]
    leakage = remove_duplicates(training, cleaned, params.near_duplicate)
    situations = shared_situations(training, leakage.kept)
    kept = [dialogue for dialogue in leakage.kept if dialogue.id not in situations]
    if not kept:
        raise InputError("no dialogue is left to test with", file=args.dialogues)
    removed = [found.name for found in leakage.removed]
    metrics: dict[str, Any] = {
        "table_1": table_1(kept),
        "files": files,
        **counts.metrics(),
        "compared_with": len(training),
        "removed": {
            **{ours: removed.count(theirs) for theirs, ours in KINDS.items()},
            "situation_of_training": len(situations),
        },
        "dialogues": len(kept),
    }
    write_records(args.out, kept)
    publish_json(args.metrics, metrics)


if __name__ == "__main__":
    run(main)
