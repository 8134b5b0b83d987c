"""Tables and texts that report.yaml describes.

A column of a table is `label: kind place`. The place is a dotted path in a part of a metrics file, or `.` for
all of it. The kinds:

    count, number   a number
    mean            `mean` with its interval, `low` to `high`; `percent` and `change` (`difference`) likewise
    effect          the same, with four decimals where the interval is narrow and near zero
    score           `value` with its interval
    value           the same, or the reason why there is none
    rated, raters   a value with its numbers of ratings and raters; how many raters, with the design below
    p, test         a p-value; where there is none, `test` says "no test"
    words           anything as text

A digit behind a kind is its number of decimals.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

from selfevolve.report.document import Text
from selfevolve.report.reading import Part, Run
from selfevolve.report.table import (
    NOT_AVAILABLE,
    NOT_RUN,
    Cell,
    Row,
    Table,
    bounds,
    not_available,
    not_run,
    p_value,
    shown,
    shown_count,
)
from selfevolve.runtime.files import read_yaml

SPLITS = "splits"  # of the corpora, beside their counts
FILE = Path(__file__).with_name("report.yaml")


class Column(NamedTuple):
    """A column's label, the kind of its cells, and the keys that lead to its numbers."""

    label: str
    kind: str = ""
    place: tuple[str, ...] = ()


@cache
def report() -> dict[str, Any]:
    """Return report.yaml."""
    return read_yaml(FILE)


def columns_of(name: str) -> list[Column]:
    """Return the columns of a table of report.yaml; those without a kind have cells made elsewhere."""
    found = []
    for one in report()["tables"][name].get("columns", []):
        for label, text in one.items() if isinstance(one, dict) else ((one, ""),):
            kind, _, place = text.partition(" ")
            found.append(Column(label, kind, tuple(place.split(".")) if place not in ("", ".") else ()))
    return found


def table(
    name: str,
    run: Run,
    rows: Iterable[Row | tuple[Any, Part]] | Mapping[Any, Part],
    columns: Sequence[Column | str] = (),
    notes: Iterable[str] = (),
    words: dict[str, str] | None = None,
    behind: str | None = None,
) -> list[Table]:
    """Return a table of report.yaml by its name there, as a list, which is empty where there is no row.

    Args:
        name: of the table.
        run: whose it is.
        rows: finished rows, or by head or heads the part of a file that has the numbers.
        columns: behind the columns of report.yaml; a string is the label of cells that are finished.
        notes: behind those of report.yaml.
        words: replace `{name}` in the caption and the notes.
        behind: what the caption ends with, where that is not the run's name.
    """
    words = {"metrics": run.metrics, **(words or {})}
    found = report()["tables"][name]
    every = [*columns_of(name), *(Column(c) if isinstance(c, str) else c for c in columns)]
    listed = rows.items() if isinstance(rows, Mapping) else rows
    made = tuple(row if isinstance(row, Row) else _row(*row, every) for row in listed)
    caption = found["caption"].format(**words) + (run.behind if behind is None else behind)
    said = (*(note.format(**words) for note in found.get("notes", [])), *dict.fromkeys(notes))
    labels, folded = tuple(column.label for column in every), found.get("folded", False)
    return [Table(caption, tuple(found["heads"]), labels, made, said, folded)] if made else []


def _row(heads: str | tuple[str, ...], part: Part, columns: Sequence[Column]) -> Row:
    return Row((heads,) if isinstance(heads, str) else heads, cells(part, columns))


def cells(part: Part, columns: Sequence[Column]) -> tuple[Cell, ...]:
    """Return a cell a column, or where the file is missing one that says so."""
    if not part.there:
        return (not_run(len(columns)),)
    return tuple(_KINDS[column.kind](part, column.place) for column in columns)


def count_tables(run: Run) -> list[Table | Text]:
    """Return the tables of `counts`, which have a file or a file a model; a sentence for what was not run."""
    found: list[Table | Text] = []
    registries = {"sft": run.params.at("sft").value, "iterations": run.iterations, "models": run.models}
    for counts in report()["counts"]:
        file, whose = f"{counts['file']}.json", counts.get("whose", "models")
        if whose == "parts":
            parts, where = run.json(file).parts(), run.json(file).file
        else:
            files = {model: run.json(model, file) for model in registries[whose]}
            parts = {model: one for model, one in files.items() if one.value.get("measured") is not False}
            where = run.metrics_path("MODEL", file)
        splits = parts.pop(SPLITS, None)
        found.append(_counts(run, counts, parts, where))
        if splits:
            sizes = ", ".join(f"{name} {shown_count(value)}" for name, value in splits.numbers().items())
            rule = splits.said("rule", "a rule that is not said")
            found.append(Text.of(run.says(f"split by {rule}; {sizes}.")))
    return found


