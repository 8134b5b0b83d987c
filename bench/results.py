"""metrics/bench.json: parts that are measured alone and merged, the goals, and a table of both."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from bench.measuring import SETTINGS
from selfevolve.report.table import Cell, Row, Table, to_markdown
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import publish_json, read_json

NOT_MEASURED = "not measured"


def merge(path: Path, part: str, rows: Mapping[str, Any], machine: Mapping[str, Any]) -> dict[str, Any]:
    """Put one finished part, with the machine it ran on, into the file beside the parts there already."""
    whole = read(path)
    whole["parts"][part] = {**rows, "machine": machine}
    whole["goals"] = judge(whole["parts"])
    publish_json(path, whole)
    return whole


def read(path: Path) -> dict[str, Any]:
    """Return what `merge` has written so far; raise InputError for another file."""
    value = read_json(path) if path.exists() else {"parts": {}}
    if not isinstance(value, dict) or not isinstance(value.get("parts"), dict):
        raise InputError("is not an object", file=path, field="parts")
    return value


def judge(parts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return for each goal the value and `missed_by` (None where it is met), or "not measured"."""
    judged = []
    for goal in SETTINGS["goals"]:
        value, over = _at(parts, goal["path"]), _at(parts, goal.get("over", []))
        if "over" in goal:
            value = value / over if value is not None and over else None
        entry: dict[str, Any] = {"goal": goal["goal"], "value": NOT_MEASURED}
        if value is not None:
            miss = goal["at_least"] - value if "at_least" in goal else value - goal["at_most"]
            value = value if isinstance(value, bool) else round(value, 3)
            entry |= {"value": value, "missed_by": round(miss, 3) if miss > 0 else None}
        judged.append(entry)
    return judged


def table(whole: Mapping[str, Any], parts: Collection[str] = ()) -> str:
    """Return parts (all, if none is named) and goals as Markdown.

    `times`: how many times as many tokens a second ours writes; the median over rounds, and their range.
    """
    rows = [
        Row.of(part, name, cells=_cells(row))
        for part in parts or whole["parts"]
        for name, row in whole["parts"].get(part, {}).items()
        if name != "machine"
    ]
    measured = Table("", ("part", "what"), ("median, s", "tokens/s", "times", "notes"), tuple(rows))
    goals = []
    for entry in judge(whole["parts"]):
        texts = (str(_shown(entry["value"])), str(entry.get("missed_by") or ""))
        goals.append(Row.of(entry["goal"], cells=map(Cell, texts)))
    judged = Table("", ("goal",), ("measured", "missed by"), tuple(goals))
    return f"{to_markdown(measured)}\n\n{to_markdown(judged)}"


def _cells(row: Mapping[str, Any]) -> list[Cell | str]:
    runs = len(row.get("seconds", []))
    noted = {**row, "runs": runs} if runs not in (0, 5) else row
    texts = SETTINGS["notes"].items()
    notes = ", ".join(t.format(_shown(noted[key])) for key, t in texts if noted.get(key) is not None)
    times = f"{row['times']:.2f}, {row['least']:.2f} to {row['most']:.2f}" if "times" in row else ""
    absent = "failed" if "failed" in row else NOT_MEASURED if "reason" in row else ""
    numbers = (row.get("median_s", absent), row.get("decode_tokens_s", row.get("tokens_per_s", "")), times)
    return [*(Cell(f"{n:.6g}" if isinstance(n, float) else str(n)) for n in numbers), notes]


def _shown(value: Any) -> Any:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else value


def _at(value: Any, path: list[str]) -> float | None:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, int | float) else None
