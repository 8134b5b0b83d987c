"""How certain a number is, and whether two numbers differ: bootstrap, randomisation test, Holm, Student's t.

Values that belong together form a cluster: the responses of one dialogue, the ratings of one rater. They
resemble each other, so whole clusters are drawn by the bootstrap and exchanged by the test. The draws depend
on the seed and the number of clusters alone. Two scores of the same dialogues are therefore drawn together,
and a score has the same interval wherever it is reported.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Counts: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]

_AT_ONCE = 4_000_000  # draws held in memory at a time


class Resampling(NamedTuple):
    """How to resample: the seed (not negative), the number of resamples (at least 1), the level (0 to 1)."""

    seed: int
    resamples: int = 10_000
    level: float = 0.95


class Interval(NamedTuple):
    """A mean and the bounds of its interval, in the values' own unit."""

    mean: float
    low: float
    high: float


def bootstrap(statistic: Callable[[Counts], Floats], clusters: int, how: Resampling) -> Floats:
    """Return a statistic of every resample: as many clusters as there are, drawn with replacement.

    Args:
        statistic: takes the numbers of the clusters that were drawn [draws, clusters], from 0, and returns
            one value, or one row of values, for each draw.
        clusters: the number of clusters, at least 2.
        how: how to resample.

    Returns:
        The statistic of every resample, [resamples] or [resamples, values].
    """
    if clusters < 2:
        raise ValueError(f"a bootstrap over clusters needs at least 2 of them, got {clusters}")

    def draw(rng: np.random.Generator, rows: int) -> Floats:
        return statistic(rng.integers(0, clusters, size=(rows, clusters)))

    return _in_parts(draw, how, clusters)


def times_drawn(drawn: Counts) -> Counts:
    """Return how often each cluster occurs in each draw; both arrays are [draws, clusters]."""
    rows, clusters = drawn.shape
    places = drawn + clusters * np.arange(rows)[:, np.newaxis]
    return np.bincount(places.ravel(), minlength=rows * clusters).reshape(rows, clusters)


def bounds(draws: Floats, level: float) -> tuple[float, float]:
    """Return the percentile interval of bootstrap draws, `level` (0 to 1) of which lie within it."""
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level}")
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def randomisation(
    difference: Callable[[Flags], Floats], observed: float, clusters: int, how: Resampling, tie: float = 1e-9
) -> float:
    """Return the two-sided p-value of a paired difference by approximate randomisation of whole clusters.

    Under the null hypothesis the two sides of a cluster can be exchanged. If there are no more than
    `how.resamples` exchanges (2 to the number of clusters), the test enumerates them and p is the share of
    those at least as extreme as the observed one. Otherwise it draws exchanges, and
    p = (1 + count) / (1 + resamples), which is never 0.

    Args:
        difference: takes which clusters are exchanged [exchanges, clusters] and returns the difference
            after each exchange [exchanges].
        observed: the difference without any exchange.
        clusters: the number of clusters, at least 1.
        how: how to resample; the level plays no part.
        tie: two differences that are closer than this differ by rounding only.
    """
    extreme = abs(observed) - tie
    if how.resamples >= 1 and 2**clusters <= how.resamples:
        every: Flags = (np.arange(2**clusters)[:, np.newaxis] >> np.arange(clusters)) & 1 == 1
        return float(np.mean(np.abs(difference(every)) >= extreme))

    def draw(rng: np.random.Generator, rows: int) -> Floats:
        return difference(rng.integers(2, size=(rows, clusters), dtype=bool))

    drawn = _in_parts(draw, how, clusters)
    return float((1 + np.sum(np.abs(drawn) >= extreme)) / (1 + how.resamples))


