"""The paper's tables 2, 3, 5 and 6: its numbers, and below each what the runs have in the same protocol."""

from collections.abc import Iterable, Sequence

from stages.reporting.cells import not_run, printed
from stages.reporting.document import Cell, Group, Row, Table
from stages.reporting.paper import Paper, PaperTable, Printed
from stages.reporting.reading import Run
from stages.reporting.scores import Scores

HEADS = ("model", "of")
PROTOCOL = "paper"
PAPER = "paper"  # whose numbers a row has
# With which model a model is compared, where that is not the one it was trained from.
AGAINST = {
    2: {"sft-esconv": "vanilla", "sft-synesc": "vanilla", "m0": "vanilla", "m2": "m0"},
    3: {"strategies": "vanilla", "self-reflection": "vanilla"},
}
RAW = "vanilla"  # table 5's M0, where an iteration starts at the backbone: its caption and numbers say so
NOTES = {
    2: "Signs compare M0 and the SFT models with Vanilla, and M2 with M0.",
    3: "Signs compare with the first row.",
    5: "M0 is the raw backbone, the numbers are table 2's vanilla row. Percentages are changes from the "
    "model before; signs compare with it.",
    6: "Percentages are changes from the model before; signs compare with it.",
}
OTHER_DATA = (
    "The paper's numbers are of real corpora and models of 7 and 8 billion parameters. A run on another "
    "backbone, on other data or at another scale shows how the method does there, and cannot agree with them."
)


def text_table(number: int, paper: Paper, scores: Sequence[Scores]) -> Table:
    """Return table 2, 3, 5 or 6, with a row of every run below every row of the paper's.

    Where the table has blocks by backbone, a run stands in its own, or in one of its own below the paper's.
    """
    table = paper.tables[number]
    blocks = table.blocks
    groups = []
    for block in blocks:
        own = [one for one in scores if one.run.backbone == block] if len(blocks) > 1 else scores
        rows = [row for row in table.rows if row.block == block]
        label = paper.backbones[block] if len(blocks) > 1 else ""
        groups.append(Group(label, tuple(_rows(number, table, rows, own, len(blocks) > 1))))
    if len(blocks) > 1:
        groups += _other_backbones(number, table, [one for one in scores if one.run.backbone not in blocks])
    notes = [NOTES[number], *dict.fromkeys(note for one in scores for note in one.notes)]
    if any(of_other_data(one.run, paper) for one in scores):
        notes.append(OTHER_DATA)
    return Table(
        f"table-{number}",
        caption(number, paper),
        HEADS,
        tuple(table.columns.values()),
        tuple(groups),
        (*notes, *doubts(table)),
    )


def caption(number: int, paper: Paper) -> str:
    """Return a table's caption, with the backbone of the paper's numbers where they are of one."""
    table = paper.tables[number]
    blocks = [paper.backbones[block] for block in table.blocks if block]
    of = f" (the paper's: {blocks[0]})" if len(blocks) == 1 else ""
    return f"Table {number}. {table.caption}{of}"


def doubts(table: PaperTable) -> list[str]:
    """Return where the paper's own numbers are doubtful, and what they were held against."""
    found = [f"Doubtful in the paper's text: {doubt}" for doubt in table.doubts]
    return [*found, *([f"Checked: {table.held_against}"] if table.held_against else [])]


def of_other_data(run: Run, paper: Paper) -> bool:
    """Tell whether a run is on another backbone, other data or at another scale than the paper's."""
    same = run.backbone in paper.backbones
    return not (same and run.setting("data", "name") == "paper" and run.setting("scale") == "paper")


def chain(run: Run, model: str) -> list[str]:
    """Return the models on the way to an iteration, the one that it all begins with first."""
    found = [model]
    while found[0] in run.iterations and (previous := started_from(run, found[0])) not in found:
        found.insert(0, previous)
    return found


def started_from(run: Run, model: str) -> str:
    """Return the model that an iteration started from; of the raw backbone, the vanilla model."""
    previous = str(run.iterations[model].get("prev"))
    return RAW if previous == "backbone" else previous


def all_scores(scores: Scores, group: str, columns: dict[str, str], title: str) -> Table:
    """Return every model of one run in one group of scores."""
    rows = [Row((model,), scores.cells(model, group, list(columns))) for model in scores.run.models]
    return Table(
        f"all-{group}-{scores.run.name}",
        f"{title}{scores.run.behind}",
        ("model",),
        tuple(columns.values()),
        (Group("", tuple(rows)),),
        tuple(scores.notes),
        folded=True,
    )


def _rows(
    number: int, table: PaperTable, rows: Sequence[Printed], scores: Sequence[Scores], blocks: bool
) -> Iterable[Row]:
    for row in rows:
        cells = tuple(printed(row.values[name], row.gains.get(name)) for name in table.columns)
        yield Row((row.row, PAPER), cells)
        yield from _own(number, table, row.row, row.model, scores, blocks)
    if not scores:
        yield Row(("all of them", "this project"), (not_run(len(table.columns)),))
    for one in scores:
        for model in _further(number, rows, one.run):
            dashes: tuple[Cell, ...] = tuple(printed(None) for _ in table.columns)
            yield Row((model.upper(), PAPER), dashes)
            yield from _own(number, table, model.upper(), model, [one], blocks)


def _own(
    number: int, table: PaperTable, label: str, model: str, scores: Sequence[Scores], blocks: bool
) -> Iterable[Row]:
    for one in scores:
        name = one.run.name if blocks else one.run.label
        against = _against(number, one.run, model)
        cells = one.cells(model, PROTOCOL, list(table.columns), against, gains=number in (5, 6))
        yield Row((label, name), cells)


def _other_backbones(number: int, table: PaperTable, scores: Sequence[Scores]) -> Iterable[Group]:
    labels = {row.model: row.row for row in table.rows}
    for one in scores:
        models = [*labels, *_further(number, table.rows, one.run)]
        rows = [
            row
            for model in models
            for row in _own(number, table, labels.get(model, model.upper()), model, [one], True)
        ]
        yield Group(f"{one.run.backbone} (not in the paper)", tuple(rows))


def _further(number: int, rows: Sequence[Printed], run: Run) -> list[str]:
    """Return iterations beyond the paper's: M3 and what else goes on from M2."""
    known = {row.model for row in rows}
    if number != 6:
        return []
    chains = [chain(run, model) for model in run.iterations]
    return list(dict.fromkeys(m for c in chains if "m2" in c for m in c[c.index("m2") :] if m not in known))


def _against(number: int, run: Run, model: str) -> str | None:
    if number in AGAINST:
        return AGAINST[number].get(model)
    return started_from(run, model) if model in run.iterations else None
