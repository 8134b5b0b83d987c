"""Show the models side by side: `python -m selfevolve.report.console m0 m1 m2`."""

import argparse
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from selfevolve.metrics.labels import FACTS, PERSONALISATION, SHORT, TEXT
from selfevolve.report.reading import Part, Run
from selfevolve.report.samples import turn
from selfevolve.report.table import NOT_RUN, Row, Table, to_text
from selfevolve.runtime.command import run

PROTOCOLS = {
    "paper": "per-response means on jieba tokens, inferred from the paper's numbers",
    "standard": "corpus sacreBLEU and distinct-n on words",
}


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line and print the table and the sample."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--metrics", type=Path, default=Path("metrics"))
    args = parser.parse_args(argv)
    print_table(args.models, args.metrics)
    print_sample(args.metrics)


def print_table(models: Sequence[str], metrics: Path) -> None:
    """Print text metrics in both protocols, personalisation, capability and own facts, in percent.

    A file that is not there is "not run" and never a zero; a metric that could not be had is "n/a",
    with the reason below. Models whose capability is not asked for have no row there.
    """
    files = Run(metrics=metrics.as_posix())
    text = {model: files.json(model, "text.json") for model in models}
    for protocol, note in PROTOCOLS.items():
        print(f"\n{protocol} protocol: {note}")
        _print({model: part.at(protocol) for model, part in text.items()}, TEXT, 7)
    personal = {model: files.json(model, "personalisation.json") for model in models}
    print("\nwhose response it is, told by a sentence encoder: 50 is chance for AUC")
    _print(personal, PERSONALISATION, 9)
    reasons = [part.at("not_available").value for part in (*text.values(), *personal.values())]
    for reason in sorted({f"{metric}: {why}" for one in reasons for metric, why in one.items()}):
        print(f"n/a {reason}")
    print("\ncapability, lm-evaluation-harness")
    scores = {model: files.json(model, "capability.json").at("score") for model in models}
    scores = {model: part for model, part in scores.items() if part.value or not part.there}
    tasks = list(dict.fromkeys(task for part in scores.values() for task in part.value))
    _print(scores, tasks, 2 + max(map(len, [*tasks, NOT_RUN])))
    facts = {model: files.json(model, "facts.json") for model in models}
    if facts := {model: part for model, part in facts.items() if part.value.get("with_profile")}:
        print("\nthe seeker's own facts (mini world), percent of responses")
        _print(facts, FACTS, 2 + max(len(SHORT[name]) for name in FACTS))


def print_sample(metrics: Path) -> None:
    """Print the dialogue of sample.json, no wider than the terminal or 100 columns; nothing without one."""
    sample = Run(metrics=metrics.as_posix()).json("sample.json")
    if not sample.value.get("matching"):
        return
    width = max(40, min(100, shutil.get_terminal_size().columns))
    counts = f"{sample.said('matching')} of {sample.said('contexts')} contexts"
    print(f"\nsample {sample.said('id')}: the rule matches {counts}")
    lines = [("rule", sample.said("rule"))]
    lines += [turn(one.said("role"), one.said("content")) for one in sample.objects("messages")]
    lines += [(f"{name}:", sample.said(name)) for name in ("golden", "first", "last")]
    lines += [("own facts", ", ".join(sample.items("own")))]
    for name, text in lines:
        print(textwrap.fill(text, width, initial_indent=f"{name:<11}", subsequent_indent=" " * 11))


def _print(parts: Mapping[str, Part], names: Sequence[str] | Mapping[str, str], width: int) -> None:
    """Print a row a model with these numbers; `width` is that of a column."""
    rows = []
    for model, part in parts.items():
        values = [part.number(name) for name in names] if part.there else []
        cells = ["n/a" if value is None else f"{value:.2f}" for value in values]
        rows.append(Row.of(model, cells=cells if part.there else [NOT_RUN]))
    columns = tuple(SHORT.get(name, name) for name in names)
    widths = [max([8, *(len(model) + 1 for model in parts)]), *[width] * max(1, len(columns))]
    print("\n".join(to_text(Table("", ("",), columns, tuple(rows)), widths)))


if __name__ == "__main__":
    run(main)
