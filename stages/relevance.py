"""Measure how near chosen and rejected responses are to the seeker: `python -m stages.relevance ...`.

The paper's figure 5, for the pairs of one iteration: relevance of both sides, how far their distributions
overlap, and the margin between them, with intervals over dialogues; lengths, and where the chosen responses
come from. What relevance is stands in stages/scoring/relevance.py. Section `relevance` of the parameters:
`encoder` (minilm), `num_layers` (the encoder's own), `batch_size` (64).
"""

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from stages.command import Params, read_params, run
from stages.records.errors import InputError
from stages.records.jsonl import read_records, read_text
from stages.records.publish import publish_csv, publish_json
from stages.records.schema import NonEmpty, Preference, Refinement
from stages.scoring.relevance import EDGES, Asked, density, overlap, relevance, shares
from stages.scoring.semantic import EncoderUnavailable, find_encoder
from stages.scoring.significance import described, paired_permutation

PARTS = ("train", "valid")  # what stages.pair writes
COLUMNS = ("relevance", "chosen_percent", "rejected_percent", "chosen_density", "rejected_density")
SEED = 42  # of the intervals and the test
Values = dict[str, list[float]]


class RelevanceParams(Params):
    """Section `relevance` of params.yaml: which encoder makes the sentence vectors.

    It is not `score.encoder`: BERTScore's best encoder, roberta-large, makes no good sentence vectors.
    """

    encoder: NonEmpty = "minilm"
    num_layers: int | None = Field(default=None, ge=1)
    batch_size: int = Field(default=64, ge=1)


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, measure, and write the numbers and the distributions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--preferences", type=Path, required=True, help="folder that stages.pair wrote")
    parser.add_argument("--refined", type=Path, help="the refinements the pairs were made of, for retries")
    parser.add_argument("--chosen", choices=("refined", "golden"), default="refined")
    parser.add_argument("--counts", type=Path, help="stages.pair's metrics, for the pairs it dropped")
    parser.add_argument("--out", type=Path, required=True, help="the numbers (JSON)")
    parser.add_argument("--plot", type=Path, required=True, help="the distributions (CSV)")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    params = read_params("relevance", RelevanceParams, args.params)
    pairs = read_pairs(args.preferences)
    dialogues = [pair.id.partition("#")[0] for pair in pairs]
    report: dict[str, Any] = {
        "pairs": len(pairs),
        "dialogues": len(set(dialogues)),
        "words": compared(_words(pairs), dialogues),
        "chosen_source": _sources(pairs),
        "equal": {
            "kept": sum(pair.chosen.value.split() == pair.rejected.value.split() for pair in pairs),
            "dropped": _dropped(args.counts) if args.counts else "not available",
        },
        "reflections": _attempts(args.refined, args.chosen) if args.refined else "not available",
    }
    values: Values | None = None
    try:
        encoder = find_encoder(params.encoder, params.num_layers)
    except EncoderUnavailable as absence:
        report["not_available"] = {"relevance": str(absence)}
    else:
        values, truncated = _relevances(pairs, encoder, params.batch_size)
        report |= _measured(values, dialogues)
        report["by_source"] = _by_source(pairs, values, dialogues)
        report |= {
            "truncated": truncated,
            "signature": f"{encoder.vector_signature}|mean over the seeker's turns",
        }
    publish_csv(args.plot, COLUMNS, [] if values is None else _lines(values))
    publish_json(args.out, report)


def read_pairs(folder: Path) -> list[Preference]:
    """Return all pairs of a folder that stages.pair wrote, at least one.

    Raises:
        InputError: a file is missing or invalid, or a pair has a blank side or no turn of the seeker.
    """
    pairs: list[Preference] = []
    for part in PARTS:
        file = folder / f"{part}.jsonl"
        for pair in read_records(file, Preference):
            for field in ("chosen", "rejected"):
                if not getattr(pair, field).value.strip():
                    raise InputError("is blank", file=file, record=pair.id, field=field)
            if not any(message.from_ == "human" for message in pair.conversations):
                raise InputError(
                    "has no turn of the seeker", file=file, record=pair.id, field="conversations"
                )
            pairs.append(pair)
    if not pairs:
        raise InputError("holds no preference pair", file=folder)
    return pairs