def cluster_bootstrap(
    values: Sequence[float],
    clusters: Sequence[Hashable],
    *,
    seed: int,
    resamples: int = 10_000,
    level: float = 0.95,
) -> Interval:
    """Return the mean of some finite values and its percentile interval, resampling whole clusters.

    `clusters` are those of the values, such as their dialogues, at least two. Large ones weigh more in a
    resample, as they do in the mean. `seed`, `resamples` and `level` are those of `Resampling`.
    """
    numbers = _numbers(values, least=1)
    sums, sizes = _by_cluster(numbers, clusters)
    how = Resampling(seed, resamples, level)
    means = bootstrap(lambda drawn: sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1), len(sums), how)
    return Interval(float(numbers.mean()), *bounds(means, level))


def mean_and_interval(
    values: Sequence[float], clusters: Sequence[Hashable], *, seed: int
) -> dict[str, float]:
    """Return `mean`, `low` and `high` as metrics files hold them, by `cluster_bootstrap`.

    A single cluster has no interval: then `mean` stands alone.
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
    """Return the two-sided p-value of mean(second - first), by `randomisation` of whole clusters.

    `first` and `second` are the finite numbers of each pair, `clusters` the pairs' clusters.
    """
    one, other = _numbers(first, least=1), _numbers(second, least=1)
    if len(one) != len(other):
        raise ValueError(f"{len(one)} first and {len(other)} second values make no pairs")
    sums, _ = _by_cluster(other - one, clusters)
    total = sums.sum()
    return randomisation(
        lambda swap: total - 2 * (swap @ sums),
        total,
        len(sums),
        Resampling(seed, resamples),
        tie=1e-12 * np.abs(sums).sum(),
    )


def t_interval(values: Sequence[float]) -> Interval:
    """Return the mean of at least two independent values, such as one a seed, and its 95 % t interval."""
    numbers = _numbers(values, least=2)
    from scipy.stats import t  # here, since it takes a second to load

    mean = float(numbers.mean())
    margin = float(t.ppf(0.975, len(numbers) - 1) * numbers.std(ddof=1) / np.sqrt(len(numbers)))
    return Interval(mean, mean - margin, mean + margin)


def t_test(values: Sequence[float]) -> float:
    """Return the two-sided p-value of Student's test that at least two independent values have the mean 0.

    Where all of them are the same number, p is 1 if it is 0, else 0.
    """
    numbers = _numbers(values, least=2)
    if np.ptp(numbers) == 0:
        return float(numbers[0] == 0)
    from scipy.stats import ttest_1samp  # here, since it takes a second to load

    return float(ttest_1samp(numbers, 0.0).pvalue)


def holm(p_values: dict[str, float]) -> dict[str, float]:
    """Return p-values adjusted for their number by Holm's step-down method, in the order given."""
    for name, p in p_values.items():
        if not 0 <= p <= 1:
            raise ValueError(f"the p-value of {name} is {p}, not between 0 and 1")
    adjusted: dict[str, float] = {}
    least = 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[name]))
        adjusted[name] = least
    return {name: adjusted[name] for name in p_values}


def _in_parts(draw: Callable[[np.random.Generator, int], Floats], how: Resampling, width: int) -> Floats:
    """Call `draw` for as many rows of `width` draws at a time as fit in memory, and join what it returns."""
    if how.resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {how.resamples}")
    rng = np.random.default_rng(how.seed)
    rows = max(1, _AT_ONCE // width)
    return np.concatenate([draw(rng, min(rows, how.resamples - at)) for at in range(0, how.resamples, rows)])


def _by_cluster(values: Floats, clusters: Sequence[Hashable]) -> tuple[Floats, Counts]:
    """Return the sum and the number of the values of every cluster, in order of first appearance."""
    if len(values) != len(clusters):
        raise ValueError(f"{len(values)} values have {len(clusters)} clusters")
    numbered = {cluster: number for number, cluster in enumerate(dict.fromkeys(clusters))}
    at = np.array([numbered[cluster] for cluster in clusters])
    return np.bincount(at, weights=values), np.bincount(at)


def _numbers(values: Sequence[float], least: int) -> Floats:
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or len(numbers) < least:
        raise ValueError(f"needs a list of at least {least} number{'s' if least > 1 else ''}")
    if not np.isfinite(numbers).all():
        raise ValueError("a value is not a finite number")
    return numbers
