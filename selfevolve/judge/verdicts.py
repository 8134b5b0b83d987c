"""Score responses: a judge gives each a score in seven dimensions (paper, section 3.4.2, table 7)."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal, get_args

from pydantic import Field, field_validator

from selfevolve.generation.journal import FailedAttempt
from selfevolve.metrics.statistics import mean_and_interval
from selfevolve.records.jsonl import dialogue_of
from selfevolve.records.schema import NonEmpty, Record

Dimension = Literal[
    "coherence", "understanding", "empathy", "engagement", "informativeness", "helpfulness", "overall"
]
DIMENSIONS: tuple[Dimension, ...] = get_args(Dimension)  # in the order of table 7
SCALE = (1, 5)

_WRITTEN = re.compile(r"\s*(\d+)(?:\.0+)?\s*(?:/\s*5)?\s*")


class Score(Record):
    """The JSON that a rubric asks for: why, and a whole number from 1 to 5."""

    explanation: NonEmpty
    score: int = Field(ge=SCALE[0], le=SCALE[1])

    @field_validator("score", mode="before")
    @classmethod
    def _whole(cls, value: Any) -> Any:
        """Read 4.0, "4" and "4/5" as 4; the type judges everything else."""
        if isinstance(value, str) and (found := _WRITTEN.fullmatch(value)):
            return int(found.group(1))
        return int(value) if isinstance(value, float) and value.is_integer() else value


class Verdict(Record):
    """A response in one dimension. Without a score all attempts failed, and `failed_attempts` says why."""

    dimension: Dimension
    score: int | None = Field(default=None, ge=SCALE[0], le=SCALE[1])
    explanation: str | None = None
    attempts: int = Field(ge=0)
    failed_attempts: list[FailedAttempt] = Field(default_factory=list)


class Judged(Record):
    """One response in all dimensions; `id` is that of its context."""

    id: NonEmpty
    verdicts: list[Verdict] = Field(min_length=len(DIMENSIONS), max_length=len(DIMENSIONS))


def summarize(judged: Sequence[Judged], seed: int) -> dict[str, Any]:
    """Return the mean of every dimension with its interval, and the counts of `count_attempts`.

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
        measured = mean_by_dialogue([score for score, _ in given], [identity for _, identity in given], seed)
        scores[dimension] = {**measured, "count": len(given), "failed": len(judged) - len(given)}
    verdicts = [verdict for one in judged for verdict in one.verdicts]
    return {"scores": scores, **count_attempts(verdicts, "score")}


def mean_by_dialogue(values: Sequence[float], ids: Sequence[str], seed: int) -> dict[str, float]:
    """Return `mean`, `low` and `high` of values, one for each context id, resampling whole dialogues.

    Of a single dialogue there is only `mean`, and of no values nothing.
    """
    dialogues = [dialogue_of(identity) for identity in ids]
    return mean_and_interval(values, dialogues, seed=seed) if values else {}


def count_attempts(verdicts: Sequence[Any], decisive: str) -> dict[str, Any]:
    """Return how many questions were asked, decided and failed (`verdicts`), and why attempts failed.

    `failures` are the failed questions by their last reason, `failed_attempts` all failed attempts, those of
    questions decided later included. The field `decisive` is None where all attempts of a question failed.
    """
    decided = [verdict for verdict in verdicts if getattr(verdict, decisive) is not None]
    failed = [verdict for verdict in verdicts if getattr(verdict, decisive) is None]
    at = Counter(verdict.attempts for verdict in decided)
    last = Counter(verdict.failed_attempts[-1].reason for verdict in failed)
    reasons = Counter(attempt.reason for verdict in verdicts for attempt in verdict.failed_attempts)
    return {
        "verdicts": {
            "asked": len(verdicts),
            "decided": len(decided),
            **{f"decided_at_attempt_{attempt}": at[attempt] for attempt in sorted(at)},
            "failed": len(failed),
        },
        "failures": dict(sorted(last.items())),
        "failed_attempts": dict(sorted(reasons.items())),
    }
