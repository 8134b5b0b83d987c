"""Read people's scores, and say how well a judge agrees with them (table 7's last row)."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from statistics import correlation, mean
from typing import Annotated, Any

from pydantic import Field

from selfevolve.judge.verdicts import DIMENSIONS, SCALE, Dimension, Judged
from selfevolve.records.jsonl import read_records
from selfevolve.records.schema import NonEmpty, Record
from selfevolve.runtime.errors import InputError

HumanScore = Annotated[float, Field(ge=SCALE[0], le=SCALE[1])]


class HumanScores(Record):
    """One line of a file of human scores.

        {"id": "esconv-0168#7", "model": "m2", "scores": {"empathy": 4, "overall": 3.5}}

    `id` is that of the context, `model` the name that `--model` gives, `scores` any of the dimensions on
    the scale of 1 to 5. Several lines of one id and model are several people; their mean counts.
    """

    id: NonEmpty
    model: NonEmpty
    scores: dict[Dimension, HumanScore] = Field(min_length=1)


Means = Mapping[str, Mapping[str, float]]
"""Context id to dimension to the mean of people's scores."""


def read_human(path: Path, model: str, judged: Collection[str]) -> Means:
    """Read people's scores of one model's responses from a JSONL file of HumanScores.

    All ids must be among `judged`, the contexts that the judge will see.
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
    return {one: {dimension: mean(scores) for dimension, scores in given[one].items()} for one in given}


def correlate(judged: Sequence[Judged], human: Means) -> dict[str, Any]:
    """Return Pearson's correlation of the judge's scores with people's, by dimension.

    A dimension has the number of pairs `n` with `pearson`, or the reason why it is `not_available`;
    `without` counts the judged responses without people's scores.
    """
    found: dict[str, Any] = {"contexts": len(human), "without": sum(c.id not in human for c in judged)}
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
    for name, scores in (("judge", machine), ("people", people)):
        if len(set(scores)) == 1:
            return {"not_available": f"all scores of the {name} are the same"}
    return {"pearson": correlation(machine, people)}
