"""The paper's tables 1, 4 and 7: corpora, benchmarks and a judge's scores, with the runs' numbers below."""

from collections.abc import Iterable, Sequence
from math import sqrt
from typing import Any

from stages.reporting.cells import (
    bounds,
    not_available,
    not_run,
    printed,
    shown,
    shown_count,
    without_folders,
)
from stages.reporting.document import Cell, Group, Row, Table
from stages.reporting.paper import Paper, Printed
from stages.reporting.reading import Run, mapping, number
from stages.reporting.tables import HEADS, OTHER_DATA, PAPER, caption, doubts, of_other_data

AVERAGE, CORRELATION = "average", "correlation"
SUB_METRICS = (
    "The paper does not say which sub-metrics it has. A share of n items is a multiple of 1/n: all values of "
    "IFEval are multiples of 1/834 (its instructions; 54.79 is cut, not rounded) and none of 1/541 (its "
    "prompts), so it is the accuracy of instructions; TruthfulQA's 51.66 is no multiple of 1/817, so it is "
    "mc2 and not mc1; GSM8K's 79.08 fits both filters, and the flexible one is taken, since the strict one "
    "also tests for a sign that chat models do not write. All sub-metrics stand in the next table."
)
ERRORS = (
    "± is a standard error. That of the average takes the benchmarks as independent of each other. The paper "
    "gives none."
)
CORPORA_NOTE = "Words are separated by white space. The rows are the columns of the paper's table."


def corpora_table(paper: Paper, runs: Sequence[Run]) -> Table:
    """Return table 1 with what `stages.prepare` counted."""
    table = paper.tables[1]
    rows: list[Row] = []
    notes = [CORPORA_NOTE]
    for row in table.rows:
        rows.append(Row((row.row, PAPER), tuple(printed(row.values[name]) for name in table.columns)))
        for run in runs:
            cells, note = _corpus(run, row.model, list(table.columns))
            rows.append(Row((row.row, f"{run.name}: {run.setting('data', 'name')}"), cells))
            notes += [note] if note else []
    return _table(1, paper, ("corpus", "of"), rows, notes)


def benchmarks_table(paper: Paper, runs: Sequence[Run]) -> Table:
    """Return table 4: a headline a benchmark with its standard error, and the average of all five."""
    table = paper.tables[4]
    tasks = [name for name in table.columns if name != AVERAGE]
    rows: list[Row] = []
    notes = [ERRORS, SUB_METRICS]
    for row in table.rows:
        rows.append(Row((row.row, PAPER), tuple(printed(row.values[name]) for name in table.columns)))
        for run in runs:
            cells, found = _benchmarks(run, row.model, tasks)
            rows.append(Row((row.row, run.label), cells))
            notes += found
    return _table(4, paper, HEADS, rows, notes + _of_other_data(paper, runs))


def sub_metrics_table(run: Run) -> Table | None:
    """Return every sub-metric of every benchmark of one run, None where nothing was measured."""
    found: dict[tuple[str, str], dict[str, Cell]] = {}
    models = []
    for model in run.models:
        report, where = _capability(run, model)
        tasks = mapping(report, "tasks", file=where)
        models += [model] if tasks else []
        for task in tasks:
            for metric in mapping(tasks, task, "metrics", file=where):
                value = number(tasks, task, "metrics", metric, "value", file=where)
                error = number(tasks, task, "metrics", metric, "stderr", file=where)
                found.setdefault((task, metric), {})[model] = _with_error(value, error)
    if not found:
        return None
    rows = [
        Row((task, metric), tuple(cells.get(model, not_available()) for model in models))
        for (task, metric), cells in found.items()
    ]
    title = f"Every benchmark that was run, with all of its metrics{run.behind}"
    note = "From metrics/MODEL/capability.json, in percent, ± a standard error where there is one."
    name = f"benchmarks-{run.name}"
    return Table(
        name, title, ("benchmark", "metric"), tuple(models), (Group("", tuple(rows)),), (note,), True
    )


def judge_table(paper: Paper, runs: Sequence[Run]) -> Table:
    """Return table 7: a judge's mean scores, and its correlation with people's."""
    table = paper.tables[7]
    notes = ["In brackets: an interval over dialogues. The paper's judge is GPT-4o."]
    rows: list[Row] = []
    for row in table.rows:
        rows.append(Row((row.row, PAPER), tuple(printed(row.values[name]) for name in table.columns)))
        for run in runs:
            if row.model == CORRELATION:
                rows += _correlations(run, row, table.rows)
                continue
            cells, note = _judged(run, row.model, list(table.columns))
            rows.append(Row((row.row, run.label), cells))
            notes += [note] if note else []
    return _table(7, paper, HEADS, rows, notes + _of_other_data(paper, runs))


def _table(at: int, paper: Paper, heads: tuple[str, ...], rows: Sequence[Row], notes: Iterable[str]) -> Table:
    table = paper.tables[at]
    every = (*dict.fromkeys(notes), *doubts(table))
    return Table(
        f"table-{at}",
        caption(at, paper),
        heads,
        tuple(table.columns.values()),
        (Group("", tuple(rows)),),
        every,
    )