def compared(values: Values, dialogues: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return means and intervals of `chosen` and `rejected`, and of the margin between them with its p."""
    margin = [c - r for c, r in zip(values["chosen"], values["rejected"], strict=True)]
    p = paired_permutation(values["rejected"], values["chosen"], dialogues, seed=SEED)
    return {
        **{side: described(values[side], dialogues, seed=SEED) for side in ("chosen", "rejected")},
        "margin": described(margin, dialogues, seed=SEED) | {"p": p},
    }


def _words(pairs: Sequence[Preference]) -> Values:
    return {
        side: [float(len(getattr(pair, side).value.split())) for pair in pairs]
        for side in ("chosen", "rejected")
    }


def _relevances(pairs: Sequence[Preference], encoder: Any, batch_size: int) -> tuple[Values, int]:
    asked = [
        Asked(
            [message.value for message in pair.conversations if message.from_ == "human"],
            [pair.chosen.value, pair.rejected.value],
        )
        for pair in pairs
    ]
    found, truncated = relevance(asked, encoder, batch_size)
    return {"chosen": found[:, 0].tolist(), "rejected": found[:, 1].tolist()}, truncated


def _measured(values: Values, dialogues: Sequence[str]) -> dict[str, Any]:
    nearer = [c > r for c, r in zip(values["chosen"], values["rejected"], strict=True)]
    area = overlap(values["chosen"], values["rejected"])
    return {
        **compared(values, dialogues),
        "chosen_nearer": 100 * sum(nearer) / len(nearer),
        "overlap": "not available" if area is None else area,
    }


def _by_source(
    pairs: Sequence[Preference], values: Values, dialogues: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """The same for each source alone: a golden response in the place of a refined one is no refinement."""
    found: dict[str, dict[str, Any]] = {}
    for source in sorted({pair.chosen_source for pair in pairs}):
        at = [number for number, pair in enumerate(pairs) if pair.chosen_source == source]
        own = {side: [values[side][number] for number in at] for side in values}
        found[source] = {"pairs": len(at), **compared(own, [dialogues[number] for number in at])}
    return found


def _sources(pairs: Sequence[Preference]) -> dict[str, dict[str, float]]:
    counts = Counter(pair.chosen_source for pair in pairs)
    return {
        source: {"pairs": counts[source], "percent": 100 * counts[source] / len(pairs)}
        for source in sorted(counts)
    }


def _attempts(file: Path, chosen: str) -> dict[str, Any]:
    """How often reflections were asked for; those too long for the window were never asked.

    Where golden responses are chosen there is none, and the file is empty.
    """
    if chosen == "golden":
        return {"count": 0}
    refined = read_records(file, Refinement)
    if not refined:
        raise InputError("has no refinements", file=file)
    parsed = Counter(one.attempts for one in refined if one.status == "parsed")
    return {
        "count": len(refined),
        "parsed_at_attempt": {str(attempt): parsed[attempt] for attempt in sorted(parsed)},
        "failed": sum(one.status == "failed" and one.attempts > 0 for one in refined),
        "too_long": sum(one.attempts == 0 for one in refined),
        "mean_attempts": sum(one.attempts for one in refined) / len(refined),
    }


def _dropped(file: Path) -> int:
    try:
        return int(json.loads(read_text(file))["dropped"]["equal"])
    except (ValueError, KeyError, TypeError):
        raise InputError("has no count of equal pairs", file=file, field="dropped.equal") from None


def _lines(values: Values) -> list[list[Any]]:
    """Return a line a bin: its middle, percent of the pairs, densities (None where they have no width).

    Six decimals: what lies far from all values would be noise of 1e-30 otherwise.
    """
    sides = [values["chosen"], values["rejected"]]
    middles = [f"{middle:.2f}" for middle in (EDGES[:-1] + EDGES[1:]) / 2]
    nothing = [None] * len(middles)
    columns = [middles, *map(shares, sides), *(density(side) or nothing for side in sides)]
    return [
        [middle, *(None if cell is None else round(cell, 6) for cell in cells)]
        for middle, *cells in zip(*columns, strict=True)
    ]


if __name__ == "__main__":
    run(main)
