"""Every interval in the page on the open questions is one of the study's or of its longer runs'."""

import json
import re
from collections.abc import Iterator
from typing import Any

from tests.conftest import ROOT

INTERVAL = re.compile(r"(-?\d+\.\d+) \\\[(-?\d+\.\d+), (-?\d+\.\d+)\\\]")


def measured(value: Any) -> Iterator[tuple[float, float, float]]:
    """All means with their intervals, however deep."""
    if isinstance(value, dict):
        if {"mean", "low", "high"} <= value.keys():
            yield value["mean"], value["low"], value["high"]
        value = list(value.values())
    for one in value if isinstance(value, list) else []:
        yield from measured(one)


def test_the_intervals_of_the_open_questions_are_in_the_tables():
    """A difference may be told the other way round, with its sign and bounds exchanged."""
    files = ("metrics/study/study.json", "metrics/evolution/evolution.json")
    known = [one for file in files for one in measured(json.loads((ROOT / file).read_text(encoding="utf-8")))]
    known += [(-mean, -high, -low) for mean, low, high in known]
    text = (ROOT / "docs/open-questions.md").read_text(encoding="utf-8")
    found = INTERVAL.findall(re.sub(r"\s+", " ", text))
    assert len(found) > 20
    for told in found:
        digits = len(told[0].partition(".")[2])
        near = 0.51 * 10**-digits
        close = (all(abs(float(t) - k) <= near for t, k in zip(told, one, strict=True)) for one in known)
        assert any(close), told
