"""Show the models side by side: `python -m stages.table m0 m1 m2`."""

import argparse
import json
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


def main() -> None:
    """Read the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--metrics", type=Path, default=Path("metrics"))
    args = parser.parse_args()
    print_table(args.models, args.metrics)


def print_table(models: list[str], metrics: Path) -> None:
    """Print the text metrics of the models in both protocols, and capability, in percent.

    A file that is not there is "not run" and never a zero; a metric that could not be had is "n/a",
    with the reason below.
    """
    text = {model: _read(metrics / model / "text.json") for model in models}
    for protocol, note in (
        ("paper", "per-response means on jieba tokens, inferred from the paper's numbers"),
        ("standard", "corpus sacreBLEU and distinct-n on words"),
    ):
        print(f"\n{protocol} protocol: {note}")
        print(_line("", list(COLUMNS.values())))
        for model in models:
            result = text[model]
            cells = ["not run"] if result is None else [_number(result[protocol].get(key)) for key in COLUMNS]
            print(_line(model, cells))
    reasons = {
        f"{metric}: {reason}"
        for result in text.values()
        if result
        for metric, reason in result["not_available"].items()
    }
    for reason in sorted(reasons):
        print(f"n/a {reason}")
    _print_capability(models, metrics)


def _print_capability(models: list[str], metrics: Path) -> None:
    results = {model: _read(metrics / model / "capability.json") for model in models}
    tasks = list(dict.fromkeys(task for result in results.values() if result for task in result["score"]))
    print("\ncapability, lm-evaluation-harness")
    width = 2 + max(map(len, [*tasks, "not run"]))
    print(_line("", tasks, width))
    for model in models:
        result = results[model]
        cells = ["not run"] if result is None else [_number(result["score"].get(task)) for task in tasks]
        print(_line(model, cells, width))


def _line(name: str, cells: list[str], width: int = 7) -> str:
    return f"{name:<8}" + "".join(f"{cell:>{width}}" for cell in cells)


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.2f}"


def _read(path: Path) -> dict[str, Any] | None:
    return json.loads(read_text(path)) if path.exists() else None


if __name__ == "__main__":
    run(main)
