"""Results as the report reads them: a value with its interval over raters, or the reason why there is none.

The ratings of one rater resemble each other, so a rater is drawn with all of his or her ratings.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from selfevolve.metrics.statistics import Floats, Resampling, bootstrap, bounds, holm


def interval(draws: Floats, level: float) -> dict[str, Any]:
    """Return `low` and `high`, the percentile interval of bootstrap draws.

    Draws in which the number is not defined (NaN) are left out and counted as `undefined_resamples`. If more
    than half are, there is no interval and `no_interval` says so.
    """
    there = draws[np.isfinite(draws)]
    counted = {"undefined_resamples": int(len(draws) - len(there))} if len(there) < len(draws) else {}
    if 2 * len(there) < len(draws):
        return {"no_interval": "not defined in more than half of the resamples", **counted}
    low, high = bounds(there, level)
    return {"low": low, "high": high, **counted}


def ratio(sums: Mapping[str, tuple[float, float]], how: Resampling) -> dict[str, Any]:
    """Return sum of the first parts / sum of the second ones, with its interval over raters or the reason.

    Of a mean, a rater's parts are the sum and the number of his or her values. Denominators add up to more
    than 0.
    """
    above, below = np.array(list(sums.values()), dtype=np.float64).T
    value = float(above.sum() / below.sum())
    if len(above) < 2:
        return {"value": value, "no_interval": "there is one rater only"}
    with np.errstate(invalid="ignore", divide="ignore"):
        draws = bootstrap(lambda drawn: above[drawn].sum(axis=1) / below[drawn].sum(axis=1), len(above), how)
    return {"value": value, **interval(draws, how.level)}


def by_rater(values: Sequence[float], raters: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Return sum and number of the values of every rater, in order of first appearance."""
    found: dict[str, tuple[float, float]] = {}
    for value, rater in zip(values, raters, strict=True):
        total, count = found.get(rater, (0.0, 0.0))
        found[rater] = (total + value, count + 1)
    return found


def adjusted(tests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the tests with `p_holm` and `tests`, the number it is adjusted for, beside every `p`."""
    corrected = holm({str(at): one["p"] for at, one in enumerate(tests) if "p" in one})
    for at, p in corrected.items():
        tests[int(at)] |= {"p_holm": p, "tests": len(corrected)}
    return tests


def not_available(reason: str, **more: Any) -> dict[str, Any]:
    """Return what stands in the place of a number that cannot be had."""
    return {"not_available": reason, **more}
