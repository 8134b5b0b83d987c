"""Set the iterations side by side: `python -m selfevolve.report.iterations --out ...`.

A table has every number of the metrics files of every model, one line a number and one column a model; and
it says whether the margin of relevance between chosen and rejected responses shrinks from one iteration to
the next. What only an iteration has, such as its pairs, is "no iteration" for the other models. `--plots` has
a file a metric for `dvc plots`: the models on the way to the headline model. This is no DVC stage, since any
of the files may be missing.
"""

import argparse
from collections.abc import Mapping, Sequence
from math import hypot
from pathlib import Path
from typing import Any

from selfevolve.report.described import report, table
from selfevolve.report.document import Block, Gallery, Text
from selfevolve.report.figures import ASIDE, figure
from selfevolve.report.plots import Series
from selfevolve.report.reading import Run, is_number
from selfevolve.report.scores import Scores
from selfevolve.report.table import NOT_AVAILABLE, NOT_RUN, Cell, Row, Table, bounds, shown, to_text
from selfevolve.runtime.command import run as run_command
from selfevolve.runtime.files import publish_csv, publish_json, publishing

NO_ITERATION = "no iteration"
FILES = ("text", "facts", "capability", "phrases", "profile_inference", "training")
OF_ITERATIONS = ("relevance", "preferences", "reflections")
MARGIN = "relevance.margin"
Numbers = dict[str, dict[str, float | str]]  # line -> model -> number, or why there is none


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, write both tables and print the lines that matter."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--metrics", default="metrics", help="folder with a folder a model")
    parser.add_argument("--out", type=Path, required=True, help="numbers and changes of the margin (JSON)")
    parser.add_argument("--table", type=Path, required=True, help="the numbers alone (CSV)")
    parser.add_argument("--plots", type=Path, help="folder of a table a metric, iteration by iteration")
    parser.add_argument("--params", default="params.yaml")
    args = parser.parse_args(argv)
    run = Run(metrics=args.metrics, params_file=args.params)
    numbers = all_numbers(run)
    publish_csv(args.table, ["metric", *run.models], ([line, *row.values()] for line, row in numbers.items()))
    publish_json(args.out, {"metrics": numbers, "margin_change": margin_changes(numbers, _previous(run))})
    if args.plots:
        _plot(args.plots, numbers, run.chain(run.setting("headline")))
    cells = {
        label: [value if isinstance(value, str) else shown(value, 3) for value in numbers[line].values()]
        for line, label in report()["printed"].items()
    }
    rows = tuple(Row.of(label, cells=texts) for label, texts in cells.items())
    print("\n".join(to_text(Table("", ("",), tuple(run.models), rows), [10, *[16] * len(run.models)])))


def evolution_blocks(run: Run) -> list[Block]:
    """Return a figure a score, how the margin changes, and the whole table; or that there is none."""
    numbers = all_numbers(run)
    if all(isinstance(value, str) for row in numbers.values() for value in row.values()):
        return [Text.of(run.says(f"all numbers over the iterations: {NOT_RUN}."))]
    scores, chains = Scores(run), run.chains()
    ticks = ["start", *map(str, range(1, max(map(len, chains), default=1)))]
    found = []
    for line, label in report()["drawn"].items():
        row = numbers.get(line, {})
        series = [_series(row, chain, at, scores, line) for at, chain in enumerate(chains)]
        found += figure(f"{label}{run.behind}", series, ("iteration", label), ticks)
    blocks: list[Block] = [Gallery(tuple(found))] if found else []
    changes = [_change(model, one) for model, one in margin_changes(numbers, _previous(run)).items()]
    blocks += [Text(tuple(changes))] if changes else []
    rows = [Row((line,), tuple(map(_cell, row.values()))) for line, row in numbers.items()]
    return [*blocks, *table("iterations", run, rows, run.models)]


