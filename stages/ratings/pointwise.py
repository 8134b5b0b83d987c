"""Ratings on a scale: means by dimension and model, and differences between models."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from stages.ratings.export import Rating
from stages.ratings.resample import Floats, How, by_cluster, interval, not_available, ratio, times_drawn

_PERMUTATIONS = 9999


def means(
    ratings: Sequence[Rating], dimensions: Sequence[str], models: Sequence[str], how: How
) -> dict[str, Any]:
    """Return for every dimension and model the mean rating (1 to 5) with its interval over raters.

    Every rating counts once, so that a rater with more sessions weighs more; `n` ratings of `units`
    sessions or items by `raters` raters.
    """
    found: dict[tuple[str, str], list[Rating]] = defaultdict(list)
    for one in ratings:
        found[one.dimension, one.model].append(one)
    return {
        dimension: {model: _mean(found[dimension, model], how) for model in models}
        for dimension in dimensions
    }


def differences(
    ratings: Sequence[Rating], dimensions: Sequence[str], models: Sequence[str], how: How
) -> list[dict[str, Any]]:
    """Return every difference of two models in every dimension: the later model minus the earlier one.

    It is one of raters' own means. Where at least two raters rated both models, it is the mean of their
    differences, with a paired permutation test; else one of the means of different raters, with one of
    independent samples. `left_out` counts the raters that the design cannot use. `p_holm` is adjusted for
    all of the tests here.
    """
    own: dict[tuple[str, str], dict[str, tuple[float, float]]] = {}
    for dimension in dimensions:
        for model in models:
            mine = [one for one in ratings if (one.dimension, one.model) == (dimension, model)]
            own[dimension, model] = by_cluster([one.score for one in mine], [one.rater for one in mine])
    found = [
        {"dimension": dimension, "model": last, "minus": first}
        | _difference(_own_means(own[dimension, last]), _own_means(own[dimension, first]), how)
        for dimension in dimensions
        for first, last in combinations(models, 2)
    ]
    return adjusted(found)


def adjusted(tests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the tests with `p_holm` and `tests`, the number it is adjusted for, beside every `p`."""
    from statsmodels.stats.multitest import multipletests  # here, since it takes a second to load

    tested = [one for one in tests if "p" in one]
    if tested:
        for one, p in zip(tested, multipletests([one["p"] for one in tested], method="holm")[1], strict=True):
            one |= {"p_holm": float(p), "tests": len(tested)}
    return tests


def _mean(ratings: Sequence[Rating], how: How) -> dict[str, Any]:
    counts = {
        "n": len(ratings),
        "units": len({(one.rater, one.unit) for one in ratings}),
        "raters": len({one.rater for one in ratings}),
    }
    if not ratings:
        return not_available("nobody rated it", **counts)
    sums = by_cluster([one.score for one in ratings], [one.rater for one in ratings])
    return {**ratio(sums, how), **counts}


def _own_means(sums: dict[str, tuple[float, float]]) -> dict[str, float]:
    return {rater: total / count for rater, (total, count) in sums.items()}


def _difference(last: dict[str, float], first: dict[str, float], how: How) -> dict[str, Any]:
    both = [rater for rater in last if rater in first]
    if len(both) >= 2:
        pairs = np.array([(last[rater], first[rater]) for rater in both])
        change = pairs[:, 0] - pairs[:, 1]
        draws = times_drawn(len(both), how) @ change / len(both)
        counts = {"design": "paired", "n": len(both), "left_out": len(last.keys() ^ first.keys())}
        return _tested(float(change.mean()), draws, pairs[:, 0], pairs[:, 1], "samples", how) | counts
    # The raters of both models would stand on both sides, so the two samples go without them.
    one, other = (
        np.array([mean for rater, mean in side.items() if rater not in both]) for side in (last, first)
    )
    counts = {"design": "unpaired", "n": len(one) + len(other), "left_out": len(both)}
    if min(len(one), len(other)) < 2:
        return not_available("fewer than two raters of both models, or of each", **counts)
    again = How(how.seed + 1, how.resamples, how.level)
    draws = times_drawn(len(one), how) @ one / len(one) - times_drawn(len(other), again) @ other / len(other)
    return _tested(float(one.mean() - other.mean()), draws, one, other, "independent", how) | counts


def _tested(value: float, draws: Floats, one: Floats, other: Floats, kind: str, how: How) -> dict[str, Any]:
    return {"value": value, **interval(draws, how), "p": permutation(one, other, kind, how.seed)}


def permutation(one: Floats, other: Floats, kind: str, seed: int) -> float:
    """Return the two-sided p-value of the difference of two means, by scipy's permutation test.

    Args:
        one: the values of one side.
        other: those of the other; for `samples` the partners of the first ones.
        kind: `samples`, partners change sides, or `independent`.
        seed: of the random permutations; where there are few enough, all are tried.
    """
    from scipy.stats import permutation_test  # here, since it takes a second to load

    def statistic(x: Floats, y: Floats, axis: int) -> Floats:
        return np.asarray(x.mean(axis=axis) - y.mean(axis=axis))

    found = permutation_test(
        (one, other),
        statistic,
        permutation_type=kind,
        vectorized=True,
        n_resamples=_PERMUTATIONS,
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)
