"""How sure a score is, and a difference of two models on the same contexts: over dialogues, for any score.

The draws depend on the seed and the number of dialogues alone, so that two models, or two scores, are drawn
together, and an interval is the same wherever it is reported.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.scoring.dialogues import Floats, Score
from stages.scoring.significance import resampled

_TIE = 1e-9  # what differs by less, differs by rounding


class Estimate(NamedTuple):
    """A score and the bounds of its interval, in the score's unit; the number of its dialogues."""

    value: float
    low: float
    high: float
    dialogues: int


class Difference(NamedTuple):
    """The last model's score minus the first's, the bounds of its interval, and two-sided p-values."""

    difference: float
    low: float
    high: float
    p_bootstrap: float
    p_randomisation: float
    dialogues: int


class Resampling(NamedTuple):
    """How often (at least 1), with which seed (not negative) and to which level (0..1) is resampled."""

    seed: int
    resamples: int
    level: float


def estimate(score: Score, how: Resampling) -> Estimate:
    """Return a score with its percentile-bootstrap interval over dialogues.

    Raises:
        ValueError: it rests on fewer than two dialogues.
    """
    return Estimate(score.value, *_bounds(bootstrap(score, how), how.level), len(score.dialogues))


def compare(first: Score, last: Score, how: Resampling) -> Difference:
    """Return the difference of a score between two models, its interval, and two tests of it.

    Paired bootstrap: p is the chance that the difference of a draw is as far from the mean of all draws as
    the one observed is from 0. Approximate randomisation: p is the chance of so large a difference if the
    two models' responses can be exchanged, whole dialogues at a time.

    Raises:
        ValueError: they are not of the same dialogues, or of fewer than two.
    """
    if first.dialogues != last.dialogues:
        raise ValueError("the scores are not of the same dialogues")
    difference = last.value - first.value
    draws = bootstrap(last, how) - bootstrap(first, how)
    beyond = np.abs(draws - draws.mean()) >= abs(difference) - _TIE
    return Difference(
        difference,
        *_bounds(draws, how.level),
        float((1 + beyond.sum()) / (1 + len(draws))),
        randomisation(first, last, how),
        len(first.dialogues),
    )


def bootstrap(score: Score, how: Resampling) -> Floats:
    """Return the score of every resample: as many dialogues as there are, drawn with replacement.

    Raises:
        ValueError: there are fewer than two dialogues.
    """
    count = _at_least_two(score)

    def draw(rng: np.random.Generator, rows: int) -> Floats:
        drawn = rng.integers(0, count, size=(rows, count)) + count * np.arange(rows)[:, np.newaxis]
        times = np.bincount(drawn.ravel(), minlength=rows * count)
        return score.resampled(times.reshape(rows, count))

    return resampled(draw, how.seed, how.resamples, count)


def randomisation(first: Score, last: Score, how: Resampling) -> float:
    """Return the two-sided p-value of the difference by approximate randomisation of whole dialogues.

    Where there are no more than `resamples` exchanges (2 to the number of dialogues), all are enumerated
    and p is the share of those at least as extreme as the one observed; else p = (1 + count) /
    (1 + resamples) over random ones, which is never 0.

    Raises:
        ValueError: there are fewer than two dialogues.
    """
    count = _at_least_two(first)
    extreme = abs(last.value - first.value) - _TIE
    if 2**count <= how.resamples:
        every: NDArray[np.bool_] = (np.arange(2**count)[:, np.newaxis] >> np.arange(count)) & 1 == 1
        return float(np.mean(np.abs(first.exchanged(last, every)) >= extreme))

    def draw(rng: np.random.Generator, rows: int) -> Floats:
        return first.exchanged(last, rng.integers(2, size=(rows, count), dtype=bool))

    differences = resampled(draw, how.seed, how.resamples, count)
    return float((1 + np.sum(np.abs(differences) >= extreme)) / (1 + how.resamples))


def _bounds(draws: Floats, level: float) -> tuple[float, float]:
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _at_least_two(score: Score) -> int:
    if len(score.dialogues) < 2:
        raise ValueError("resampling dialogues needs at least two of them")
    return len(score.dialogues)