def all_numbers(run: Run) -> Numbers:
    """Return every number of the metrics files of every model, by file and dotted name."""
    numbers: Numbers = {}
    for name in (*FILES, *OF_ITERATIONS):
        files = {model: run.json(model, f"{name}.json") for model in run.models}
        columns = {model: file.numbers() for model, file in files.items()}
        printed = (*report()["printed"], f"{MARGIN}.low", f"{MARGIN}.high")  # even if no file has them
        always = [line.partition(".")[2] for line in printed if line.startswith(f"{name}.")]
        keys = dict.fromkeys([*(key for column in columns.values() for key in column), *always])
        idle = set(run.models) - set(run.iterations) if name in OF_ITERATIONS else set()
        absent = {model: NO_ITERATION if model in idle else NOT_RUN for model in run.models}
        absent |= {model: NOT_AVAILABLE for model, file in files.items() if file.there}
        for key in keys or {"": None}:  # a file that no model has is a line as well
            row = {model: column.get(key, absent[model]) for model, column in columns.items()}
            numbers[f"{name}.{key}" if key else name] = row
    return numbers


def margin_changes(numbers: Numbers, previous: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return how the margin of each iteration differs from that of the iteration before it.

    `low` and `high` are by MOVER (Zou and Donner 2008), for independent estimates: where two iterations learn
    from the same part of the dialogues, they are rough. `shrinks` and `grows` say that they leave out 0.
    `previous` has of every iteration the model that it started from.
    """
    changes: dict[str, dict[str, Any]] = {}
    for model, before in previous.items():
        if before not in previous:
            continue
        lines = [numbers[f"{MARGIN}.{part}"] for part in ("mean", "low", "high")]
        ends = [[line.get(m, NOT_RUN) for line in lines] for m in (before, model)]
        if words := [value for end in ends for value in end if isinstance(value, str)]:
            changes[model] = {"from": before, "change": words[0]}
            continue
        (m1, l1, h1), (m2, l2, h2) = ends
        low, high = m2 - m1 - hypot(m2 - l2, h1 - m1), m2 - m1 + hypot(h2 - m2, m1 - l1)
        changes[model] = {"from": before, "mean": m2 - m1, "low": low, "high": high}
        changes[model] |= {"shrinks": high < 0, "grows": low > 0}
    return changes


def _previous(run: Run) -> dict[str, str]:
    return {model: one.said("prev") for model, one in run.iterations.items()}


def _plot(folder: Path, numbers: Numbers, models: Sequence[str]) -> None:
    """Write a table a metric; what is not there is no row, and a metric without a row no table."""
    with publishing(folder) as temporary:
        temporary.mkdir()
        for line in (*report()["printed"], *report()["plotted"]):
            values = [numbers.get(line, {}).get(model) for model in models]
            if points := [(place, value) for place, value in enumerate(values) if is_number(value)]:
                publish_csv(temporary / f"{line}.csv", ["iteration", "value"], points)


def _series(
    row: Mapping[str, float | str], chain: Sequence[str], at: int, scores: Scores, line: str
) -> Series:
    """Return a chain's line, without a point where none of its iterations has a number."""
    there = [(place, model, row.get(model)) for place, model in enumerate(chain) if is_number(row.get(model))]
    if not any(model in scores.run.iterations for _, model, _ in there):
        there = []
    group, _, metric = line.removeprefix("text.").partition(".")
    intervals = [scores.interval(model, group, metric) for _, model, _ in there]
    x, y = [place + ASIDE * at for place, _, _ in there], [value for _, _, value in there]
    return Series(" → ".join(chain), x, y, intervals, colour=at, line=at, points=True)


def _change(model: str, change: Mapping[str, Any]) -> str:
    begin = f"The margin of relevance of {model}'s pairs less that of {change['from']}'s: "
    if "mean" not in change:
        return f"{begin}{change['change']}."
    verdict = "it shrinks" if change["shrinks"] else "it grows" if change["grows"] else "no clear change"
    return f"{begin}{change['mean']:+.3f} {bounds((change['low'], change['high']), 3)}: {verdict}."


def _cell(value: float | str) -> Cell:
    if isinstance(value, str):
        return Cell(value, kind="absent")
    return Cell(str(value) if isinstance(value, int) else shown(value, 4))


if __name__ == "__main__":
    run_command(main)
