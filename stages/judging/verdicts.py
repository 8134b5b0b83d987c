"""What a judge says of one response: a score in each of seven dimensions (paper, section 3.4.2, table 7)."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args

from pydantic import Field, field_validator

from stages.records.schema import NonEmpty, Record

Dimension = Literal[
    "coherence", "understanding", "empathy", "engagement", "informativeness", "helpfulness", "overall"
]
DIMENSIONS: tuple[Dimension, ...] = get_args(Dimension)  # in the order of table 7
SCALE = (1, 5)

Interval = Callable[[Sequence[float], Sequence[str]], dict[str, float]]
"""Makes `mean`, `low` and `high` of values and the ids of their contexts; of one dialogue only `mean`."""

_WRITTEN = re.compile(r"\s*(\d+)(?:\.0+)?\s*(?:/\s*5)?\s*")


class Score(Record):
    """The JSON that a rubric asks for: why, and a whole number from 1 to 5."""

    explanation: NonEmpty
    score: int = Field(ge=SCALE[0], le=SCALE[1])

    @field_validator("score", mode="before")
    @classmethod
    def _whole(cls, value: Any) -> Any:
        """Take 4.0, "4" and "4/5" for 4; everything else is left to the type."""
        if isinstance(value, str) and (found := _WRITTEN.fullmatch(value)):
            return int(found.group(1))
        return int(value) if isinstance(value, float) and value.is_integer() else value


class Unread(Record):
    """An answer that was no verdict, as it came; where none came, what went wrong."""

    reason: NonEmpty
    text: str


class Verdict(Record):
    """A response in one dimension. Without a score none was given, and `unread` says why."""

    dimension: Dimension
    score: int | None = Field(default=None, ge=SCALE[0], le=SCALE[1])
    explanation: str | None = None
    attempts: int = Field(ge=0)
    unread: list[Unread] = Field(default_factory=list)


class Judged(Record):
    """One response in all dimensions; `id` is that of its context."""

    id: NonEmpty
    verdicts: list[Verdict] = Field(min_length=len(DIMENSIONS), max_length=len(DIMENSIONS))


def summarize(judged: Sequence[Judged], interval: Interval) -> dict[str, Any]:
    """Return the mean of every dimension with its interval, and what became of every question.

    A dimension without any verdict has no mean: it is not available, and not zero.
    """
    scores: dict[str, Any] = {}
    for dimension in DIMENSIONS:
        given = [
            (verdict.score, one.id)
            for one in judged
            for verdict in one.verdicts
            if verdict.dimension == dimension and verdict.score is not None
        ]
        measured = interval([score for score, _ in given], [identity for _, identity in given])
        scores[dimension] = {**measured, "count": len(given), "failed": len(judged) - len(given)}
    return {
        "scores": scores,
        **count_answers([verdict for one in judged for verdict in one.verdicts], "score"),
    }


def count_answers(verdicts: Sequence[Any], decisive: str) -> dict[str, Any]:
    """Return how many questions were asked, decided and failed, and why answers were no verdicts.

    Args:
        verdicts: records with `attempts`, `unread` and the field `decisive`, which is None in a failed one.
        decisive: the name of that field.

    Returns:
        `verdicts`, counts of the questions; `failures`, of the failed ones by their last reason; and
        `unread`, of all answers that were no verdicts by reason, those asked again with success included.
    """
    decided = [verdict for verdict in verdicts if getattr(verdict, decisive) is not None]
    failed = [verdict for verdict in verdicts if getattr(verdict, decisive) is None]
    at = Counter(verdict.attempts for verdict in decided)
    return {
        "verdicts": {
            "asked": len(verdicts),
            "decided": len(decided),
            **{f"decided_at_attempt_{attempt}": at[attempt] for attempt in sorted(at)},
            "failed": len(failed),
        },
        "failures": _sorted(Counter(verdict.unread[-1].reason for verdict in failed)),
        "unread": _sorted(Counter(unread.reason for verdict in verdicts for unread in verdict.unread)),
    }


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items()))
