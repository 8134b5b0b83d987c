"""How well a judge's scores go with people's (the last row of table 7).

People rate whole sessions, a judge single responses to test contexts; what both share is the model, and
the contexts that stood in the study as fixed items. So there are two levels, each with its number of points.
"""

import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from scipy.stats import ConstantInputWarning, pearsonr, rankdata, spearmanr

from rating.analysis.estimates import interval, not_available
from selfevolve.metrics.statistics import Floats, Resampling, bootstrap

Point = TypeVar("Point", tuple[str, str], tuple[str, str, str])
Scores = Mapping[tuple[str, str, str], float]
"""(model, context, dimension) to the judge's score, 1 to 5."""
Means = Mapping[tuple[str, str], float]
"""(model, dimension) to the mean of the judge's scores."""


def by_dimension(
    given: Sequence[tuple[Point, int]],
    judged: Mapping[Point, float],
    dimensions: Sequence[str],
    how: Resampling,
) -> dict[str, Any]:
    """Return the correlation of people's mean scores of every point and the judge's score, by dimension.

    A point's last part is its dimension. `all` has the points of every dimension; what dimensions differ by
    counts there, too.
    """
    scores: dict[Point, list[int]] = defaultdict(list)
    for point, score in given:
        scores[point].append(score)
    people = {point: float(np.mean(some)) for point, some in scores.items()}
    both = [(point[-1], mean, judged[point]) for point, mean in people.items() if point in judged]
    found = {
        name: correlation([p for d, p, _ in both if d in names], [j for d, _, j in both if d in names], how)
        for name, names in [("all", list(dimensions)), *((one, [one]) for one in dimensions)]
    }
    return {**found, "without_judge": len(scores) - len(both), "without_people": len(judged) - len(both)}


def correlation(people: Sequence[float], judge: Sequence[float], how: Resampling) -> dict[str, Any]:
    """Return Pearson's and Spearman's correlation with bootstrap intervals over the n points."""
    n = {"n": len(people)}
    if len(people) < 3:
        return not_available("fewer than three points", **n)
    x, y = np.asarray(people, dtype=np.float64), np.asarray(judge, dtype=np.float64)
    for side, scores in (("people", x), ("the judge", y)):
        if np.ptp(scores) == 0:
            return not_available(f"all scores of {side} are the same", **n)
    pearson = bootstrap(lambda drawn: _rows(x[drawn], y[drawn]), len(x), how)
    spearman = bootstrap(
        lambda drawn: _rows(*(rankdata(side[drawn], axis=1) for side in (x, y))), len(x), how
    )
    return {
        "pearson": {"value": float(pearsonr(x, y).statistic), **interval(pearson, how.level)},
        "spearman": {"value": float(spearmanr(x, y).statistic), **interval(spearman, how.level)},
        **n,
    }


def _rows(x: Floats, y: Floats) -> Floats:
    """Return Pearson's correlation of every row, NaN where a side is constant."""
    with warnings.catch_warnings(action="ignore", category=ConstantInputWarning):
        return np.asarray(pearsonr(x, y, axis=1).statistic)
