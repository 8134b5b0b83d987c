"""What the study over seeds and controls found, where it has been run."""

from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any

from stages.records.errors import InputError
from stages.reporting.cells import bounds, not_available, p_value, shown
from stages.reporting.document import Block, Cell, Group, Row, Table, Text
from stages.reporting.reading import Run, mapping, number

FILE = ("study", "study.json")
SCORES = {
    "own_share": "own facts, %",
    "personal": "personal, %",
    "generic": "generic, %",
    "words": "words a response",
    "bleu_2_paper": "BLEU-2 (paper)",
    "bleu_2_standard": "BLEU-2 (standard)",
    "distinct_2_paper": "Distinct-2 (paper)",
    "distinct_2_standard": "Distinct-2 (standard)",
    "capability": "benchmarks, average",
}
SOURCES = {"m0": "M0", "m1": "M1", "m2": "M2", "second gain": "M2 - M1"}


def study_blocks(run: Run) -> list[Block]:
    """Return expectations, controls and sources of preferences, each with its interval over seeds."""
    document = run.json(*FILE)
    where = run.where(run.metrics_path(*FILE))
    if document is None:
        return [Text.of(run.says("the study with its controls: not run (make study)."))]
    seeds = ", ".join(map(str, _list(document, "seeds", where)))
    left_out = ", ".join(map(str, _list(document, "not_available", where)))
    notes = (
        f"Of commit {document.get('commit')}, seeds {seeds}; Student's intervals over seeds.",
        *([f"Not measured in every seed, so left out: {left_out}."] if left_out else []),
    )
    effects = [
        Row((str(one.get("name")),), (_text(one, "expected"), *_measured(one, where), _yes(one.get("holds"))))
        for one in _objects(document, "effects", where)
    ]
    controls = [
        Row(
            (str(one.get("arm")),),
            (_text(one, "symptom"), _text(one, "seeds"), _interval(one, where), _yes(one.get("shown"))),
        )
        for one in _objects(document, "controls", where)
    ]
    sources = [
        Row(
            (str(one.get("source")),),
            (_text(one, "seeds"), *(_interval(mapping(one, key, file=where), where) for key in SOURCES)),
        )
        for one in _objects(document, "sources", where)
    ]
    columns = {
        "What must come out": ("expectation", ("expected", "measured", "p", "as expected")),
        "Controls: runs spoilt on purpose": ("control", ("symptom", "seeds", "measured", "shown")),
        "Sources of preferences: own facts taken up, in percent": ("source", ("seeds", *SOURCES.values())),
    }
    tables: list[Block] = [
        Table(
            f"study-{run.name}-{at}",
            f"{caption}{run.behind}",
            (head,),
            names,
            (Group("", tuple(rows)),),
            notes,
        )
        for at, ((caption, (head, names)), rows) in enumerate(
            zip(columns.items(), (effects, controls, sources), strict=True)
        )
        if rows
    ]
    return [*tables, *_models(run, document, where)]


def _models(run: Run, document: Mapping[str, Any], where: str) -> list[Block]:
    """Return every model of every arm, the mean over the seeds with its standard deviation."""
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for one in _objects(document, "runs", where):
        for model, numbers in mapping(one, "models", file=where).items():
            found.setdefault((str(one.get("arm")), model), []).append(mapping(numbers, file=where))
    if not found:
        return []
    there = {name for seeds in found.values() for numbers in seeds for name in numbers}
    names = [*SCORES, *sorted(there - SCORES.keys())]
    rows = [
        Row(heads, (Cell(str(len(seeds))), *(_spread(seeds, name, where) for name in names)))
        for heads, seeds in found.items()
    ]
    note = "Mean over the seeds ± standard deviation; not available where a seed has no such number."
    columns, groups = ("seeds", *(SCORES.get(name, name) for name in names)), (Group("", tuple(rows)),)
    caption, heads = f"Every model over the seeds{run.behind}", ("runs", "model")
    return [Table(f"study-{run.name}-models", caption, heads, columns, groups, (note,), folded=True)]


def _spread(seeds: Sequence[Mapping[str, Any]], name: str, where: str) -> Cell:
    values = [value for one in seeds if (value := number(one, name, file=where)) is not None]
    if len(values) < len(seeds):
        return not_available()
    return Cell(shown(mean(values)), detail=f"± {shown(stdev(values))}" if len(values) > 1 else "")


def _measured(one: Mapping[str, Any], where: str) -> tuple[Cell, Cell]:
    p = number(one, "p", file=where)
    return _interval(one, where), Cell("no test", kind="absent") if p is None else Cell(p_value(p))


def _interval(one: Mapping[str, Any], where: str) -> Cell:
    mean, low, high = (number(one, key, file=where) for key in ("mean", "low", "high"))
    return not_available() if mean is None else Cell(f"{mean:.2f}", detail=bounds(low, high))


def _text(one: Mapping[str, Any], key: str) -> Cell:
    return Cell(str(one.get(key, "")), kind="text")


def _yes(value: Any) -> Cell:
    return Cell("yes" if value is True else "no" if value is False else "not said", kind="text")


def _objects(document: Mapping[str, Any], name: str, where: str) -> Sequence[dict[str, Any]]:
    return [mapping(one, file=where) for one in _list(document, name, where)]


def _list(document: Mapping[str, Any], name: str, where: str) -> list[Any]:
    found = document.get(name, [])
    if not isinstance(found, list):
        raise InputError("is not a list", file=where, field=name)
    return found
