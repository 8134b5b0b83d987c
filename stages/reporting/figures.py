"""Figures of a run's tables, none of them empty; the training curves of every model that was trained."""

from collections.abc import Mapping, Sequence
from typing import Any

from stages.records.errors import InputError
from stages.reporting.cells import NOT_RUN, shown
from stages.reporting.document import Block, Figure, Gallery, Text, anchor
from stages.reporting.plots import Series, lines
from stages.reporting.reading import Run, mapping
from stages.reporting.tables import chain

Points = tuple[list[float], list[float]]
CURVES = "curves.csv"
SFT_CURVES = {"loss": "training loss", "eval_loss": "loss on dialogues held back"}
# what a drawing shows -> the columns it shows and what they are called there
DPO_CURVES = {
    "loss": {"loss": "training", "eval_loss": "held back"},
    "rewards": {"reward_chosen": "chosen", "reward_rejected": "rejected"},
    "reward margin": {"reward_margin": "training", "eval_reward_margin": "held back"},
    "share of pairs ranked rightly": {"reward_accuracy": "training", "eval_reward_accuracy": "held back"},
}


def curve_blocks(run: Run) -> list[Block]:
    """Return the training curves of every trained model of a run, and which models have none."""
    sft = list(mapping(run.params, "sft", file=run.where(run.layout.params)))
    tables = {model: run.csv(model, CURVES) or [] for model in (*sft, *run.iterations)}
    found: list[Figure] = []
    for column, words in SFT_CURVES.items():
        series = [
            Series(model, *points(run, (model, CURVES), tables[model], "step", column), colour=at, line=at)
            for at, model in enumerate(sft)
        ]
        found += figure(run, f"sft-{column}", f"Fine-tuning: {words}", series, ("step", words))
    for models in chains(run):
        for title, columns in DPO_CURVES.items():
            series = [
                Series(
                    f"{model} {words}",
                    *points(run, (model, CURVES), tables.get(model, []), "step", column),
                    colour=at,
                    line=line,
                )
                for at, model in enumerate(models)
                if model in run.iterations
                for line, (column, words) in enumerate(columns.items())
            ]
            caption = f"Preference training, {' → '.join(models)}: {title}"
            found += figure(run, f"dpo-{models[-1]}-{title}", caption, series, ("step", title))
    missing = [model for model, table in tables.items() if not table]
    return gallery(found, run, "training curves of", missing)


def figure(
    run: Run,
    name: str,
    caption: str,
    series: Sequence[Series],
    axes: tuple[str, str],
    ticks: Sequence[str] = (),
) -> list[Figure]:
    """Return a figure of lines, or none where no line has a point.

    Args:
        run: whose it is.
        name: of the figure within the run.
        caption: what it shows.
        series: the lines, those without a point left out.
        axes: what the axes are.
        ticks: names of the whole numbers from 0 on the first one, where it is not one of numbers.
    """
    there = [one for one in series if len(one.x)]
    if not there:
        return []
    name = anchor(f"figure-{run.name}-{name}")
    words = "; ".join(map(_in_words, there))
    return [Figure(name, f"{caption}{run.behind}", lines(name, there, *axes, ticks), words)]


def gallery(figures: Sequence[Figure], run: Run, what: str, missing: Sequence[str]) -> list[Block]:
    """Return figures side by side, and a sentence that says of which models there are none."""
    blocks: list[Block] = [Gallery(tuple(figures))] if figures else []
    sentence = f"{what} {', '.join(missing)}: {NOT_RUN}."
    return [*blocks, *([Text.of(run.says(sentence))] if missing else [])]


def chains(run: Run) -> list[list[str]]:
    """Return every chain of models that ends with an iteration from which no other goes on."""
    begun = {str(iteration.get("prev")) for iteration in run.iterations.values()}
    return [chain(run, model) for model in run.iterations if model not in begun]


def points(run: Run, file: tuple[str, str], table: Sequence[Mapping[str, str]], x: str, y: str) -> Points:
    """Return the lines of a table that have both numbers."""
    where = run.where(run.metrics_path(*file))
    both = [(cell(row, x, where), cell(row, y, where)) for row in table]
    there = [(at, value) for at, value in both if at is not None and value is not None]
    return [at for at, _ in there], [value for _, value in there]


def cell(row: Mapping[str, Any], column: str, where: str) -> float | None:
    """Return a number of a line of a CSV file, None where there is none.

    Raises:
        InputError: what is there is no number.
    """
    text = row.get(column)
    if text is None or text == "":
        return None
    try:
        return float(text)
    except (TypeError, ValueError):
        raise InputError("is not a number", file=where, field=column) from None


def _in_words(one: Series) -> str:
    first, last = shown(one.y[0], 3), shown(one.y[-1], 3)
    if len(one.y) == 1:
        return f"{one.label}: {first}"
    return f"{one.label}: {len(one.y)} points, from {first} to {last}, at most {shown(max(one.y), 3)}"
