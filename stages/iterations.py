"""Set the iterations side by side: `python -m stages.iterations --out ... --table ... --plots ...`.

Every number of the metrics files of every model in `models`, one line a number and one column a model, and
whether the margin of relevance between chosen and rejected responses shrinks from one iteration to the next.
A file that is not there is "not run" and never a zero; a number that its file does not have is "not
available"; what only an iteration has, such as its pairs, is "no iteration" for the other models. For
`dvc plots`, a file a metric has the models from which the headline model came, and it.

This is no DVC stage: a dependency that may be missing is none.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from math import hypot
from pathlib import Path
from typing import Any

from stages.command import load_params, run
from stages.records.errors import InputError
from stages.records.jsonl import read_text
from stages.records.publish import publish_csv, publish_json, publishing

NOT_RUN, NOT_AVAILABLE, NO_ITERATION = "not run", "not available", "no iteration"
FILES = ("text", "facts", "capability", "phrases", "profile_inference", "training")
OF_ITERATIONS = ("relevance", "preferences", "reflections")
MARGIN = "relevance.margin"
SHOWN = {
    "text.mean_words": "words",
    "text.paper.distinct_2": "D-2",
    "text.standard.distinct_2": "D-2 std",
    "phrases.model.in_top_openings.mean": "top 10",
    "relevance.chosen.mean": "chosen",
    "relevance.rejected.mean": "rejected",
    f"{MARGIN}.mean": "margin",
    "relevance.overlap": "overlap",
}
PLOTTED = (
    "text.paper.bleu_2",
    "text.standard.bleu_2",
    *SHOWN,
    "facts.own_share",
    "capability.score.average",
    "training.reward_margin_last",
    "reflections.valid_first",
)
ALWAYS = (*SHOWN, f"{MARGIN}.low", f"{MARGIN}.high")  # lines that are there even if no file has them
Column = dict[str, float]


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, write both tables and print the lines that matter."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--metrics", type=Path, default=Path("metrics"), help="folder with a folder a model")
    parser.add_argument("--out", type=Path, required=True, help="numbers and changes of the margin (JSON)")
    parser.add_argument("--table", type=Path, required=True, help="the numbers alone (CSV)")
    parser.add_argument("--plots", type=Path, help="folder of a table a metric, iteration by iteration")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    iterations = load_params("iterations", args.params)
    models = list(load_params("models", args.params))
    names = (*FILES, *OF_ITERATIONS)
    found = {
        model: {name: _read(args.metrics / model / f"{name}.json") for name in names} for model in models
    }
    table = _table(found, iterations)
    publish_csv(args.table, ["metric", *models], ([metric, *row.values()] for metric, row in table.items()))
    publish_json(args.out, {"metrics": table, "margin_change": margin_changes(table, iterations)})
    if args.plots:
        _plot(args.plots, table, chain(load_params("headline", args.params), iterations))
    _print(table, models)


def chain(model: str, iterations: dict[str, Any]) -> list[str]:
    """Return the model that all began with, and every iteration from there up to this model."""
    models = [model]
    while models[0] in iterations and iterations[models[0]]["prev"] not in models:
        models.insert(0, iterations[models[0]]["prev"])
    return models


def margin_changes(
    table: dict[str, dict[str, float | str]], iterations: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """Return how the margin of each iteration differs from that of the iteration before it.

    `mean`, `low` and `high` of the difference by MOVER (Zou and Donner 2008), which puts the intervals of two
    independent estimates together: pairs of two iterations come from different dialogues as long as each
    learns from a part of its own. Where a part is used again they are not independent, and the interval is
    a rough one. `shrinks` and `grows` say whether the interval leaves out 0.
    """
    changes: dict[str, dict[str, Any]] = {}
    for model, iteration in iterations.items():
        if iteration["prev"] not in iterations:
            continue
        ends = [
            [table[f"{MARGIN}.{part}"][m] for part in ("mean", "low", "high")]
            for m in (iteration["prev"], model)
        ]
        words = [value for end in ends for value in end if isinstance(value, str)]
        if words:
            changes[model] = {"from": iteration["prev"], "change": words[0]}
            continue
        (m1, l1, h1), (m2, l2, h2) = ends
        low, high = m2 - m1 - hypot(m2 - l2, h1 - m1), m2 - m1 + hypot(h2 - m2, m1 - l1)
        changes[model] = {"from": iteration["prev"], "mean": m2 - m1, "low": low, "high": high}
        changes[model] |= {"shrinks": high < 0, "grows": low > 0}
    return changes


def _table(
    found: dict[str, dict[str, Column | None]], iterations: dict[str, Any]
) -> dict[str, dict[str, float | str]]:
    table: dict[str, dict[str, float | str]] = {}
    for name in (*FILES, *OF_ITERATIONS):
        always = [line.partition(".")[2] for line in ALWAYS if line.startswith(f"{name}.")]
        keys = dict.fromkeys([*(key for files in found.values() for key in files[name] or {}), *always])
        for key in keys or {"": None}:  # a file that no model has is a line as well
            row: dict[str, float | str] = {}
            for model, files in found.items():
                column = files[name]
                if column is not None:
                    row[model] = column.get(key, NOT_AVAILABLE)
                else:
                    idle = name in OF_ITERATIONS and model not in iterations
                    row[model] = NO_ITERATION if idle else NOT_RUN
            table[f"{name}.{key}" if key else name] = row
    return table


def _read(path: Path) -> Column | None:
    """Return all numbers of a metrics file by their dotted names; None where there is no file.

    Raises:
        InputError: it is not a JSON object.
    """
    if not path.exists():
        return None
    try:
        value = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise InputError(f"not JSON: {error.msg}", file=path) from None
    if not isinstance(value, dict):
        raise InputError("not a JSON object", file=path)
    return dict(_numbers(value))


def _numbers(value: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for key, part in value.items():
        if isinstance(part, dict):
            yield from _numbers(part, f"{prefix}{key}.")
        elif isinstance(part, int | float) and not isinstance(part, bool):
            yield f"{prefix}{key}", part


def _plot(folder: Path, table: dict[str, dict[str, float | str]], models: Sequence[str]) -> None:
    """Write a table a metric; what is not there is no row, and a metric without a row no table."""
    with publishing(folder) as temporary:
        temporary.mkdir()
        for metric in PLOTTED:
            row = table.get(metric, {})
            values = [(number, row.get(model)) for number, model in enumerate(models)]
            points = [(number, value) for number, value in values if isinstance(value, int | float)]
            if points:
                publish_csv(temporary / f"{metric}.csv", ["iteration", "value"], points)


def _print(table: dict[str, dict[str, float | str]], models: Sequence[str]) -> None:
    print(f"{'':<10}" + "".join(f"{model:>16}" for model in models))
    for metric, label in SHOWN.items():
        cells = [value if isinstance(value, str) else f"{value:.3f}" for value in table[metric].values()]
        print(f"{label:<10}" + "".join(f"{cell:>16}" for cell in cells))


if __name__ == "__main__":
    run(main)
