"""Comparisons of two answers: wins, ties and losses, win rates, and Bradley-Terry scores."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.ratings.export import Comparison
from stages.ratings.pointwise import adjusted, permutation
from stages.ratings.resample import Floats, How, interval, not_available, ratio, times_drawn

_TOLERANCE = 1e-6  # of Bradley-Terry scores, far below what any interval resolves


def pairs(comparisons: Sequence[Comparison], models: Sequence[str], how: How) -> list[dict[str, Any]]:
    """Return wins, ties and losses of every later model against every earlier one.

    `win_rate` is the adjusted one, (wins + ties / 2) / n in 0 .. 1, with its interval over raters; `p` tests
    it against one half, by exchanging wins and losses of whole raters. `n` comparisons by `raters` raters.
    """
    found = []
    for first, last in combinations(models, 2):
        mine = [one for one in comparisons if {one.first, one.second} == {first, last}]
        points = [wins_of(one, last) for one in mine]
        counts: dict[str, Any] = {
            "model": last,
            "against": first,
            "win": points.count(1.0),
            "tie": points.count(0.5),
            "loss": points.count(0.0),
            "n": len(mine),
            "raters": len({one.rater for one in mine}),
        }
        found.append(counts | _win_rate(mine, points, how))
    return adjusted(found)


def wins_of(one: Comparison, model: str) -> float:
    """Return 1 where the model won, 0 where it lost, one half for a tie."""
    if one.winner == "tie":
        return 0.5
    return float({"first": one.first, "second": one.second}[one.winner] == model)


def bradley_terry(comparisons: Sequence[Comparison], models: Sequence[str], how: How) -> dict[str, Any]:
    """Return every model's Bradley-Terry score with its interval over raters.

    Scores are natural logarithms of strengths and add up to 0: exp(a - b) is the odds that the one model
    wins against the other. A tie is half a win for each. Maximum likelihood by choix (I-LSR), without a
    prior, so there are scores only where from every model to every other one there is a chain of (half)
    wins; `not_available` says where there is none, and resamples without one are counted.
    """
    rated = [model for model in models if any(model in (one.first, one.second) for one in comparisons)]
    counts = {"n": len(comparisons), "raters": len({one.rater for one in comparisons})}
    if len(rated) < 2:
        return not_available("fewer than two models were compared", **counts)
    won = _matrices(comparisons, rated)
    total = won.sum(axis=0)
    if reason := _unconnected(total, rated):
        return not_available(reason, **counts)
    scores = _scores(total)
    result: dict[str, Any] = {model: {"value": float(scores[at])} for at, model in enumerate(rated)}
    if len(won) < 2:
        for model in rated:
            result[model]["no_interval"] = "there is one rater only"
    else:
        drawn = np.tensordot(times_drawn(len(won), how), won, axes=1)
        draws = np.array(
            [_scores(one, scores) if _connected(one) else np.full(len(rated), np.nan) for one in drawn]
        )
        for at, model in enumerate(rated):
            result[model] |= interval(draws[:, at], how)
    left_out = [model for model in models if model not in rated]
    return {"scores": result, **counts, "not_compared": left_out}


def _win_rate(mine: Sequence[Comparison], points: Sequence[float], how: How) -> dict[str, Any]:
    if not mine:
        return {"win_rate": not_available("nobody compared them")}
    sums: dict[str, tuple[float, float]] = {}
    for one, point in zip(mine, points, strict=True):
        before = sums.get(one.rater, (0.0, 0.0))
        sums[one.rater] = (before[0] + point, before[1] + 1)
    rate = {"win_rate": ratio(sums, how)}
    if len(sums) < 2:
        return rate
    won = np.array([won for won, _ in sums.values()])
    lost = np.array([count for _, count in sums.values()]) - won
    return rate | {"p": permutation(won, lost, "samples", how.seed)}


def _matrices(comparisons: Sequence[Comparison], models: Sequence[str]) -> Floats:
    """Return for every rater how often which model (row) won against which (column), ties as halves."""
    raters = {rater: at for at, rater in enumerate(dict.fromkeys(one.rater for one in comparisons))}
    place = {model: at for at, model in enumerate(models)}
    won = np.zeros((len(raters), len(models), len(models)))
    for one in comparisons:
        first, second, rater = place[one.first], place[one.second], raters[one.rater]
        points = wins_of(one, one.first)
        won[rater, first, second] += points
        won[rater, second, first] += 1 - points
    return won


def _scores(won: Floats, start: Floats | None = None) -> Floats:
    from choix import ilsr_pairwise_dense  # here, since it takes a moment to load

    found: NDArray[Any] = ilsr_pairwise_dense(won, initial_params=start, tol=_TOLERANCE)
    return np.asarray(found - found.mean(), dtype=np.float64)


def _connected(won: Floats) -> bool:
    """Tell whether there is a chain of wins from every model to every other one."""
    reach = (won > 0) | np.eye(len(won), dtype=bool)
    for _ in range(int(np.ceil(np.log2(len(won)))) or 1):
        reach = reach @ reach
    return bool(reach.all())


def _unconnected(won: Floats, models: Sequence[str]) -> str:
    """Return why there are no scores: groups without comparisons between them, or without any loss."""
    if _connected(won):
        return ""
    from scipy.sparse.csgraph import connected_components

    for kind, words in (
        ("weak", "no comparison connects these groups of models"),
        ("strong", "between these groups of models all wins are on one side, so that no score is finite"),
    ):
        count, label = connected_components(won > 0, directed=True, connection=kind)
        groups = [
            ", ".join(m for m, at in zip(models, label, strict=True) if at == one) for one in range(count)
        ]
        if count > 1:
            return f"{words}: {' | '.join(sorted(groups))}"
    raise AssertionError("a graph that is not connected has at least two groups")
