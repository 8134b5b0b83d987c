"""Scores that people gave, and how well a judge agrees with them (table 7's last row)."""

import warnings
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from stages.judging.verdicts import DIMENSIONS, SCALE, Dimension, Judged
from stages.records.errors import InputError
from stages.records.jsonl import read_records
from stages.records.schema import NonEmpty, Record

HumanScore = Annotated[float, Field(ge=SCALE[0], le=SCALE[1])]


class HumanScores(Record):
    """One line of a file of human scores.

        {"id": "esconv-0168#7", "model": "m2", "scores": {"empathy": 4, "overall": 3.5}}

    `id` is that of the context, `model` the name that `--model` has, `scores` any of the dimensions on
    the scale of 1 to 5. Several lines of one id and model are several people; their mean counts.
    """

    id: NonEmpty
    model: NonEmpty
    scores: dict[Dimension, HumanScore] = Field(min_length=1)


Means = Mapping[str, Mapping[str, float]]
"""Context id to dimension to the mean of what people gave."""


def read_human(path: Path, model: str, judged: Collection[str]) -> Means:
    """Read what people gave to one model's responses.

    Args:
        path: a JSONL file of HumanScores.
        model: whose scores to take; lines of other models are passed over.
        judged: ids of the contexts that the judge will see.

    Raises:
        InputError: as read_records; there is no line of this model, or there are ids among its lines
            that the judge will not see; the message counts them.
    """
    lines = read_records(path, HumanScores, unique=False)
    own = [line for line in lines if line.model == model]
    if not own:
        others = ", ".join(sorted({line.model for line in lines})) or "nobody"
        raise InputError(f"has no scores of {model!r}, only of {others}", file=path, field="model")
    ids = list(dict.fromkeys(line.id for line in own))
    if unmatched := [identity for identity in ids if identity not in judged]:
        message = f"{len(unmatched)} of the {len(ids)} contexts scored here for {model} are not among the "
        message += f"{len(judged)} that are judged (judge.contexts: null judges all)"
        raise InputError(message, file=path, record=unmatched[0], field="id")
    given: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for line in own:
        for dimension, score in line.scores.items():
            given[line.id][dimension].append(score)
    return {
        identity: {dimension: sum(scores) / len(scores) for dimension, scores in of_one.items()}
        for identity, of_one in given.items()
    }


def correlate(judged: Sequence[Judged], human: Means) -> dict[str, Any]:
    """Return Pearson's correlation of the judge's scores with people's, by dimension.

    Returns:
        `contexts` with scores of people, `without` those of which there are none; and for each
        dimension the number of pairs `n` with `pearson` in -1 .. 1, or the reason why it is
        `not_available`.
    """
    found: dict[str, Any] = {
        "contexts": len(human),
        "without": sum(one.id not in human for one in judged),
    }
    for dimension in DIMENSIONS:
        pairs = [
            (verdict.score, human[one.id][dimension])
            for one in judged
            for verdict in one.verdicts
            if verdict.dimension == dimension and verdict.score is not None
            if dimension in human.get(one.id, {})
        ]
        found[dimension] = {"n": len(pairs), **_pearson(pairs)}
    return found


def _pearson(pairs: Sequence[tuple[float, float]]) -> dict[str, Any]:
    if len(pairs) < 2:
        return {"not_available": "fewer than two pairs"}
    machine, people = zip(*pairs, strict=True)
    for side, scores in (("judge", machine), ("people", people)):
        if len(set(scores)) == 1:
            return {"not_available": f"all scores of the {side} are the same"}
    from scipy.stats import pearsonr  # here, since it takes a second to load

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scores that hardly differ: the value is still the best there is
        return {"pearson": float(pearsonr(machine, people).statistic)}