def _of_other_data(paper: Paper, runs: Sequence[Run]) -> list[str]:
    return [OTHER_DATA] if any(of_other_data(run, paper) for run in runs) else []


def _corpus(run: Run, corpus: str, columns: Sequence[str]) -> tuple[tuple[Cell, ...], str]:
    document = run.json("corpora.json")
    where = run.where(run.metrics_path("corpora.json"))
    if document is None:
        return (not_run(len(columns)),), ""
    values = [number(document, corpus, "table_1", column, file=where) for column in columns]
    cells = tuple(not_available() if value is None else Cell(shown_count(value)) for value in values)
    missing = any(value is None for value in values)
    return (
        cells,
        f"{corpus} of {run.name}: not available where there is no dialogue to count." if missing else "",
    )


def _benchmarks(run: Run, model: str, tasks: Sequence[str]) -> tuple[tuple[Cell, ...], list[str]]:
    report, where = _capability(run, model)
    if report is None:
        return (not_run(len(tasks) + 1),), []
    if report.get("measured") is False:
        return (not_available(len(tasks) + 1),), [f"{where}: not asked for (`capability` of the model)."]
    reasons = mapping(report, "not_available", file=where)
    notes = [
        f"{where}: {name} is not available: {without_folders(str(reason))}."
        for name, reason in reasons.items()
    ]
    found: list[tuple[float | None, float | None]] = []
    cells: list[Cell] = []
    for task in tasks:
        value, error = _headline(report, task, where)
        found.append((value, error))
        cells.append(not_run() if value is None and task not in reasons else _with_error(value, error))
    if report.get("limit") is not None:
        notes.append(f"{where}: only {report['limit']} items a benchmark (`capability.limit`).")
    if any(value is None for value, _ in found):
        notes.append("No average where a benchmark was not run: it would be of others than the paper's.")
        return (*cells, not_available()), notes
    return (*cells, _average(found)), notes


def _average(found: Sequence[tuple[float | None, float | None]]) -> Cell:
    values = [value for value, _ in found if value is not None]
    errors = [error for _, error in found if error is not None]
    whole = len(errors) == len(found)
    error = sqrt(sum(error**2 for error in errors)) / len(errors) if whole else None
    return _with_error(sum(values) / len(values), error)


def _headline(report: dict[str, Any], task: str, where: str) -> tuple[float | None, float | None]:
    headline = mapping(report, "tasks", task, file=where).get("headline")
    if not isinstance(headline, str):
        return number(report, "score", task, file=where), None
    keys = ("tasks", task, "metrics", headline)
    return number(report, *keys, "value", file=where), number(report, *keys, "stderr", file=where)


def _with_error(value: float | None, error: float | None) -> Cell:
    if value is None:
        return not_available()
    return Cell(shown(value), detail="" if error is None else f"± {shown(error)}")


def _capability(run: Run, model: str) -> tuple[dict[str, Any] | None, str]:
    return run.json(model, "capability.json"), run.where(run.metrics_path(model, "capability.json"))


def _judged(run: Run, model: str, dimensions: Sequence[str]) -> tuple[tuple[Cell, ...], str]:
    document = run.json(model, "judge.json")
    where = run.where(run.metrics_path(model, "judge.json"))
    if document is None:
        return (not_run(len(dimensions)),), ""
    cells = []
    for dimension in dimensions:
        keys = ("scores", dimension)
        mean, low, high = (number(document, *keys, key, file=where) for key in ("mean", "low", "high"))
        cells.append(not_available() if mean is None else Cell(shown(mean), detail=bounds(low, high)))
    judge = mapping(document, "judge", file=where)
    verdicts = mapping(document, "verdicts", file=where)
    note = (
        f"{where}: the judge is {judge.get('model')} ({judge.get('kind')}), its rubrics "
        f"{str(judge.get('rubrics'))[:12]}; of {verdicts.get('asked')} questions {verdicts.get('decided')} "
        "have a verdict. Where none has one, a score is not available."
    )
    unsent = judge.get("not_sent")
    note += f" Not sent to it: {', '.join(map(str, unsent))}." if isinstance(unsent, list) and unsent else ""
    return tuple(cells), without_folders(note)


def _correlations(run: Run, row: Printed, rows: Sequence[Printed]) -> list[Row]:
    """Return a row a model with scores of people beside the judge's, in percent as the paper has it."""
    found = []
    for model in dict.fromkeys(one.model for one in rows if one.model != CORRELATION):
        document = run.json(model, "judge.json")
        where = run.where(run.metrics_path(model, "judge.json"))
        if not (people := mapping(document, "human", file=where)):
            continue
        values = [number(people, dimension, "pearson", file=where) for dimension in row.values]
        cells = tuple(not_available() if value is None else Cell(shown(100 * value)) for value in values)
        found.append(Row((row.row, f"{run.label}, {model.upper()}"), cells))
    return found or [Row((row.row, run.label), (not_run(len(row.values)),))]
