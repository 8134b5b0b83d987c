"""How sure a mean or a difference is: intervals and tests that know which values belong together.

Responses of one dialogue resemble each other, so bootstrap and permutation treat whole dialogues (clusters)
as the units: the values of a cluster are drawn, or change sign, together.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_AT_ONCE = 4_000_000  # draws held in memory at a time


class Interval(NamedTuple):
    """A mean and the bounds of its interval, in the values' own unit."""

    mean: float
    low: float
    high: float


def cluster_bootstrap(
    values: Sequence[float],
    clusters: Sequence[Hashable],
    *,
    seed: int,
    resamples: int = 10_000,
    level: float = 0.95,
) -> Interval:
    """Return the mean and its percentile-bootstrap interval, resampling whole clusters.

    Every resample draws as many clusters as there are, with replacement, and takes the mean of all their
    values, so that large clusters weigh more, as they do in the mean.

    Args:
        values: one number each; at least one.
        clusters: the cluster of each value, such as its dialogue; at least two different ones.
        seed: of the draws, not negative.
        resamples: number of draws, at least 1.
        level: share of the resamples within the interval, between 0 and 1.

    Raises:
        ValueError: an argument is out of its range, a value is not finite, or the lengths differ.
    """
    _check_level(level)
    numbers = _numbers(values, least=1)
    sums, sizes = _by_cluster(numbers, clusters)
    count = len(sums)
    if count < 2:
        raise ValueError("a bootstrap over clusters needs at least 2 of them")

    def draw(rng: np.random.Generator, rows: int) -> NDArray[np.float64]:
        drawn = rng.integers(0, count, size=(rows, count))
        return sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)

    means = resampled(draw, seed, resamples, count)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(numbers.mean()), float(low), float(high))


def described(values: Sequence[float], clusters: Sequence[Hashable], *, seed: int) -> dict[str, float]:
    """Return `mean`, `low` and `high` as metrics files hold them, by `cluster_bootstrap`.

    Of a single cluster there is no interval: then `mean` stands alone.

    Raises:
        ValueError: as cluster_bootstrap, but for a single cluster.
    """
    if len(set(clusters)) == 1 == len({len(values), len(clusters)}):
        return {"mean": float(_numbers(values, least=1).mean())}
    return cluster_bootstrap(values, clusters, seed=seed)._asdict()


def paired_permutation(
    first: Sequence[float],
    second: Sequence[float],
    clusters: Sequence[Hashable],
    *,
    seed: int,
    resamples: int = 10_000,
) -> float:
    """Return the two-sided p-value of mean(second - first), by a sign-flip permutation test.

    Under the null hypothesis the two sides of a pair can be exchanged; all pairs of a cluster are
    exchanged together. Where there are no more than `resamples` assignments of signs (2 to the number of
    clusters), all are enumerated and p is the share of those at least as extreme as the one observed;
    else p = (1 + count) / (1 + resamples) over random ones, which is never 0.

    Args:
        first: one number a pair; at least one.
        second: the other number of each pair.
        clusters: the cluster of each pair.
        seed: of the random signs, not negative; not used where all are enumerated.
        resamples: number of random assignments, at least 1.

    Raises:
        ValueError: an argument is out of its range, a value is not finite, or the lengths differ.
    """
    one, other = _numbers(first, least=1), _numbers(second, least=1)
    if len(one) != len(other):
        raise ValueError(f"{len(one)} first and {len(other)} second values make no pairs")
    sums, _ = _by_cluster(other - one, clusters)
    count = len(sums)
    # Sums of the same numbers in another order differ by rounding, and a tie must count.
    extreme = abs(sums.sum()) - 1e-12 * np.abs(sums).sum()

    def draw(rng: np.random.Generator, rows: int) -> NDArray[np.float64]:
        return np.where(rng.integers(0, 2, size=(rows, count), dtype=np.int8), sums, -sums).sum(axis=1)

    if 2**count <= resamples:
        totals = np.zeros(1)
        for value in sums:
            totals = np.concatenate([totals + value, totals - value])
        return float(np.mean(np.abs(totals) >= extreme))
    totals = resampled(draw, seed, resamples, count)
    return float((1 + np.sum(np.abs(totals) >= extreme)) / (1 + resamples))


def t_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Return the mean of a few independent values, such as one a seed, and Student's t interval.

    Raises:
        ValueError: fewer than two values, one that is not finite, or a level not between 0 and 1.
    """
    _check_level(level)
    numbers = _numbers(values, least=2)
    from scipy.stats import t  # here, since it takes a second to load

    mean = float(numbers.mean())
    margin = float(t.ppf((1 + level) / 2, len(numbers) - 1) * numbers.std(ddof=1) / np.sqrt(len(numbers)))
    return Interval(mean, mean - margin, mean + margin)


def holm(p_values: dict[str, float]) -> dict[str, float]:
    """Return p-values adjusted for their number by Holm's step-down method, in the order given.

    Raises:
        ValueError: a p-value is not between 0 and 1.
    """
    for name, p in p_values.items():
        if not 0 <= p <= 1:
            raise ValueError(f"the p-value of {name} is {p}, not between 0 and 1")
    adjusted: dict[str, float] = {}
    least = 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[name]))
        adjusted[name] = least
    return {name: adjusted[name] for name in p_values}


def resampled(
    draw: Callable[[np.random.Generator, int], NDArray[np.float64]], seed: int, resamples: int, width: int
) -> NDArray[np.float64]:
    """Call `draw` for so many rows of `width` draws at a time that they fit in memory; join what it returns.

    Raises:
        ValueError: fewer than 1 of `resamples`.
    """
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    rng = np.random.default_rng(seed)
    rows = max(1, _AT_ONCE // width)
    return np.concatenate([draw(rng, min(rows, resamples - at)) for at in range(0, resamples, rows)])


def _by_cluster(
    values: NDArray[np.float64], clusters: Sequence[Hashable]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the sum and the number of the values of every cluster, in order of first appearance."""
    if len(values) != len(clusters):
        raise ValueError(f"{len(values)} values have {len(clusters)} clusters")
    numbered = {cluster: number for number, cluster in enumerate(dict.fromkeys(clusters))}
    at = np.array([numbered[cluster] for cluster in clusters])
    return np.bincount(at, weights=values), np.bincount(at)


def _numbers(values: Sequence[float], least: int) -> NDArray[np.float64]:
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or len(numbers) < least:
        raise ValueError(f"needs a list of at least {least} number{'s' if least > 1 else ''}")
    if not np.isfinite(numbers).all():
        raise ValueError("a value is not a finite number")
    return numbers


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level}")
