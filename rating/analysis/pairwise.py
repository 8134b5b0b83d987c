"""Comparisons of two answers: wins, ties and losses, win rates, and Bradley-Terry scores."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from scipy.sparse.csgraph import connected_components

from rating.analysis.estimates import adjusted, by_rater, interval, not_available, ratio
from rating.analysis.export import Comparison
from selfevolve.metrics.statistics import (
    Counts,
    Floats,
    Resampling,
    bootstrap,
    paired_permutation,
    times_drawn,
)

_TOLERANCE = 1e-6  # of Bradley-Terry scores, far below what any interval resolves


def pairs(comparisons: Sequence[Comparison], models: Sequence[str], how: Resampling) -> list[dict[str, Any]]:
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


def bradley_terry(
    comparisons: Sequence[Comparison], models: Sequence[str], how: Resampling
) -> dict[str, Any]:
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
    nothing = np.full(len(rated), np.nan)

    def resampled(drawn: Counts) -> Floats:
        sums = np.tensordot(times_drawn(drawn), won, axes=1)
        return np.array([nothing if _unconnected(one, rated) else _scores(one, scores) for one in sums])

    intervals = [{"no_interval": "there is one rater only"} for _ in rated]
    if len(won) > 1:
        intervals = [interval(draws, how.level) for draws in bootstrap(resampled, len(won), how).T]
    result = {
        model: {"value": float(score), **certainty}
        for model, score, certainty in zip(rated, scores, intervals, strict=True)
    }
    left_out = [model for model in models if model not in rated]
    return {"scores": result, **counts, "not_compared": left_out}


def _win_rate(mine: Sequence[Comparison], points: Sequence[float], how: Resampling) -> dict[str, Any]:
    if not mine:
        return {"win_rate": not_available("nobody compared them")}
    sums = by_rater(points, [one.rater for one in mine])
    rate = {"win_rate": ratio(sums, how)}
    if len(sums) < 2:
        return rate
    won = [won for won, _ in sums.values()]
    lost = [count - won for won, count in sums.values()]
    return rate | {"p": paired_permutation(lost, won, list(sums), seed=how.seed)}


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

    found = ilsr_pairwise_dense(won, initial_params=start, tol=_TOLERANCE)
    return np.asarray(found - found.mean(), dtype=np.float64)


def _unconnected(won: Floats, models: Sequence[str]) -> str:
    """Return why there are no scores: groups without comparisons between them, or without any loss."""
    for kind, words in (
        ("weak", "no comparison connects these groups of models"),
        ("strong", "between these groups of models all wins are on one side, so that no score is finite"),
    ):
        count, label = connected_components(won > 0, connection=kind)
        if count > 1:
            groups = [", ".join(np.array(models)[label == group]) for group in range(count)]
            return f"{words}: {' | '.join(sorted(groups))}"
    return ""
