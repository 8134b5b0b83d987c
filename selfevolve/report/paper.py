"""The paper's tables: its numbers, from paper.yaml, and below each what the runs have of the same."""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from math import hypot
from pathlib import Path

from pydantic import Field

from selfevolve.report.described import Column, cells, report, table
from selfevolve.report.reading import RAW, Part, Run
from selfevolve.report.scores import Scores
from selfevolve.report.table import (
    Cell,
    Row,
    Table,
    in_group,
    not_available,
    not_run,
    shown,
    shown_count,
    without_folders,
)
from selfevolve.runtime.files import read_yaml
from selfevolve.runtime.parameters import Params, validate

FILE = Path(__file__).with_name("paper.yaml")
PAPER = "paper"  # whose numbers a row has, and the name of its protocol
AVERAGE, CORRELATION = "average", "correlation"
# With which model a model is compared, where that is not the one it was trained from.
AGAINST = {
    2: {"sft-esconv": RAW, "sft-synesc": RAW, "m0": RAW, "m2": "m0"},
    3: {"strategies": RAW, "self-reflection": RAW},
}
BY_BACKBONE = (2, 6)  # tables with the block of every backbone
Notes = dict[str, None]  # what is to be said below a table, in order


class Printed(Params):
    """A row as printed: values by metric, and the gains (percent) printed beside some."""

    row: str
    model: str
    block: str = ""
    values: dict[str, int | float]
    gains: dict[str, float] = Field(default_factory=dict)


class PaperTable(Params):
    """One table; every row has a value in every column."""

    caption: str
    columns: dict[str, str]
    rows: list[Printed]
    doubts: list[str] = Field(default_factory=list)
    held_against: str = ""


class Paper(Params):
    """All tables by number, and the backbones' printed names by this project's."""

    title: str
    url: str
    backbones: dict[str, str]
    tables: dict[int, PaperTable]


@cache
def paper() -> Paper:
    """Return the paper's numbers."""
    return validate(Paper, read_yaml(FILE), file=FILE)


def paper_tables(runs: Sequence[Run]) -> list[Table]:
    """Return the paper's tables with the runs' numbers, and after table 4 all sub-metrics of each run."""
    sub_metrics = [table for run in runs for table in _sub_metrics(run)]
    first, last = ([_table(at, runs) for at in OWN if (at > 4) == behind] for behind in (False, True))
    return [*first, *sub_metrics, *last]


def _table(number: int, runs: Sequence[Run]) -> Table:
    """Return a table of the paper with each run's rows below the paper's.

    Where the table has blocks by backbone, a run stands in its own, or in one of its own below the paper's.
    """
    notes: Notes = {}
    table = paper().tables[number]
    blocks, several = list(dict.fromkeys(row.block for row in table.rows)), number in BY_BACKBONE
    rows: list[Row] = []
    for block in blocks:
        of_block = [run for run in runs if not several or run.backbone == block]
        found = _rows(number, [row for row in table.rows if row.block == block], of_block, notes)
        rows += in_group(paper().backbones[block] if several else "", found)
    printed = [row for row in table.rows if row.block == blocks[0]]
    for backbone in dict.fromkeys(run.backbone for run in runs if several and run.backbone not in blocks):
        others = [run for run in runs if run.backbone == backbone]
        found = _rows(number, printed, others, notes, paper_s=False)
        rows += in_group(f"{backbone} (not in the paper)", found)
    every = [*report()["paper_notes"][number], *notes]
    every += [report()["other_data"]] if number != 1 and any(map(_of_other_data, runs)) else []
    every += [f"Doubtful in the paper's text: {doubt}" for doubt in table.doubts]
    every += [f"Checked: {table.held_against}"] if table.held_against else []
    of_one = f" (the paper's: {paper().backbones[blocks[0]]})" if len(blocks) == 1 and blocks[0] else ""
    caption = f"Table {number}. {table.caption}{of_one}"
    heads = ("corpus" if number == 1 else "model", "of")
    return Table(caption, heads, tuple(table.columns.values()), tuple(rows), tuple(dict.fromkeys(every)))


def _text_rows(number: int, run: Run, row: Printed, notes: Notes) -> list[Row]:
    """Return text metrics in the paper's protocol, with signs of significance, of table 2, 3, 5 or 6."""
    trained_from = run.started_from(row.model) if row.model in run.iterations else None
    against = AGAINST[number].get(row.model) if number in AGAINST else trained_from
    name = run.name if number in BY_BACKBONE else run.label
    metrics, gains = list(paper().tables[number].columns), number in (5, 6)
    return [Row((row.row, name), Scores(run, notes).cells(row.model, PAPER, metrics, against, gains))]


def _rows(
    number: int, printed: Sequence[Printed], runs: Sequence[Run], notes: Notes, paper_s: bool = True
) -> list[Row]:
    """Return the paper's rows, if wanted, with the runs' own below each; further iterations at the end."""
    columns = paper().tables[number].columns
    known = {row.model for row in printed}
    chains = [run.chain(model) for run in runs for model in run.iterations if number == 6]
    further = dict.fromkeys(m for c in chains if "m2" in c for m in c[c.index("m2") :] if m not in known)
    rows: list[Row] = []
    for row in (*printed, *(Printed(row=model.upper(), model=model, values={}) for model in further)):
        cells = tuple(_printed(row.values.get(name), row.gains.get(name)) for name in columns)
        rows += [Row((row.row, PAPER), cells)] if paper_s else []
        for run in runs:
            if row.model in known or row.model in run.iterations:
                rows += OWN[number](number, run, row, notes)
    return rows if runs else [*rows, Row(("all of them", "this project"), (not_run(len(columns)),))]


