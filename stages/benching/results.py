"""metrics/bench.json: parts that are measured alone and merged, goals, and the table of both."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, NamedTuple

from stages.records.errors import InputError
from stages.records.jsonl import read_text
from stages.records.publish import publish_json

NOT_MEASURED = "not measured"
MODELS = ("respond", "scattered", "reflect", "small")


class Goal(NamedTuple):
    """A bound on one number; `path` leads to it in the parts, or to two numbers whose ratio is meant."""

    text: str
    kind: Literal["at least", "at most"]
    bound: float
    path: tuple[str, ...]
    over: tuple[str, ...] | None = None


MANY, SOME = ("growth", "100000 contexts"), ("growth", "10000 contexts")
GOALS = (
    *(Goal(f"times one-by-one generate ({p})", "at least", 8, (p, "one by one", "times")) for p in MODELS),
    *(Goal(f"times the best fixed batch ({p})", "at least", 2, (p, "fixed batch", "times")) for p in MODELS),
    Goal("times do_predict", "at least", 2, ("programs", "do_predict", "times")),
    *(
        Goal(f"% over forward passes ({m})", "at most", 10, ("overhead", m, "percent"))
        for m in ("tiny", "small")
    ),
    Goal("s for a no-change dvc repro", "at most", 2, ("pipeline", "no-change repro", "median_s")),
    Goal("times the seconds of 10,000 for 100,000", "at most", 11, (*MANY, "median_s"), (*SOME, "median_s")),
    Goal("times the memory of 10,000 for 100,000", "at most", 1.1, (*MANY, "peak_mib"), (*SOME, "peak_mib")),
)


def merge(path: Path, part: str, result: dict[str, Any], machine: dict[str, Any]) -> dict[str, Any]:
    """Put one finished part into the file, beside the parts there already; return the whole.

    Each part holds the machine it ran on: parts may have been measured on different ones.

    Raises:
        InputError: the file is not a JSON object with `parts`.
    """
    whole = read(path) if path.exists() else {"parts": {}}
    whole["parts"][part] = {**result, "machine": machine}
    whole["goals"] = judge(whole["parts"])
    publish_json(path, whole)
    return whole


def read(path: Path) -> dict[str, Any]:
    """Read a file that `merge` wrote; raise InputError for any other."""
    try:
        value = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise InputError(f"not JSON: {error.msg}", file=path) from None
    if not isinstance(value, dict) or not isinstance(value.get("parts"), dict):
        raise InputError("is not an object", file=path, field="parts")
    return value


def judge(parts: dict[str, Any]) -> list[dict[str, Any]]:
    """Return for each goal the value and `missed_by` (None where met), or "not measured"."""
    judged = []
    for goal in GOALS:
        value = _at(parts, goal.path)
        if goal.over is not None and value is not None:
            below = _at(parts, goal.over)
            value = value / below if below else None
        entry: dict[str, Any] = {"goal": f"{goal.kind} {goal.bound:g} {goal.text}", "value": NOT_MEASURED}
        if value is not None:
            miss = goal.bound - value if goal.kind == "at least" else value - goal.bound
            entry |= {"value": round(value, 3), "missed_by": round(miss, 3) if miss > 0 else None}
        judged.append(entry)
    return judged


def missing(whole: dict[str, Any], parts: Iterable[str]) -> list[str]:
    """Return the parts that are not in the file yet."""
    return [part for part in parts if part not in whole["parts"]]


def table(whole: dict[str, Any]) -> str:
    """Return what was measured, and the goals, as Markdown.

    `times`: how many times as many tokens a second ours writes, the median over rounds, and their range.
    """
    lines = ["| part | what | median, s | tokens/s | times | |", "|---|---|---:|---:|---:|---|"]
    for part, result in whole["parts"].items():
        for name, row in result.items():
            if name != "machine":
                lines.append(f"| {part} | {name} | {' | '.join(_cells(row))} |")
    lines += ["", "| goal | measured | missed by |", "|---|---:|---:|"]
    for entry in whole["goals"]:
        lines.append(f"| {entry['goal']} | {entry['value']} | {entry.get('missed_by') or ''} |")
    return "\n".join(lines)


def _cells(row: dict[str, Any]) -> list[str]:
    if "failed" in row:
        return ["failed", "", "", row["failed"]]
    times = "{times:.2f} ({least:.2f} to {most:.2f})".format(**row) if "times" in row else ""
    notes = {
        "runs": "median of {}",
        "size": "{} at a time",
        "percent": "{} %",
        "peak_mib": "at most {} MiB",
        "start_mib": "{} MiB before the first",
        "reason": "{}",
    }
    row = {**row, "runs": len(row["seconds"])} if len(row.get("seconds", [])) not in (0, 5) else row
    notes = [text.format(row[key]) for key, text in notes.items() if key in row]
    middle = row.get("median_s", NOT_MEASURED if "reason" in row else "")
    return [str(middle), str(row.get("tokens_per_s", "")), times, ", ".join(notes)]


def _at(value: Any, path: tuple[str, ...]) -> float | None:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value
