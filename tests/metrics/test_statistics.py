"""Intervals and tests over clusters: answers known by hand, by enumeration and from SciPy."""

import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from selfevolve.metrics import statistics
from selfevolve.metrics.statistics import (
    cluster_bootstrap,
    holm,
    mean_and_interval,
    paired_permutation,
    t_interval,
)


def noise(count: int, seed: int = 0) -> list[float]:
    rng = random.Random(seed)
    return [rng.gauss(10, 3) for _ in range(count)]


# --- the bootstrap


def test_the_bootstrap_of_two_clusters_is_known_by_hand():
    # The mean of two draws is 0, 1/2 or 1 with chances 1/4, 1/2 and 1/4.
    assert cluster_bootstrap([0, 1], ["a", "b"], seed=1) == (0.5, 0, 1)
    assert cluster_bootstrap([0, 1], ["a", "b"], seed=1, level=0.4) == (0.5, 0.5, 0.5)


def test_a_cluster_is_drawn_whole_and_weighs_what_it_holds():
    # Cluster a holds three values and b one, so the means are 0 (a, a), 1/4 (a, b) and 1 (b, b).
    mean, low, high = cluster_bootstrap([0, 0, 0, 1], "aaab", seed=1, level=0.4)
    assert (mean, low, high) == (0.25, 0.25, 0.25)
    # Values that agree within their cluster tell no more than one of them.
    values = noise(12)
    once = cluster_bootstrap(values, range(12), seed=3)
    fivefold = cluster_bootstrap(
        [v for v in values for _ in range(5)], [c for c in range(12) for _ in range(5)], seed=3
    )
    assert fivefold == pytest.approx(once)
    alone = cluster_bootstrap([v for v in values for _ in range(5)], range(60), seed=3)
    assert alone.high - alone.low < 0.6 * (once.high - once.low)


def test_a_single_cluster_has_a_mean_and_no_interval():
    assert mean_and_interval([1, 2, 6], "aaa", seed=1) == {"mean": 3}
    assert mean_and_interval([0, 1], "ab", seed=1) == {"mean": 0.5, "low": 0, "high": 1}
    for values, clusters in (([], []), ([1, 2], "a"), ([math.nan], "a")):
        with pytest.raises(ValueError, match=r"needs|values have|finite"):
            mean_and_interval(values, clusters, seed=1)


def test_the_bootstrap_of_single_values_is_scipy_s():
    values = noise(60)
    ours = cluster_bootstrap(values, range(60), seed=5)
    theirs = stats.bootstrap((values,), np.mean, method="percentile", rng=np.random.default_rng(5))
    assert ours.mean == pytest.approx(np.mean(values))
    assert ours[1:] == pytest.approx(theirs.confidence_interval, abs=0.05)
    wider = cluster_bootstrap(values, range(60), seed=5, level=0.99)
    assert wider.low < ours.low < ours.mean < ours.high < wider.high


def test_the_seed_decides_and_nothing_else_does():
    values, clusters = noise(30), [number // 3 for number in range(30)]
    assert cluster_bootstrap(values, clusters, seed=1) == cluster_bootstrap(values, clusters, seed=1)
    assert cluster_bootstrap(values, clusters, seed=1) != cluster_bootstrap(values, clusters, seed=2)
    named = [f"dialogue {cluster}" for cluster in clusters]
    assert cluster_bootstrap(values, clusters, seed=1) == cluster_bootstrap(values, named, seed=1)


def test_many_clusters_are_resampled_part_by_part(monkeypatch: pytest.MonkeyPatch):
    values, zeros = noise(50), [9.0] * 50
    whole = cluster_bootstrap(values, range(50), seed=1), paired_permutation(zeros, values, range(50), seed=1)
    monkeypatch.setattr(statistics, "_AT_ONCE", 700)
    parts = cluster_bootstrap(values, range(50), seed=1), paired_permutation(zeros, values, range(50), seed=1)
    assert parts[0] == pytest.approx(whole[0], abs=0.2)
    assert parts[1] == pytest.approx(whole[1], abs=0.01)


# --- the permutation test


def test_p_is_exact_where_all_signs_can_be_enumerated():
    # Only + + + and - - - of the 8 assignments are as far from 0.
    assert paired_permutation([0, 0, 0], [1, 2, 3], "abc", seed=0) == 2 / 8
    # In two clusters there are 4 assignments, of which 2 are as extreme, whatever the number of pairs.
    assert paired_permutation([0] * 6, [1, 2, 3, 1, 2, 3], "aaabbb", seed=0) == 2 / 4
    assert paired_permutation([5, 5], [5, 5], "ab", seed=0) == 1
    assert paired_permutation([0], [1], "a", seed=0) == 1


def test_rounding_breaks_no_tie():
    # One after the other ten tenths make 0.9999999999999999, but numpy's sum of them is 1.
    assert paired_permutation([0] * 10, [0.1] * 10, range(10), seed=0) == 2 / 2**10


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(0, 4)), min_size=1, max_size=10))
def test_p_is_that_of_an_enumeration_by_hand(pairs: list[tuple[int, int]]):
    totals: dict[int, int] = {}
    for difference, cluster in pairs:
        totals[cluster] = totals.get(cluster, 0) + difference
    signs = list(itertools.product((1, -1), repeat=len(totals)))
    reached = [abs(sum(s * t for s, t in zip(sign, totals.values(), strict=True))) for sign in signs]
    expected = sum(value >= abs(sum(totals.values())) for value in reached) / len(signs)
    differences, clusters = zip(*pairs, strict=True)
    assert paired_permutation([0] * len(pairs), differences, clusters, seed=0) == expected


