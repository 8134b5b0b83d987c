"""Compare two responses in both orders: a judge that prefers whatever comes first decides nothing."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import inf
from typing import Any, Literal

from pydantic import Field, field_validator

from selfevolve.generation.journal import FailedAttempt
from selfevolve.judge.verdicts import count_attempts, mean_by_dialogue
from selfevolve.records.schema import NonEmpty, Record

Winner = Literal["first", "second", "tie"]
Order = Literal["first_second", "second_first"]
ORDERS: dict[Order, dict[str, Winner]] = {
    "first_second": {"a": "first", "b": "second", "tie": "tie"},
    "second_first": {"a": "second", "b": "first", "tie": "tie"},
}
"""Which model's response is shown as A and which as B, and so which model a verdict means."""


class Choice(Record):
    """The JSON that the rubric of a pair asks for."""

    explanation: NonEmpty
    winner: Literal["a", "b", "tie"]

    @field_validator("winner", mode="before")
    @classmethod
    def _lower(cls, value: Any) -> Any:
        return value.strip().lower() if isinstance(value, str) else value


class OrderVerdict(Record):
    """The verdict on a pair in one order; without a winner all attempts failed."""

    order: Order
    winner: Winner | None = None
    explanation: str | None = None
    attempts: int = Field(ge=0)
    failed_attempts: list[FailedAttempt] = Field(default_factory=list)


class Comparison(Record):
    """One context's two responses in both orders.

    `winner` is whom both orders name, a tie where they differ, and absent where an order has no verdict.
    """

    id: NonEmpty
    winner: Winner | None = None
    orders: list[OrderVerdict] = Field(min_length=2, max_length=2)
    words_first: int = Field(ge=0)
    words_second: int = Field(ge=0)

    @property
    def flipped(self) -> bool:
        """Whether both orders have a verdict, and not the same."""
        one, other = self.orders
        return None not in (one.winner, other.winner) and one.winner != other.winner


def compare(identity: str, orders: Sequence[OrderVerdict], first: str, second: str) -> Comparison:
    """Return the comparison of two responses, given the verdicts in both orders."""
    one, other = (verdict.winner for verdict in orders)
    winner = None if one is None or other is None else one if one == other else "tie"
    words = {"words_first": len(first.split()), "words_second": len(second.split())}
    return Comparison(id=identity, winner=winner, orders=list(orders), **words)


def summarize_pairs(comparisons: Sequence[Comparison], bounds: Sequence[float], seed: int) -> dict[str, Any]:
    """Return wins, ties and losses of the second model, flips, and wins by the ratio of lengths.

    Each has its count, and its share in percent of the pairs that have a winner. `flips` are pairs whose
    orders disagree, `reversals` those where each order names another model; `shown_first_wins` is the share
    of A among all verdicts that are no tie. At each of the `bounds`, ascending ratios of words, second to
    first, a new stratum of `by_length` begins.
    """
    decided = [one for one in comparisons if one.winner is not None]
    verdicts = [(one.id, verdict) for one in decided for verdict in one.orders if verdict.winner != "tie"]
    shown_first = [(verdict.winner == ORDERS[verdict.order]["a"], identity) for identity, verdict in verdicts]
    reversals = [
        (one.flipped and "tie" not in [verdict.winner for verdict in one.orders], one.id) for one in decided
    ]
    compared = len(comparisons)
    return {
        "pairs": {"compared": compared, "decided": len(decided), "failed": compared - len(decided)},
        **_results(decided, seed),
        "flips": _share([(one.flipped, one.id) for one in decided], seed),
        "reversals": _share(reversals, seed),
        "shown_first_wins": _share(shown_first, seed),
        "by_length": {
            name: {"pairs": len(stratum), **_results(stratum, seed)}
            for name, stratum in strata(decided, bounds).items()
        },
        **count_attempts([verdict for one in comparisons for verdict in one.orders], "winner"),
    }


def strata(comparisons: Sequence[Comparison], bounds: Sequence[float]) -> dict[str, list[Comparison]]:
    """Return the comparisons by how many times as long as the first response the second is, in words.

    A response is infinitely longer than an empty one, and two empty ones are equally long.
    """
    names = [f"below {bounds[0]:g}"]
    names += [f"{low:g} to below {high:g}" for low, high in pairwise(bounds)]
    names += [f"{bounds[-1]:g} and above"]
    found: dict[str, list[Comparison]] = {name: [] for name in names}
    for one in comparisons:
        empty = 1.0 if one.words_second == 0 else inf
        ratio = one.words_second / one.words_first if one.words_first else empty
        found[names[sum(ratio >= bound for bound in bounds)]].append(one)
    return found


def _results(comparisons: Sequence[Comparison], seed: int) -> dict[str, Any]:
    names: Mapping[str, Winner] = {"win": "second", "tie": "tie", "loss": "first"}
    return {
        name: _share([(one.winner == winner, one.id) for one in comparisons], seed)
        for name, winner in names.items()
    }


def _share(hits: Sequence[tuple[bool, str]], seed: int) -> dict[str, Any]:
    values, ids = [100.0 * hit for hit, _ in hits], [identity for _, identity in hits]
    measured = mean_by_dialogue(values, ids, seed)
    percent = {"percent": measured.pop("mean")} if measured else {}
    return {"count": sum(hit for hit, _ in hits), "of": len(hits), **percent, **measured}
