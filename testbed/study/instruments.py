"""Do measures that need no gold profile rank models as their facts do?

Where nobody knows the seekers, a measure must stand in for the facts that a model names. In the mini world
both are known. Within each seed, the models of all arms are ranked by the measure and by their own facts.
Spearman's rank correlation says how far the two agree, from -1 to 1. The interval is Student's over seeds.
The measures of findings.yaml's `instruments` include some that claim nothing, such as length. Personal
responses are longer here, so a measure of length agrees as well: `partial` is the rank correlation with the
influence of length taken out.
"""

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any

import numpy as np

from selfevolve.metrics.statistics import holm, t_interval, t_test
from testbed.study.findings import Run, wanted

GOLD = "own_share"  # percent of the known facts of the own seeker that a response names
LENGTH = "words"
SELECTED = ("best_of",)  # answers that were chosen by one of the measures: it would rank them by itself
ROUNDING = 1e-9  # what is left of a measure that ranks as length does
MODELS = 4  # fewer can be ranked alike by chance too easily


def instruments(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return a row for each measure: its rank correlation with own facts over the models of a seed.

    Args:
        runs: the bases and all arms, one of each a seed.

    Returns:
        rows with `name`, `seeds`, `models` (of the seed that has the fewest), the mean correlation with its
        interval over seeds, `p` (Student's over seeds, with Holm's correction in `p_holm`), and `partial`,
        the mean and interval with length taken out, but of length itself. A measure is left out where fewer
        than two seeds have it for MODELS models.
    """
    seeds: dict[int, list[Mapping[str, float]]] = {}
    for run in runs:
        known = [one for name, one in run.models.items() if GOLD in one and name not in SELECTED]
        seeds.setdefault(run.seed, []).extend(known)  # who only talks has no facts of single answers
    rows: list[dict[str, Any]] = []
    for name, measure in wanted().instruments.items():
        measured = [[one for one in models if measure in one] for models in seeds.values()]
        measured = [models for models in measured if len(models) >= MODELS]
        if len(measured) < 2:
            continue
        found = [_correlations(measure, models) for models in measured]
        agreed = [own for own, _ in found]
        row = {"name": name, "seeds": len(measured), "models": min(map(len, measured))}
        row |= t_interval(agreed)._asdict() | {"p": t_test(agreed)}
        if measure != LENGTH:
            row["partial"] = t_interval([partial for _, partial in found])._asdict()
        rows.append(row)
    corrected = holm({row["name"]: row["p"] for row in rows})
    return [row | {"p_holm": corrected[row["name"]]} for row in rows]


def _correlations(measure: str, models: Sequence[Mapping[str, float]]) -> tuple[float, float]:
    """Return how a measure's ranks go with those of own facts, and the same with length taken out."""
    measured, gold, length = ([one[name] for one in models] for name in (measure, GOLD, LENGTH))
    both = spearman(measured, gold)
    of_measure, of_gold = spearman(measured, length), spearman(gold, length)
    left = (1 - of_measure**2) * (1 - of_gold**2)
    return both, (both - of_measure * of_gold) / sqrt(left) if left > ROUNDING else 0.0


def spearman(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the rank correlation of pairs of numbers, ties at their middle; 0 where one is a constant."""
    from scipy.stats import rankdata  # here, since it takes a second to load

    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return float(np.corrcoef(rankdata(first), rankdata(second))[0, 1])