@pytest.mark.parametrize("count", [10, 40])
def test_p_is_scipy_s_where_every_pair_is_a_cluster(count: int):
    first, second = noise(count, 1), [value + 0.8 for value in noise(count, 2)]
    theirs = stats.permutation_test(
        (first, second),
        lambda x, y, axis: np.mean(y - x, axis=axis),
        permutation_type="samples",
        vectorized=True,
        rng=np.random.default_rng(1),
    ).pvalue
    ours = paired_permutation(first, second, range(count), seed=1)
    assert ours == pytest.approx(theirs, abs=1e-9 if count == 10 else 0.02)
    assert paired_permutation(second, first, range(count), seed=1) == pytest.approx(ours, abs=0.02)


def test_random_signs_never_give_0_and_clusters_make_p_larger():
    first, second = [0.0] * 60, [1 + value / 100 for value in noise(60)]
    assert paired_permutation(first, second, range(60), seed=0) == 1 / 10_001
    assert paired_permutation(first, second, range(60), seed=0, resamples=99) == 1 / 100
    assert paired_permutation(first, second, [n // 20 for n in range(60)], seed=0) == 2 / 8


def test_p_is_uniform_where_nothing_differs():
    ps = [paired_permutation([0.0] * 20, noise(20, s), range(20), seed=s, resamples=199) for s in range(5)]
    assert max(ps) <= 1 / 100  # these differ by 10, three deviations
    ps = [paired_permutation([10.0] * 20, noise(20, s), range(20), seed=s, resamples=199) for s in range(200)]
    assert 0.01 <= sum(p <= 0.05 for p in ps) / len(ps) <= 0.1


# --- seeds and several tests


def test_the_t_interval_is_the_one_of_the_tables_and_scipy_s():
    margin = 4.302652729911275 / math.sqrt(3)  # t of two degrees of freedom, from a table
    assert t_interval([1, 2, 3]) == pytest.approx((2, 2 - margin, 2 + margin))
    values = noise(5)
    expected = stats.t.interval(0.95, 4, loc=np.mean(values), scale=stats.sem(values))
    assert t_interval(values)[1:] == pytest.approx(expected)
    assert t_interval([4, 4, 4]) == (4, 4, 4)


def test_holm_steps_down():
    adjusted = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert adjusted == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02})
    assert list(adjusted) == ["a", "b", "c", "d"]
    assert holm({"a": 0.6, "b": 0.9}) == {"a": 1, "b": 1}
    assert holm({"a": 0.02}) == {"a": 0.02}
    assert holm({}) == {}


# --- what is refused


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cluster_bootstrap([], [], seed=0), "at least 1 number"),
        (lambda: cluster_bootstrap([1, 2], ["a"], seed=0), "2 values have 1 clusters"),
        (lambda: cluster_bootstrap([1, 2], ["a", "a"], seed=0), "at least 2 of them"),
        (lambda: cluster_bootstrap([1, math.nan], "ab", seed=0), "not a finite number"),
        (lambda: cluster_bootstrap([[1], [2]], "ab", seed=0), "a list of"),
        (lambda: cluster_bootstrap([1, 2], "ab", seed=0, level=1), "level must be between 0 and 1"),
        (lambda: cluster_bootstrap([1, 2], "ab", seed=0, resamples=0), "resamples must be at least 1"),
        (lambda: paired_permutation([1], [1, 2], "ab", seed=0), "make no pairs"),
        (lambda: paired_permutation([1, 1], [1, 2], "a", seed=0), "2 values have 1 clusters"),
        (lambda: paired_permutation([1], [math.inf], "a", seed=0), "not a finite number"),
        (lambda: paired_permutation([], [], "", seed=0), "at least 1 number"),
        (lambda: paired_permutation([1], [2], "a", seed=0, resamples=0), "resamples must be at least 1"),
        (lambda: t_interval([1]), "at least 2 numbers"),
        (lambda: holm({"a": 0.1, "b": 1.2}), "the p-value of b is 1.2"),
        (lambda: holm({"a": math.nan}), "the p-value of a is nan"),
    ],
)
def test_bad_input_is_a_value_error(call, message: str):
    with pytest.raises(ValueError, match=message):
        call()