def _printed(value: float | None, change: float | None) -> Cell:
    if value is None:
        return Cell("–", meaning="not in the paper", kind="absent")
    return Cell(shown_count(value), "" if change is None else f"{change:+.2f} %", kind="paper")


def _of_other_data(run: Run) -> bool:
    same = run.backbone in paper().backbones
    return not (same and run.setting("data", "name") == "paper" and run.setting("scale") == "paper")


def _corpus_rows(number: int, run: Run, row: Printed, notes: Notes) -> list[Row]:
    """Return what `stages.prepare` counted."""
    columns = [Column("", "count", (name,)) for name in paper().tables[number].columns]
    found = cells(run.json("corpora.json").at(row.model, "table_1"), columns)
    if not_available() in found:
        notes[f"{row.model} of {run.name}: not available where there is no dialogue to count."] = None
    return [Row((row.row, f"{run.name}: {run.setting('data', 'name')}"), found)]


def _benchmark_rows(number: int, run: Run, row: Printed, notes: Notes) -> list[Row]:
    """Return a headline a benchmark with its standard error, and the average of all five."""
    tasks = [name for name in paper().tables[number].columns if name != AVERAGE]
    return [Row((row.row, run.label), _benchmarks(run.json(row.model, "capability.json"), tasks, notes))]


def _sub_metrics(run: Run) -> list[Table]:
    """Return every sub-metric of every benchmark of one run; an empty list where nothing was measured."""
    found: dict[tuple[str, str], dict[str, Cell]] = {}
    files = {model: run.json(model, "capability.json").at("tasks") for model in run.models}
    tasks = {model: part for model, part in files.items() if part.value}
    for model, part in tasks.items():
        for task, results in part.parts().items():
            for metric, one in results.at("metrics").parts().items():
                cell = _with_error(one.number("value"), one.number("stderr"), not_available())
                found.setdefault((task, metric), {})[model] = cell
    made = {heads: [of_one.get(m, not_available()) for m in tasks] for heads, of_one in found.items()}
    return table("benchmarks", run, [Row(heads, tuple(line)) for heads, line in made.items()], list(tasks))


def _judge_rows(number: int, run: Run, row: Printed, notes: Notes) -> list[Row]:
    """Return a judge's mean scores, and their correlation with people's."""
    if row.model == CORRELATION:
        return _correlations(run, row, [one.model for one in paper().tables[number].rows])
    judged = run.json(row.model, "judge.json")
    if judged.there:
        notes[_judge_note(judged)] = None
    columns = [Column("", "mean", ("scores", name)) for name in paper().tables[number].columns]
    return [Row((row.row, run.label), cells(judged, columns))]


def _benchmarks(file: Part, tasks: Sequence[str], notes: Notes) -> tuple[Cell, ...]:
    if not file.there:
        return (not_run(len(tasks) + 1),)
    if file.value.get("measured") is False:
        notes[f"{file.file}: not asked for (`capability` of the model)."] = None
        return (not_available(len(tasks) + 1),)
    notes.update(dict.fromkeys(file.absences()))
    found = [_headline(file, task) for task in tasks]
    absent = [not_available() if task in file.reasons() else not_run() for task in tasks]
    made = [_with_error(*pair, otherwise) for pair, otherwise in zip(found, absent, strict=True)]
    if file.value.get("limit") is not None:
        notes[f"{file.file}: only {file.said('limit')} items a benchmark (`capability.limit`)."] = None
    values = [value for value, _ in found if value is not None]
    if len(values) < len(found):
        notes["No average where a benchmark was not run: it would be of others than the paper's."] = None
        return (*made, not_available())
    errors = [error for _, error in found if error is not None]
    error = hypot(*errors) / len(errors) if len(errors) == len(found) else None
    return (*made, _with_error(sum(values) / len(values), error, not_available()))


def _headline(file: Part, task: str) -> tuple[float | None, float | None]:
    of_task = file.at("tasks", task)
    headline = of_task.value.get("headline")
    if not isinstance(headline, str):
        return file.number("score", task), None
    metric = of_task.at("metrics", headline)
    return metric.number("value"), metric.number("stderr")


def _with_error(value: float | None, error: float | None, absent: Cell) -> Cell:
    return absent if value is None else Cell(shown(value), "" if error is None else f"± {shown(error)}")


def _judge_note(judged: Part) -> str:
    judge, verdicts = judged.at("judge"), judged.at("verdicts")
    note = (
        f"{judged.file}: the judge is {judge.said('model')} ({judge.said('kind')}), its rubrics "
        f"{judge.said('rubrics')[:12]}; of {verdicts.said('asked')} questions {verdicts.said('decided')} "
        "have a verdict. Where none has one, a score is not available."
    )
    unsent = judge.items("not_sent")
    return without_folders(note + (f" Not sent to it: {', '.join(map(str, unsent))}." if unsent else ""))


def _correlations(run: Run, row: Printed, models: Iterable[str]) -> list[Row]:
    """Return a row a model with scores of people beside the judge's, in percent as the paper has it."""
    found = []
    for model in models:
        people = run.json(model, "judge.json").at("human")
        values = [people.number(dimension, "pearson") for dimension in row.values]
        if people.value:
            made = tuple(not_available() if value is None else Cell(shown(100 * value)) for value in values)
            found.append(Row((row.row, f"{run.label}, {model.upper()}"), made))
    return found or [Row((row.row, run.label), (not_run(len(row.values)),))]


# by the number of a table: makes a run's rows for a row of the paper
OWN: dict[int, Callable[[int, Run, Printed, Notes], list[Row]]] = {
    1: _corpus_rows,
    2: _text_rows,
    3: _text_rows,
    4: _benchmark_rows,
    5: _text_rows,
    6: _text_rows,
    7: _judge_rows,
}
