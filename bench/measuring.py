"""How the benchmarks measure: contestants take turns, and a program runs in a process of its own."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import read_yaml

SETTINGS: dict[str, Any] = read_yaml(Path(__file__).with_name("settings.yaml"))
SHOWN = 20  # lines of a program that failed


class Timed(NamedTuple):
    """The result of a contestant with a clock of its own, since it starts a process first."""

    seconds: float
    tokens: Mapping[str, int]


Contestant = Callable[[], Mapping[str, int] | Timed]
"""Does the whole work once; returns the new tokens of every request by id."""


def take_turns(
    contestants: Mapping[str, Contestant], rounds: int, same_lengths: bool = True, warm: bool = True
) -> dict[str, dict[str, Any]]:
    """Run every contestant once a round; return the seconds, median and tokens of each by name.

    A busy minute of the machine thus falls on all alike. The order turns by one place from round to round.
    The others are compared with the first contestant. One that fails, or (with `same_lengths`) whose texts
    differ in length from the first one's, gets `failed` and no median. A `warm` round first does not count.
    """
    results: dict[str, dict[str, Any]] = {name: {"seconds": [], "rates": []} for name in contestants}
    reference: Mapping[str, int] = {}
    names = list(contestants)
    for turn in range(-1 if warm else 0, rounds):
        shift = max(turn, 0) % len(names)
        for name in names[shift:] + names[:shift]:
            result = results[name]
            if "failed" in result:
                continue
            begin = time.perf_counter()
            try:
                done = contestants[name]()
                seconds, tokens = done if isinstance(done, Timed) else (time.perf_counter() - begin, done)
                reference = reference or tokens
                _check(tokens, reference, same_lengths)
            except InputError as error:
                result["failed"] = str(error)
            except Exception as error:  # it may be a foreign program: any failure is a result here
                result["failed"] = f"{type(error).__name__}: {error}"
            else:
                result["tokens"] = sum(tokens.values())
                if turn >= 0:
                    result["seconds"].append(round(seconds, 4))
                    result["rates"].append(round(result["tokens"] / seconds, 2))
    first = results[names[0]]
    for result in (result for result in results.values() if "failed" not in result):
        result |= {"median_s": median(result["seconds"]), "tokens_per_s": median(result["rates"])}
        if result is not first and "failed" not in first:
            pairs = zip(first["rates"], result["rates"], strict=True)
            times = [round(mine / other, 3) for mine, other in pairs]
            result |= {"times": median(times), "least": min(times), "most": max(times)}
    return results


def run_child(command: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    """Run a program to its end and return the last line of its standard output.

    The variables of this process take precedence over `environment`. The last line of a program that fails is
    the message of an InputError, and more of them go to standard error.
    """
    environment = {**(environment or {}), **os.environ}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode == 0:
        return done.stdout.rstrip().rpartition("\n")[2]
    lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode} and no message"]
    print("\n".join(lines[-SHOWN:]), file=sys.stderr)
    raise InputError(lines[-1] if done.returncode > 0 else f"ended by signal {-done.returncode}")


def time_child(command: Sequence[str], rounds: int) -> dict[str, Any]:
    """Return the seconds of a program, its start included, and their median; errors as in run_child."""
    seconds = []
    for _ in range(rounds):
        begin = time.perf_counter()
        run_child(command)
        seconds.append(round(time.perf_counter() - begin, 3))
    return {"seconds": seconds, "median_s": median(seconds)}


def resident_peak_mib() -> int:
    """Return the most memory that this process has held, in MiB (getrusage's may be that of its parent)."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.findall(r"^VmHWM:\s*(\d+) kB$", status, re.MULTILINE)[0]) // 1024


def _check(tokens: Mapping[str, int], reference: Mapping[str, int], same_lengths: bool) -> None:
    if tokens.keys() != reference.keys():
        answered = len(tokens.keys() & reference.keys())
        raise InputError(f"answered {answered} of {len(reference)} requests")
    wrong = sum(tokens[key] != count for key, count in reference.items())
    if wrong and same_lengths:
        raise InputError(f"{wrong} of {len(reference)} requests have another output length")
