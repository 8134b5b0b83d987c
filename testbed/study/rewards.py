"""How good each reward is, over the seeds: from what the bases measured of them (stages/rewards/accuracy.py).

A reward is asked which of two texts is the human one, ESConv's own turn or M0's answer to the same context.
`length`, which counts words, is a control: with length taken out it must be at 50 percent. `shuffled` puts
every pair into another dialogue's context, where a reward that looks at the seeker must be at 50.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from selfevolve.metrics.statistics import t_interval
from testbed.study.run_file import RunFile

PLACE = "reward/"
REWARDS = ("length", "relevance", "personalisation", "model")
NUMBERS = ("accuracy", "accuracy_without_length", "accuracy_matched", "shuffled.accuracy")
CORRELATION = "rank_correlation_with_words"


def reward_rows(bases: Sequence[RunFile]) -> list[dict[str, Any]]:
    """Return a row for each reward that at least two bases have measured.

    Args:
        bases: one a seed.

    Returns:
        rows with `reward`, `seeds`, and Student's intervals over the seeds of NUMBERS (percent) and of the
        rank correlation with words (-1 to 1). A number that a seed lacks is absent.
    """
    rows = []
    for reward in REWARDS:
        found = [one.metrics[name] for one in bases if (name := f"{PLACE}{reward}") in one.metrics]
        if len(found) < 2:
            continue
        row: dict[str, Any] = {"reward": reward, "seeds": len(found)}
        for name in (*NUMBERS, CORRELATION):
            values = [_value(metrics, name) for metrics in found]
            there = [value for value in values if value is not None]
            if len(there) == len(values):
                row[name.replace(".", "_")] = t_interval(there)._asdict()
        rows.append(row)
    return rows


def _value(metrics: Mapping[str, Any], name: str) -> float | None:
    """Return a number by its dotted name, the mean of one with an interval; None where there is none."""
    place: Any = metrics
    for part in name.split("."):
        place = place.get(part) if isinstance(place, Mapping) else None
    return place.get("mean") if isinstance(place, Mapping) else place
