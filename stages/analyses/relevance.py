"""Measure how near both responses of a pair are to the seeker: `python -m stages.analyses.relevance ...`.

The paper's figure 5, for the pairs of one iteration: relevance of both sides, how far their distributions
overlap, and the margin between them, with intervals over dialogues; lengths, and where the chosen responses
come from. selfevolve/metrics/relevance.py says what relevance is. Section `relevance` of the parameters:
`encoder` (minilm), `num_layers` (the encoder's own), `batch_size` (64).
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from selfevolve.metrics.relevance import COLUMNS, RelevanceParams, distribution, pair_relevance, pair_words
from selfevolve.metrics.semantic import find_encoder
from selfevolve.records.jsonl import dialogue_of, read_records
from selfevolve.records.schema import Preference
from selfevolve.records.texts import is_blank
from selfevolve.runtime.command import run
from selfevolve.runtime.errors import InputError, Unavailable
from selfevolve.runtime.files import publish_csv, publish_json
from selfevolve.runtime.parameters import read_params

PARTS = ("train", "valid")  # what stages.pair writes


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, measure, and write the numbers and the distributions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--preferences", type=Path, required=True, help="folder that stages.pair wrote")
    parser.add_argument("--out", type=Path, required=True, help="the numbers (JSON)")
    parser.add_argument("--plot", type=Path, required=True, help="the distributions (CSV)")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    params = read_params("relevance", RelevanceParams, args.params)
    pairs = read_pairs(args.preferences)
    report: dict[str, Any] = {
        "pairs": len(pairs),
        "dialogues": len({dialogue_of(pair.id) for pair in pairs}),
        **pair_words(pairs),
        "equal": sum(pair.chosen.value.split() == pair.rejected.value.split() for pair in pairs),
    }
    lines: list[list[Any]] = []
    try:
        encoder = find_encoder(params.encoder, params.num_layers)
    except Unavailable as absence:
        report["not_available"] = {"relevance": str(absence)}
    else:
        values, found = pair_relevance(pairs, encoder, params.batch_size)
        report |= found
        lines = distribution(values)
    publish_csv(args.plot, COLUMNS, lines)
    publish_json(args.out, report)


def read_pairs(folder: Path) -> list[Preference]:
    """Return all pairs of a folder that stages.pair wrote, at least one; none has a blank side."""
    pairs: list[Preference] = []
    for part in PARTS:
        file = folder / f"{part}.jsonl"
        for pair in read_records(file, Preference):
            for field in ("chosen", "rejected"):
                if is_blank(getattr(pair, field).value):
                    raise InputError("is blank", file=file, record=pair.id, field=field)
            if not any(message.from_ == "human" for message in pair.conversations):
                raise InputError(
                    "has no turn of the seeker", file=file, record=pair.id, field="conversations"
                )
            pairs.append(pair)
    if not pairs:
        raise InputError("holds no preference pair", file=folder)
    return pairs


if __name__ == "__main__":
    run(main)
