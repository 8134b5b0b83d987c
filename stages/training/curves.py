"""Training curves from the log that the Trainer keeps in `trainer_state.json`."""

import csv
import json
import math
from pathlib import Path
from typing import Any

from stages.records.errors import InputError
from stages.records.publish import publishing

# column in our CSV -> name in the Trainer's log; evaluation entries have names of their own
COLUMNS = {
    "loss": "loss",
    "learning_rate": "learning_rate",
    "grad_norm": "grad_norm",
    "reward_chosen": "rewards/chosen",
    "reward_rejected": "rewards/rejected",
    "reward_margin": "rewards/margins",
    "reward_accuracy": "rewards/accuracies",
    "eval_loss": "eval_loss",
    "eval_reward_margin": "eval_rewards/margins",
    "eval_reward_accuracy": "eval_rewards/accuracies",
}


def read_log(output: Path) -> list[dict[str, Any]]:
    """Return the Trainer's log: one dict an entry, each with its `step`, in order."""
    state = json.loads((output / "trainer_state.json").read_text(encoding="utf-8"))
    return [entry for entry in state["log_history"] if "train_runtime" not in entry]


def write_curves(log: list[dict[str, Any]], path: Path | str) -> None:
    """Publish the log as a CSV with one row a step, for `dvc plots`; what a step did not log is empty."""
    rows: dict[int, dict[str, Any]] = {}
    for entry in log:
        row = rows.setdefault(entry["step"], {"step": entry["step"]})
        row.update({ours: entry[theirs] for ours, theirs in COLUMNS.items() if theirs in entry})
    columns = ["step", *(name for name in COLUMNS if any(name in row for row in rows.values()))]
    with publishing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows[step] for step in sorted(rows))


def summary(log: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the first and last value of what was logged, and the best evaluation loss.

    Raises:
        InputError: a value is not finite: the training went astray and its model is of no use.
    """
    for entry in log:
        if astray := [name for name in COLUMNS.values() if not math.isfinite(entry.get(name, 0.0))]:
            message = "is not a finite number: the training went astray (a lower learning_rate may help)"
            raise InputError(message, record=f"step {entry['step']}", field=astray[0])
    result: dict[str, Any] = {"steps": max((entry["step"] for entry in log), default=0)}
    for ours, theirs in COLUMNS.items():
        values = [entry[theirs] for entry in log if theirs in entry]
        if values and ours not in ("learning_rate", "grad_norm"):
            result[f"{ours}_first"], result[f"{ours}_last"] = values[0], values[-1]
    evaluations = [entry["eval_loss"] for entry in log if "eval_loss" in entry]
    if evaluations:
        result["eval_loss_best"] = min(evaluations)
    return result
