"""Two responses side by side, in both orders: a judge that prefers whatever comes first decides nothing."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal

from pydantic import Field, field_validator

from stages.judging.verdicts import Interval, Unread, count_answers
from stages.records.schema import NonEmpty, Record

Winner = Literal["first", "second", "tie"]
Order = Literal["first_second", "second_first"]
ORDERS: dict[Order, dict[str, Winner]] = {
    "first_second": {"a": "first", "b": "second", "tie": "tie"},
    "second_first": {"a": "second", "b": "first", "tie": "tie"},
}
"""In which order the models' responses are shown as A and B, and who has won then."""


class Choice(Record):
    """The JSON that the rubric of a pair asks for."""

    explanation: NonEmpty
    winner: Literal["a", "b", "tie"]

    @field_validator("winner", mode="before")
    @classmethod
    def _lower(cls, value: Any) -> Any:
        return value.strip().lower() if isinstance(value, str) else value


class OrderVerdict(Record):
    """What was said of a pair in one order. Without a winner there is no verdict; `unread` says why."""

    order: Order
    winner: Winner | None = None
    explanation: str | None = None
    attempts: int = Field(ge=0)
    unread: list[Unread] = Field(default_factory=list)


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
    """Return the comparison of two responses from its verdicts in both orders."""
    one, other = (verdict.winner for verdict in orders)
    winner = None if one is None or other is None else one if one == other else "tie"
    return Comparison(
        id=identity,
        winner=winner,
        orders=list(orders),
        words_first=len(first.split()),
        words_second=len(second.split()),
    )


def summarize_pairs(
    comparisons: Sequence[Comparison], bounds: Sequence[float], interval: Interval
) -> dict[str, Any]:
    """Return wins, ties and losses of the second model, flips, and wins by the ratio of lengths.

    Args:
        comparisons: at least one.
        bounds: ascending ratios of words, second to first, at which a new stratum begins; at least one.
        interval: over dialogues, of shares in percent.

    Returns:
        for `win`, `tie` and `loss` the `count` and the share in percent of the pairs that have a winner,
        with its interval; `flips`, the same for pairs whose orders disagree; `reversals`, those where
        each order names another model; `shown_first_wins`, the share of A among all verdicts that are
        no tie; and `by_length`. Shares of nothing are absent.
    """
    decided = [one for one in comparisons if one.winner is not None]
    verdicts = [(one.id, verdict) for one in decided for verdict in one.orders if verdict.winner != "tie"]
    shown_first = [(verdict.winner == ORDERS[verdict.order]["a"], identity) for identity, verdict in verdicts]
    reversals = [
        (one.flipped and "tie" not in [verdict.winner for verdict in one.orders], one.id) for one in decided
    ]
    return {
        "pairs": {
            "compared": len(comparisons),
            "decided": len(decided),
            "failed": len(comparisons) - len(decided),
        },
        **_results(decided, interval),
        "flips": _share([(one.flipped, one.id) for one in decided], interval),
        "reversals": _share(reversals, interval),
        "shown_first_wins": _share(shown_first, interval),
        "by_length": {
            name: {"pairs": len(stratum), **_results(stratum, interval)}
            for name, stratum in strata(decided, bounds).items()
        },
        **count_answers([verdict for one in comparisons for verdict in one.orders], "winner"),
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
        ratio = _ratio(one.words_second, one.words_first)
        found[names[sum(ratio >= bound for bound in bounds)]].append(one)
    return found


def _ratio(words: int, others: int) -> float:
    if others == 0:
        return 1.0 if words == 0 else float("inf")
    return words / others


def _results(comparisons: Sequence[Comparison], interval: Interval) -> dict[str, Any]:
    names: Mapping[str, Winner] = {"win": "second", "tie": "tie", "loss": "first"}
    return {
        name: _share([(one.winner == winner, one.id) for one in comparisons], interval)
        for name, winner in names.items()
    }


def _share(hits: Sequence[tuple[bool, str]], interval: Interval) -> dict[str, Any]:
    values, ids = [100.0 * hit for hit, _ in hits], [identity for _, identity in hits]
    measured = interval(values, ids)
    percent = {"percent": measured.pop("mean")} if measured else {}
    return {"count": sum(hit for hit, _ in hits), "of": len(hits), **percent, **measured}
