"""Contestants take turns, so that a busy minute of the machine falls on all of them alike."""

import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any, NamedTuple


class Timed(NamedTuple):
    """What a contestant returns that measures its own seconds, since it has a process to start first."""

    seconds: float
    tokens: Mapping[str, int]


Contestant = Callable[[], Mapping[str, int] | Timed]
"""Does the whole work once; returns the new tokens of every request by id."""


def compare(
    contestants: Mapping[str, Contestant], rounds: int, same_lengths: bool = True, warm: bool = True
) -> dict[str, dict[str, Any]]:
    """Run every contestant once in each round and return seconds, median and tokens of each by name.

    One uncounted round comes first: it warms up and shows whether all write the same number of tokens for
    every request as the first contestant. One that fails or differs gets `failed`, the reason, and no median.
    The order turns by one place from round to round.

    Args:
        contestants: by name; the first one is what the others are compared with.
        rounds: how many count, from 1 on.
        same_lengths: False where prompts or sums differ a little between programs: then a contestant may
            write other lengths, `tokens` says how many in all, and its speed is tokens a second.
        warm: False leaves out the round that does not count.
    """
    results: dict[str, dict[str, Any]] = {name: {"seconds": [], "rates": []} for name in contestants}
    reference: Mapping[str, int] | None = None
    names = list(contestants)
    for turn in range(-1 if warm else 0, rounds):
        shift = max(turn, 0) % len(names)
        for name in names[shift:] + names[:shift]:
            result = results[name]
            if "failed" in result:
                continue
            try:
                seconds, tokens = _run(contestants[name])
            except Exception as error:  # a contestant is a foreign program: any failure is a result here
                result["failed"] = f"{type(error).__name__}: {error}"
                continue
            reference = tokens if reference is None else reference
            if fault := _fault(tokens, reference, same_lengths):
                result["failed"] = fault
                continue
            result["tokens"] = sum(tokens.values())
            if turn >= 0:
                result["seconds"].append(round(seconds, 4))
                result["rates"].append(round(result["tokens"] / seconds, 2))
    first = results[names[0]]
    for result in results.values():
        if "failed" not in result:
            result["median_s"] = median(result["seconds"])
            result["tokens_per_s"] = median(result["rates"])
            result |= _ratios(first, result)
    return results


def _run(contestant: Contestant) -> Timed:
    begin = time.perf_counter()
    done = contestant()
    seconds = time.perf_counter() - begin
    return done if isinstance(done, Timed) else Timed(seconds, done)


def _fault(tokens: Mapping[str, int], reference: Mapping[str, int], same_lengths: bool) -> str | None:
    if tokens.keys() != reference.keys():
        return f"answered {len(tokens.keys() & reference.keys())} of {len(reference)} requests"
    wrong = sum(tokens[key] != count for key, count in reference.items())
    if wrong and same_lengths:
        return f"{wrong} of {len(reference)} requests have another output length"
    return None


def _ratios(first: dict[str, Any], other: dict[str, Any]) -> dict[str, float]:
    """How many times faster, in tokens a second, the first one is: median over rounds, least and most."""
    if "failed" in first or first is other:
        return {}
    pairs = zip(first["rates"], other["rates"], strict=True)
    ratios = [round(mine / theirs, 3) for mine, theirs in pairs]
    return {"times": median(ratios), "least": min(ratios), "most": max(ratios)}
