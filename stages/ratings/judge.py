"""How well a judge's scores go with people's (the last row of table 7).

People rate whole sessions, a judge single responses to test contexts; what both share is the model, and
the contexts that stood in the study as fixed items. So there are two levels, each with its number of points.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import pearsonr, rankdata, spearmanr

from stages.ratings.export import ITEM, Rating
from stages.ratings.resample import Floats, How, interval, not_available

Scores = Mapping[tuple[str, str, str], float]
"""(model, context, dimension) to the judge's score, 1 to 5."""
Means = Mapping[tuple[str, str], float]
"""(model, dimension) to the mean of the judge's scores."""


def by_model(ratings: Sequence[Rating], judged: Means, dimensions: Sequence[str], how: How) -> dict[str, Any]:
    """Return the correlation of mean ratings and the judge's means: a point a model, by dimension.

    `all` has a point for every model and dimension; what dimensions differ by counts there, too.
    """
    given: dict[tuple[str, str], list[int]] = defaultdict(list)
    for one in ratings:
        given[one.model, one.dimension].append(one.score)
    people = {key: float(np.mean(scores)) for key, scores in given.items()}
    return _by_dimension([(key[1], key, key) for key in people], people, judged, dimensions, how)


def by_context(
    ratings: Sequence[Rating], judged: Scores, dimensions: Sequence[str], how: How
) -> dict[str, Any]:
    """Return the correlation over fixed items: a point a model's response to a context, by dimension."""
    given: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for one in ratings:
        if one.unit.startswith(ITEM):
            given[one.model, one.unit.removeprefix(ITEM), one.dimension].append(one.score)
    people = {key: float(np.mean(scores)) for key, scores in given.items()}
    return _by_dimension([(key[2], key, key) for key in people], people, judged, dimensions, how)


def correlation(people: Sequence[float], judge: Sequence[float], how: How) -> dict[str, Any]:
    """Return Pearson's and Spearman's correlation with bootstrap intervals over the n points."""
    n = {"n": len(people)}
    if len(people) < 3:
        return not_available("fewer than three points", **n)
    x, y = np.asarray(people, dtype=np.float64), np.asarray(judge, dtype=np.float64)
    for side, scores in (("people", x), ("the judge", y)):
        if np.ptp(scores) == 0:
            return not_available(f"all scores of {side} are the same", **n)
    drawn = np.random.default_rng(how.seed).integers(0, len(x), size=(how.resamples, len(x)))
    ranks = [rankdata(side[drawn], axis=1) for side in (x, y)]
    return {
        "pearson": {"value": float(pearsonr(x, y).statistic), **interval(_rows(x[drawn], y[drawn]), how)},
        "spearman": {"value": float(spearmanr(x, y).statistic), **interval(_rows(*ranks), how)},
        **n,
    }


def _by_dimension(
    points: Sequence[tuple[str, Any, Any]],
    people: Mapping[Any, float],
    judged: Mapping[Any, float],
    dimensions: Sequence[str],
    how: How,
) -> dict[str, Any]:
    both = [(dimension, people[one], judged[other]) for dimension, one, other in points if other in judged]
    found = {
        name: correlation([p for d, p, _ in both if d in names], [j for d, _, j in both if d in names], how)
        for name, names in [("all", list(dimensions)), *((one, [one]) for one in dimensions)]
    }
    return {**found, "without_judge": len(points) - len(both), "without_people": len(judged) - len(both)}


def _rows(x: Floats, y: Floats) -> Floats:
    """Return Pearson's correlation of every row, NaN where a side is constant."""
    one, other = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    scale = np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))
    flat = (np.ptp(x, axis=1) == 0) | (np.ptp(y, axis=1) == 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(flat, np.nan, (one * other).sum(axis=1) / scale)
