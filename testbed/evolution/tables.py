"""Make the evolution's tables and plot from the files of its runs: `python -m testbed.evolution.tables`.

`evolution.json` has every number, `README.md` the tables, which are those of the report, and `evolution.svg`
the plot. Intervals are Student's over seeds. Differences are taken within a seed; of facts their p is that of
a permutation test over dialogues, of other numbers Student's. Holm's correction goes over all rows of a
table.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from selfevolve.metrics.statistics import holm, t_interval, t_test
from selfevolve.report.document import markdown_of
from selfevolve.report.longer import longer_tables
from selfevolve.report.reading import Part, Run
from selfevolve.runtime.command import run as run_command
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import publish_json, publishing
from testbed.evolution.parameters import METHOD, Evolution, read_evolution
from testbed.evolution.plot import draw
from testbed.evolution.results import Evolved, Measure, measures
from testbed.evolution.rules import rules, stops
from testbed.study.findings import paired
from testbed.study.parameters import STUDY
from testbed.study.run_file import RunFile, read_run_files, too_few_seeds

RUNS, OUT = Path("metrics/evolution/runs"), Path("metrics/evolution")
SEEDS = 2  # an interval needs so many
Arms = Mapping[str, Mapping[int, Evolved]]  # arm -> seed -> run


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line and the runs' files, and publish the tables and the plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=Path, default=RUNS, help=f"the runs' files (default: {RUNS})")
    parser.add_argument("--out", type=Path, default=OUT, help=f"the tables (default: {OUT})")
    parser.add_argument("--params", type=Path, default=STUDY, help="has section `evolution`")
    args = parser.parse_args(argv)
    made = read_runs(args.runs, read_evolution(args.params))
    if too_few := not_enough(made):
        raise InputError(too_few, file=args.runs)
    make_tables(made, args.out)


def read_runs(folder: Path, evolution: Evolution) -> dict[str, RunFile]:
    """Return the runs whose files are there, by name; InputError as `read_run_files`."""
    return read_run_files(folder, list(evolution.runs), "evolution")


def not_enough(made: Mapping[str, RunFile]) -> str:
    """Return why no tables can be made of these runs, an empty text where they can."""
    return too_few_seeds(made, METHOD, SEEDS)


def make_tables(made: Mapping[str, RunFile], out: Path) -> None:
    """Publish the tables and the plot; an arm with a single seed is left out, and named."""
    arms: dict[str, dict[int, Evolved]] = {}
    for one in made.values():
        arms.setdefault(one.arm, {})[one.seed] = Evolved(one)
    left_out = [
        f"{arm}: has one seed, and an interval needs two" for arm, own in arms.items() if len(own) < 2
    ]
    arms = {arm: own for arm, own in arms.items() if len(own) >= SEEDS}
    last = min(run.last for own in arms.values() for run in own.values())
    found = {
        "commits": sorted({one.commit for one in made.values()}),
        "seeds": {arm: sorted(own) for arm, own in arms.items()},
        "last": last,
        "models": over_seeds(arms, measures().models, range(last + 1)),
        "iterations": over_seeds(arms, measures().iterations, range(1, last + 1)),
        "steps": steps(arms[METHOD], last),
        "arms": against_method(arms, last),
        "rules": rules(arms[METHOD]),
        "stops": stops(arms[METHOD]),
        "not_available": left_out,
    }
    publish_json(out / "evolution.json", found)
    labels = {name: one.label for name, one in (measures().models | measures().iterations).items()}
    with publishing(out / "evolution.svg") as temporary:
        temporary.write_text(draw(found, labels), encoding="utf-8")
    with publishing(out / "README.md") as temporary:
        temporary.write_text(readme(found), encoding="utf-8")


def over_seeds(arms: Arms, wanted: Mapping[str, Measure], models: Sequence[int]) -> list[dict[str, Any]]:
    """Return a row for each model of each arm: means over the seeds with their intervals.

    A number that a seed lacks is left out.
    """
    rows = []
    for arm, runs in arms.items():
        for model in models:
            each = [run.numbers(model, wanted) for run in runs.values()]
            names = [name for name in wanted if all(name in one for one in each)]
            values = {name: t_interval([one[name] for one in each])._asdict() for name in names}
            rows.append({"arm": arm, "model": f"M{model}", "seeds": len(runs), **values})
    return rows


def steps(runs: Mapping[int, Evolved], last: int) -> list[dict[str, Any]]:
    """Return the differences of consecutive models of the method, tested."""
    rows = []
    for name in measures().tested:
        for model in range(1, last + 1):
            head = {"number": measures().models[name].label, "step": f"M{model} - M{model - 1}"}
            before, after = ([(run, at) for run in runs.values()] for at in (model - 1, model))
            rows.append(head | difference(name, before, after))
    return tested(rows)


def against_method(arms: Arms, last: int) -> list[dict[str, Any]]:
    """Return the differences between the last models of the other arms and of the method, tested."""
    rows = []
    for arm, runs in arms.items():
        seeds = [seed for seed in runs if seed in arms[METHOD]]
        for name in measures().compared if arm != METHOD and len(seeds) >= SEEDS else ():
            head = {"arm": arm, "number": measures().models[name].label, "seeds": len(seeds)}
            of_method, own = ([(of[seed], last) for seed in seeds] for of in (arms[METHOD], runs))
            rows.append(head | difference(name, of_method, own))
    return tested(rows)


def difference(
    name: str, before: Sequence[tuple[Evolved, int]], after: Sequence[tuple[Evolved, int]]
) -> dict[str, Any]:
    """Return the mean difference of a number between models of the same seeds, its interval and p.

    Nothing where a seed lacks the number.
    """
    file = measures().models[name].file
    first, second = ([run.number(at, file) for run, at in these] for these in (before, after))
    values = [b - a for a, b in zip(first, second, strict=True) if a is not None and b is not None]
    if len(values) < len(before):
        return {}
    responses = ([run.responses(at, name) for run, at in these] for these in (before, after))
    p = paired(*responses)
    return {**t_interval(values)._asdict(), "p": t_test(values) if p is None else p}


def tested(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows that were measured, with Holm's p over all of them."""
    there = [row for row in rows if "p" in row]
    corrected = holm({str(at): row["p"] for at, row in enumerate(there)})
    return [row | {"p_holm": corrected[str(at)]} for at, row in enumerate(there)]


def readme(found: Mapping[str, Any]) -> str:
    """Return the tables of an evolution.json in Markdown, with the plot."""
    tables = longer_tables(Part("evolution.json", found), Run())
    texts = ["# More iterations than two", "![M0 to the last model, by arm](evolution.svg)"]
    return "\n\n".join([*texts, *(text for one in tables for text in markdown_of(one))]) + "\n"


if __name__ == "__main__":
    run_command(main)
