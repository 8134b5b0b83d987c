"""Contestants take turns, so that a busy minute of the machine falls on all of them alike."""

import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

Contestant = Callable[[], Mapping[str, int]]
"""Does the whole work once; returns the new tokens of every request by id."""


def compare(contestants: Mapping[str, Contestant], rounds: int) -> dict[str, dict[str, Any]]:
    """Run every contestant once in each round and return seconds, median and tokens of each by name.

    One uncounted round comes first: it warms up and shows whether all write the same number of tokens for
    every request as the first contestant. One that fails or differs gets `failed`, the reason, and no median.
    The order turns by one place from round to round.
    """
    results: dict[str, dict[str, Any]] = {name: {"seconds": []} for name in contestants}
    reference: dict[str, int] | None = None
    names = list(contestants)
    for turn in range(-1, rounds):
        shift = max(turn, 0) % len(names)
        for name in names[shift:] + names[:shift]:
            result = results[name]
            if "failed" in result:
                continue
            begin = time.perf_counter()
            try:
                tokens = dict(contestants[name]())
            except Exception as error:  # a contestant is a foreign program: any failure is a result here
                result["failed"] = f"{type(error).__name__}: {error}"
                continue
            seconds = time.perf_counter() - begin
            reference = tokens if reference is None else reference
            if tokens != reference:
                wrong = sum(tokens.get(key) != count for key, count in reference.items())
                result["failed"] = f"{wrong} of {len(reference)} requests have another output length"
                continue
            result["tokens"] = sum(tokens.values())
            if turn >= 0:
                result["seconds"].append(round(seconds, 4))
    for result in results.values():
        if "failed" not in result:
            result["median_s"] = median(result["seconds"])
    return results
