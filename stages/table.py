"""Show the models side by side: `python -m stages.table m0 m1 m2`."""

import argparse
import json
import shutil
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stages.command import run
from stages.records.jsonl import read_text

COLUMNS = {
    "bleu_1": "B-1",
    "bleu_2": "B-2",
    "bleu_3": "B-3",
    "bleu_4": "B-4",
    "rouge_l": "R-L",
    "meteor": "METEOR",
    "bertscore": "BERTSc",
    "distinct_1": "D-1",
    "distinct_2": "D-2",
    "distinct_3": "D-3",
}
FACTS = {
    "own_share": "own facts",
    "personal": "personal",
    "generic": "generic",
    "wrong": "wrong",
    "words": "words",
}
SPEAKERS = {"user": "seeker", "assistant": "supporter"}


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line and print the table and the sample."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--metrics", type=Path, default=Path("metrics"))
    args = parser.parse_args(argv)
    print_table(args.models, args.metrics)
    print_sample(args.metrics)


def print_table(models: list[str], metrics: Path) -> None:
    """Print the text metrics of the models in both protocols, capability, and own facts, in percent.

    A file that is not there is "not run" and never a zero; a metric that could not be had is "n/a",
    with the reason below. Models whose capability is not asked for have no row there.
    """
    text = {model: _read(metrics / model / "text.json") for model in models}
    for protocol, note in (
        ("paper", "per-response means on jieba tokens, inferred from the paper's numbers"),
        ("standard", "corpus sacreBLEU and distinct-n on words"),
    ):
        print(f"\n{protocol} protocol: {note}")
        rows = {
            model: ["not run"] if result is None else [_number(result[protocol].get(key)) for key in COLUMNS]
            for model, result in text.items()
        }
        _print_rows(list(COLUMNS.values()), rows)
    reasons = {
        f"{metric}: {reason}"
        for result in text.values()
        if result
        for metric, reason in result["not_available"].items()
    }
    for reason in sorted(reasons):
        print(f"n/a {reason}")
    _print_capability(models, metrics)
    _print_facts(models, metrics)


def print_sample(metrics: Path) -> None:
    """Print the dialogue of sample.json, no wider than the terminal or 100 columns; nothing without one."""
    sample = _read(metrics / "sample.json")
    if not sample or not sample["matching"]:
        return
    width = max(40, min(100, shutil.get_terminal_size().columns))
    print(f"\nsample {sample['id']}: the rule matches {sample['matching']} of {sample['contexts']} contexts")
    lines = [("rule", sample["rule"])]
    lines += [(SPEAKERS.get(m["role"], m["role"]), m["content"]) for m in sample["messages"]]
    lines += [(f"{name}:", sample[name]) for name in ("golden", "first", "last")]
    lines += [("own facts", ", ".join(sample["own"]))]
    for name, text in lines:
        print(textwrap.fill(text, width, initial_indent=f"{name:<11}", subsequent_indent=" " * 11))


def _print_capability(models: list[str], metrics: Path) -> None:
    results = {model: _read(metrics / model / "capability.json") for model in models}
    results = {model: result for model, result in results.items() if result is None or result["score"]}
    tasks = list(dict.fromkeys(task for result in results.values() if result for task in result["score"]))
    print("\ncapability, lm-evaluation-harness")
    rows = {
        model: ["not run"] if result is None else [_number(result["score"].get(task)) for task in tasks]
        for model, result in results.items()
    }
    _print_rows(tasks, rows, 2 + max(map(len, [*tasks, "not run"])))


def _print_facts(models: list[str], metrics: Path) -> None:
    results = {model: _read(metrics / model / "facts.json") for model in models}
    found = {model: result for model, result in results.items() if result and result["with_profile"]}
    if not found:
        return
    print("\nthe seeker's own facts (mini world), percent of responses")
    rows = {model: [_number(result.get(key)) for key in FACTS] for model, result in found.items()}
    _print_rows(list(FACTS.values()), rows, 2 + max(map(len, FACTS.values())))


def _print_rows(columns: list[str], rows: dict[str, list[str]], width: int = 7) -> None:
    names = max([8, *(len(name) + 1 for name in rows)])
    for name, cells in [("", columns), *rows.items()]:
        print(f"{name:<{names}}" + "".join(f"{cell:>{width}}" for cell in cells))


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.2f}"


def _read(path: Path) -> dict[str, Any] | None:
    return json.loads(read_text(path)) if path.exists() else None


if __name__ == "__main__":
    run(main)
