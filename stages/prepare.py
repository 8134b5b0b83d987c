"""Clean the corpora, split ESConv, remove leaks: raw files in, dialogues and table 1 out.

Besides the dialogues the folder has `facts.json`: every phrase of every gold profile in them, by fact, and
the words that stand in such phrases alone.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from selfevolve.data.cleaning import clean_corpus, table_1
from selfevolve.data.corpus import load_corpus
from selfevolve.data.corpus_files import counted_files
from selfevolve.data.layouts import Roles
from selfevolve.data.leakage import KINDS, remove_duplicates
from selfevolve.data.split import split_dialogues
from selfevolve.metrics.facts import gold_facts
from selfevolve.records.jsonl import write_folder
from selfevolve.records.schema import Dialogue
from selfevolve.runtime.command import run
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import publish_json, publishing
from selfevolve.runtime.parameters import Params, read_params

CORPORA = ("esconv", "extes", "serveforemo")
MinTurns = Annotated[int, Field(ge=2)]


class MinTurnsParams(Params):
    """The fewest turns of a usable session, for each corpus."""

    esconv: MinTurns
    extes: MinTurns
    serveforemo: MinTurns


class PrepareParams(Params):
    """The section `prepare` of params.yaml."""

    seed: int
    test_share: float = Field(gt=0, lt=1)
    min_turns: MinTurnsParams
    near_duplicate: float = Field(gt=0, le=1)
    roles: Roles | None = None


def main(argv: Sequence[str] | None = None) -> None:
    """Read three corpora, publish the folder of dialogues and the metrics file."""
    parser = argparse.ArgumentParser(prog="python -m stages.prepare", description=__doc__)
    for corpus in CORPORA:
        parser.add_argument(f"--{corpus}", type=Path, required=True, help="a file, or a folder of files")
    parser.add_argument("--out", type=Path, required=True, help="folder of dialogues to publish")
    parser.add_argument("--metrics", type=Path, required=True, help="JSON file to publish")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    params = read_params("prepare", PrepareParams, args.params)

    cleaned: dict[str, list[Dialogue]] = {}
    metrics: dict[str, Any] = {}
    for corpus in CORPORA:
        files = counted_files(getattr(args, corpus))
        raw = load_corpus(getattr(args, corpus), corpus, params.roles)
        cleaned[corpus], counts = clean_corpus(raw, getattr(params.min_turns, corpus))
        # Table 1 is taken before duplicates are removed, as in the paper.
        metrics[corpus] = {"table_1": table_1(cleaned[corpus]), "files": files, **counts.metrics()}

    split = split_dialogues(cleaned["esconv"], params.test_share, params.seed)
    synesc = [*cleaned["extes"], *cleaned["serveforemo"]]
    leakage = remove_duplicates(split.test, [*split.train, *synesc], params.near_duplicate)
    for corpus in CORPORA:
        removed = [found.name for found in leakage.removed if found.dialogue.source == corpus]
        metrics[corpus]["duplicates_removed"] = {kind: removed.count(kind) for kind in KINDS}
    dialogues = {
        "esconv_train": [dialogue for dialogue in leakage.kept if dialogue.source == "esconv"],
        "esconv_test": split.test,
        "synesc": [dialogue for dialogue in leakage.kept if dialogue.source != "esconv"],
    }
    if not dialogues["esconv_train"]:
        raise InputError("every ESConv training dialogue duplicates a test dialogue", file=args.esconv)
    inside_test = [found.kind for found in leakage.inside_test]
    metrics["splits"] = {
        "rule": split.rule,
        **{name: len(found) for name, found in dialogues.items()},
        "esconv_test_duplicates_kept": {kind: inside_test.count(kind) for kind in ("exact", "near")},
    }
    with publishing(args.out) as folder:
        write_folder(folder, dialogues)
        facts = gold_facts([dialogue for part in dialogues.values() for dialogue in part])
        publish_json(folder / "facts.json", facts.model_dump())
    publish_json(args.metrics, metrics)


if __name__ == "__main__":
    run(main)
