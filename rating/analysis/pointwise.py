"""Ratings on a scale: means by dimension and model, and differences between models."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from rating.analysis.estimates import adjusted, by_rater, interval, not_available, ratio
from rating.analysis.export import Rating
from selfevolve.metrics.statistics import Floats, Resampling, bootstrap, paired_permutation

_PERMUTATIONS = 9999


def means(
    ratings: Sequence[Rating], dimensions: Sequence[str], models: Sequence[str], how: Resampling
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
    ratings: Sequence[Rating], dimensions: Sequence[str], models: Sequence[str], how: Resampling
) -> list[dict[str, Any]]:
    """Return every difference of two models in every dimension: the later model minus the earlier one.

    It is one of raters' own means. Where at least two raters rated both models, it is the mean of their
    differences, with a paired permutation test; else one of the means of different raters, with one of
    independent samples. `left_out` counts the raters that the design cannot use. `p_holm` is adjusted for
    all of the tests here.
    """
    own: dict[tuple[str, str], dict[str, float]] = {}
    for dimension in dimensions:
        for model in models:
            mine = [one for one in ratings if (one.dimension, one.model) == (dimension, model)]
            sums = by_rater([one.score for one in mine], [one.rater for one in mine])
            own[dimension, model] = {rater: total / count for rater, (total, count) in sums.items()}
    found = [
        {"dimension": dimension, "model": last, "minus": first}
        | _difference(own[dimension, last], own[dimension, first], how)
        for dimension in dimensions
        for first, last in combinations(models, 2)
    ]
    return adjusted(found)


def _mean(ratings: Sequence[Rating], how: Resampling) -> dict[str, Any]:
    counts = {
        "n": len(ratings),
        "units": len({(one.rater, one.unit) for one in ratings}),
        "raters": len({one.rater for one in ratings}),
    }
    if not ratings:
        return not_available("nobody rated it", **counts)
    sums = by_rater([one.score for one in ratings], [one.rater for one in ratings])
    return {**ratio(sums, how), **counts}


def _difference(last: dict[str, float], first: dict[str, float], how: Resampling) -> dict[str, Any]:
    both = [rater for rater in last if rater in first]
    if len(both) >= 2:
        mine, theirs = ([side[rater] for rater in both] for side in (last, first))
        change = np.array(mine) - np.array(theirs)
        draws = bootstrap(lambda drawn: change[drawn].mean(axis=1), len(both), how)
        counts = {"design": "paired", "n": len(both), "left_out": len(last.keys() ^ first.keys())}
        p = paired_permutation(theirs, mine, both, seed=how.seed)
        return {"value": float(change.mean()), **interval(draws, how.level), "p": p, **counts}
    # The raters of both models would stand on both sides, so the two samples go without them.
    one, other = (
        np.array([mean for rater, mean in side.items() if rater not in both]) for side in (last, first)
    )
    counts = {"design": "unpaired", "n": len(one) + len(other), "left_out": len(both)}
    if min(len(one), len(other)) < 2:
        return not_available("fewer than two raters of both models, or of each", **counts)
    again = how._replace(seed=how.seed + 1)
    draws = bootstrap(lambda drawn: one[drawn].mean(axis=1), len(one), how)
    draws = draws - bootstrap(lambda drawn: other[drawn].mean(axis=1), len(other), again)
    value, p = float(one.mean() - other.mean()), _unpaired(one, other, how.seed)
    return {"value": value, **interval(draws, how.level), "p": p, **counts}


def _unpaired(one: Floats, other: Floats, seed: int) -> float:
    """Return the two-sided p-value of the difference of two independent means, by scipy's test."""
    from scipy.stats import permutation_test  # here, since it takes a second to load

    found = permutation_test(
        (one, other),
        lambda x, y, axis: x.mean(axis=axis) - y.mean(axis=axis),
        permutation_type="independent",
        vectorized=True,
        n_resamples=_PERMUTATIONS,
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)