def _counts(run: Run, counts: dict[str, Any], parts: dict[str, Part], where: str) -> Table | Text:
    caption, only = f"{counts['caption']}{run.behind}", re.compile(counts.get("only", ""))
    if not any(part.there for part in parts.values()):
        return Text.of(f"{caption}: {NOT_RUN}.")
    columns = {
        name: {key: Cell(shown_count(value)) for key, value in part.numbers().items() if only.match(key)}
        for name, part in parts.items()
    }
    absent = {name: not_available() if part.there else not_run() for name, part in parts.items()}
    keys = dict.fromkeys(key for column in columns.values() for key in column)
    lines = {key.removeprefix("tasks."): [columns[n].get(key, absent[n]) for n in parts] for key in keys}
    rows = tuple(Row((head,), tuple(line)) for head, line in lines.items())
    return Table(caption, ("count",), tuple(parts), rows, (f"From {where}.",), counts.get("folded", True))


def _number(
    part: Part, place: Sequence[str], show: Callable[[float], str] = shown, absent: str = NOT_AVAILABLE
) -> Cell:
    value = part.number(*place)
    return Cell(absent, kind="absent") if value is None else Cell(show(value))


def _mean(part: Part, place: Sequence[str], of: str = "mean", decimals: int = 2, sign: str = "") -> Cell:
    found = part.at(*place)
    value = found.number(of)
    details = bounds(found.interval(), decimals)
    return not_available() if value is None else Cell(f"{value:{sign}.{decimals}f}", details)


def _effect(part: Part, place: Sequence[str]) -> Cell:
    """Rewards are hundredths: two decimals would hide on which side of zero they lie."""
    interval = part.at(*place).interval()
    narrow = interval is not None and 0 < max(map(abs, interval)) < 0.1
    return _mean(part, place, decimals=4 if narrow else 2)


def _value(part: Part, place: Sequence[str], decimals: int = 2) -> Cell:
    """A number with its interval, or why either is missing; the kappas of pairs of raters are means."""
    found = part.at(*place)
    value = found.number("value" if "value" in found.value else "mean")
    if value is None:
        reason = found.said("not_available", part.said("not_available"))
        return Cell(NOT_AVAILABLE, reason, kind="absent")
    detail = bounds(found.interval(), decimals) or found.said("no_interval", "")
    if "pairs" in found.value:
        units = found.value.get("units_per_pair")
        each = shown(units, 3) if isinstance(units, float) else str(units)
        detail += f"{found.said('pairs')} pairs, {each} units each"
    return Cell(shown(value, decimals), detail)


def _rated(part: Part, place: Sequence[str]) -> Cell:
    cell, found = _value(part, place), part.at(*place)
    sizes = f"n = {found.said('n')}, {found.said('raters')} raters"
    return cell if cell.kind == "absent" else replace(cell, detail=f"{cell.detail} {sizes}".strip())


def _raters(part: Part, place: Sequence[str]) -> Cell:
    return Cell(part.said(place[-1]), f"{part.said('design', 'None')}, {part.said('left_out')} left out")


def _words(part: Part, place: Sequence[str]) -> Cell:
    words = part.at(*place[:-1]).said(place[-1], "")
    return Cell({"True": "yes", "False": "no"}.get(words, words), kind="text")


_KINDS: dict[str, Callable[[Part, Sequence[str]], Cell]] = {
    "count": partial(_number, show=shown_count),
    "number": _number,
    "number1": partial(_number, show=partial(shown, decimals=1)),
    "number3": partial(_number, show=partial(shown, decimals=3)),
    "mean": _mean,
    "mean3": partial(_mean, decimals=3),
    "effect": _effect,
    "percent": partial(_mean, of="percent"),
    "change": partial(_mean, of="difference", sign="+"),
    "score": partial(_mean, of="value"),
    "value": _value,
    "value3": partial(_value, decimals=3),
    "p": partial(_number, show=p_value),
    "test": partial(_number, show=p_value, absent="no test"),
    "words": _words,
    "rated": _rated,
    "raters": _raters,
}
