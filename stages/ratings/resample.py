"""Intervals over raters, or over units: whole clusters are drawn with replacement.

The ratings of one rater resemble each other, so that a rater is drawn with all of his or her ratings. Draws
are kept as how often every cluster was drawn, by which a resample of a ratio of sums is one product of
matrices.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class How:
    """How is resampled: seed (not negative), number of resamples (at least 1), level (between 0 and 1)."""

    seed: int = 1
    resamples: int = 2000
    level: float = 0.95


def times_drawn(clusters: int, how: How) -> Floats:
    """Return how often each cluster is drawn, (resamples, clusters), as many draws as there are clusters."""
    rng = np.random.default_rng(how.seed)
    return rng.multinomial(clusters, np.full(clusters, 1 / clusters), size=how.resamples).astype(np.float64)


def interval(draws: Floats, how: How) -> dict[str, Any]:
    """Return `low` and `high`, the percentile interval of what resamples gave.

    Resamples in which the number is not defined (NaN) are left out and counted as `undefined_resamples`;
    where more than half are, there is no interval and `no_interval` says so.
    """
    there = draws[np.isfinite(draws)]
    counted = {"undefined_resamples": int(len(draws) - len(there))} if len(there) < len(draws) else {}
    if 2 * len(there) < len(draws):
        return {"no_interval": "not defined in more than half of the resamples", **counted}
    low, high = np.quantile(there, [(1 - how.level) / 2, (1 + how.level) / 2])
    return {"low": float(low), "high": float(high), **counted}


def ratio(sums: Mapping[str, tuple[float, float]], how: How, cluster: str = "rater") -> dict[str, Any]:
    """Return sum of the first parts / sum of the second ones, with its interval over clusters.

    Args:
        sums: for every cluster its part of the numerator and of the denominator; of a mean, the sum and
            the number of its values. The denominators add up to more than 0.
        how: how is resampled.
        cluster: what a cluster is called.

    Returns:
        `value`, then `low` and `high`, or `no_interval` with the reason.
    """
    parts = np.array(list(sums.values()), dtype=np.float64)
    value = float(parts[:, 0].sum() / parts[:, 1].sum())
    if len(parts) < 2:
        return {"value": value, "no_interval": f"there is one {cluster} only"}
    drawn = times_drawn(len(parts), how) @ parts
    with np.errstate(invalid="ignore", divide="ignore"):
        return {"value": value, **interval(drawn[:, 0] / drawn[:, 1], how)}


def by_cluster(values: Sequence[float], clusters: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Return sum and number of the values of every cluster, in order of first appearance."""
    found: dict[str, tuple[float, float]] = {}
    for value, cluster in zip(values, clusters, strict=True):
        total, count = found.get(cluster, (0.0, 0.0))
        found[cluster] = (total + value, count + 1)
    return found


def not_available(reason: str, **more: Any) -> dict[str, Any]:
    """Return what stands in the place of a number that cannot be had."""
    return {"not_available": reason, **more}
