"""Clean the corpora, split ESConv, remove leaks: raw files in, dialogues and table 1 out."""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from stages.command import Params, read_params, run
from stages.dialogue.cleaning import CleaningCounts, clean_corpus
from stages.dialogue.formats import load_corpus
from stages.dialogue.leakage import KINDS, LeakageReport, remove_duplicates
from stages.dialogue.split import split_by_profile
from stages.dialogue.statistics import table_1
from stages.records.errors import InputError
from stages.records.jsonl import write_records
from stages.records.publish import publish_json, publishing
from stages.records.schema import Dialogue

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
    counts: dict[str, CleaningCounts] = {}
    for corpus in CORPORA:
        raw = load_corpus(getattr(args, corpus), corpus)
        cleaned[corpus], counts[corpus] = clean_corpus(raw, getattr(params.min_turns, corpus))

    rule, train, test = split_by_profile(cleaned["esconv"], params.test_share, params.seed)
    synesc = [*cleaned["extes"], *cleaned["serveforemo"]]
    leakage = remove_duplicates(test, [*train, *synesc], params.near_duplicate)
    kept_train = [dialogue for dialogue in leakage.kept if dialogue.source == "esconv"]
    kept_synesc = [dialogue for dialogue in leakage.kept if dialogue.source != "esconv"]
    if not kept_train:
        raise InputError("every ESConv training dialogue duplicates a test dialogue", file=args.esconv)

    with publishing(args.out) as folder:
        folder.mkdir()
        write_records(folder / "esconv_train.jsonl", kept_train)
        write_records(folder / "esconv_test.jsonl", test)
        write_records(folder / "synesc.jsonl", kept_synesc)
    metrics: dict[str, Any] = {
        corpus: _corpus_metrics(corpus, cleaned[corpus], counts[corpus], leakage) for corpus in CORPORA
    }
    metrics["splits"] = {
        "rule": rule,
        "esconv_train": len(kept_train),
        "esconv_test": len(test),
        "synesc": len(kept_synesc),
        "esconv_test_duplicates_kept": {
            kind: sum(found.kind == kind for found in leakage.inside_test) for kind in ("exact", "near")
        },
    }
    publish_json(args.metrics, metrics)


def _corpus_metrics(
    corpus: str, dialogues: list[Dialogue], counts: CleaningCounts, leakage: LeakageReport
) -> dict[str, Any]:
    """Return one corpus's figures; table 1 is taken before duplicates are removed, as in the paper."""
    cleaning = dataclasses.asdict(counts)
    skipped = cleaning.pop("skipped")
    removed = [found.name for found in leakage.removed if found.dialogue.source == corpus]
    return {
        "table_1": table_1(dialogues),
        "skipped": skipped,
        "cleaning": cleaning,
        "duplicates_removed": {kind: removed.count(kind) for kind in KINDS},
    }


if __name__ == "__main__":
    run(main)
