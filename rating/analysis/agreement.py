"""How far raters agree who rated the same: Krippendorff's alpha, Fleiss' and Cohen's kappa.

A session has one rater, so that agreement comes from the fixed items alone, which several raters see.
"""

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from itertools import combinations
from typing import Any, Literal

import krippendorff
import numpy as np

from rating.analysis.estimates import interval, not_available
from rating.analysis.export import Comparison, Rating
from selfevolve.metrics.statistics import Counts, Floats, Resampling, bootstrap

Level = Literal["ordinal", "nominal"]
Given = Mapping[Hashable, Mapping[str, int]]
"""Unit to rater to the value given, counted from 0."""


def of_ratings(ratings: Sequence[Rating], dimensions: Sequence[str], how: Resampling) -> dict[str, Any]:
    """Return the agreement in every dimension; a unit is a session or an item with a model's answer."""
    given: dict[str, dict[Hashable, dict[str, int]]] = {
        dimension: defaultdict(dict) for dimension in dimensions
    }
    for one in ratings:
        given[one.dimension][one.unit, one.model][one.rater] = one.score - 1
    return {dimension: agreement(given[dimension], 5, "ordinal", how) for dimension in dimensions}


def of_comparisons(comparisons: Sequence[Comparison], how: Resampling) -> dict[str, Any]:
    """Return the agreement about which model won; which side it was shown on plays no part."""
    given: dict[Hashable, dict[str, int]] = defaultdict(dict)
    for one in comparisons:
        earlier, later = sorted((one.first, one.second))
        winner = {"first": one.first, "second": one.second, "tie": None}[one.winner]
        given[one.unit, earlier, later][one.rater] = {earlier: 0, later: 1, None: 2}[winner]
    return agreement(given, 3, "nominal", how)


def agreement(given: Given, values: int, level: Level, how: Resampling) -> dict[str, Any]:
    """Return alpha with its interval over units, and both kappas, each with its numbers or its reason.

    `values` is how many values there are. Units of one rater are counted and left out.
    """
    shared = {unit: of_one for unit, of_one in given.items() if len(of_one) >= 2}
    counts = {
        "units": len(shared),
        "values": sum(map(len, shared.values())),
        "raters": len({rater for of_one in shared.values() for rater in of_one}),
        "units_of_one_rater": len(given) - len(shared),
    }
    if not shared:
        nothing = not_available("no unit was rated by two raters")
        return {**counts, "alpha": nothing, "fleiss_kappa": nothing, "cohen_kappa": nothing}
    table = np.array([np.bincount(list(one.values()), minlength=values) for one in shared.values()])
    return {
        **counts,
        "alpha": _alpha(table, level, how),
        "fleiss_kappa": _fleiss(table),
        "cohen_kappa": _cohen(shared, values, level),
    }


def _alpha(table: Counts, level: Level, how: Resampling) -> dict[str, Any]:
    if np.count_nonzero(table.sum(axis=0)) < 2:
        return not_available("all values are the same, of which alpha is not defined")

    def alpha(drawn: Counts) -> float:
        if np.count_nonzero(drawn.sum(axis=0)) < 2:
            return float("nan")
        return float(krippendorff.alpha(value_counts=drawn, level_of_measurement=level))

    if len(table) < 2:
        return {"value": alpha(table), "no_interval": "there is one unit only"}
    draws = bootstrap(lambda drawn: np.array([alpha(table[units]) for units in drawn]), len(table), how)
    return {"value": alpha(table), **interval(draws, how.level)}


def _fleiss(table: Counts) -> dict[str, Any]:
    sizes = sorted({int(size) for size in table.sum(axis=1)})
    if len(sizes) > 1:
        return not_available(f"units have between {sizes[0]} and {sizes[-1]} raters, not all the same number")
    if np.count_nonzero(table.sum(axis=0)) < 2:
        return not_available("all values are the same, of which kappa is not defined")
    from statsmodels.stats.inter_rater import fleiss_kappa  # here, since it takes a second to load

    return {"value": float(fleiss_kappa(table)), "n": len(table), "raters_per_unit": sizes[0]}


def _cohen(shared: Given, values: int, level: Level) -> dict[str, Any]:
    """Return mean, least and most of the kappas of all pairs of raters who share at least two units.

    Of ordinal values it is the kappa with quadratic weights. Pairs who give one value only have none.
    """
    from statsmodels.stats.inter_rater import cohens_kappa  # here, since it takes a second to load

    tables: dict[tuple[str, str], Floats] = {}
    for of_one in shared.values():
        for one, other in combinations(sorted(of_one), 2):
            table = tables.setdefault((one, other), np.zeros((values, values)))
            table[of_one[one], of_one[other]] += 1
    enough = [table for table in tables.values() if table.sum() >= 2]
    defined = [one for one in enough if np.count_nonzero(one.sum(axis=0) + one.sum(axis=1)) > 1]
    counts = {
        "pairs": len(defined),
        "pairs_of_one_unit": len(tables) - len(enough),
        "pairs_of_one_value": len(enough) - len(defined),
    }
    if not defined:
        return not_available("no two raters share two units and differ in any value", **counts)
    weights = "quadratic" if level == "ordinal" else None
    found = [float(cohens_kappa(table, wt=weights, return_results=False)) for table in defined]
    units = [int(table.sum()) for table in defined]
    return {
        "mean": float(np.mean(found)),
        "least": min(found),
        "most": max(found),
        "weights": weights or "none",
        "units_per_pair": float(np.mean(units)),
        **counts,
    }
