"""What a training leaves: curves, the step that was kept, a check of the reference, and the adapter."""

import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selfevolve.policies.policy import Policy, write_adapter
from selfevolve.policies.value_head import HEAD
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import publish_csv, publish_json, publishing, read_json, read_yaml
from selfevolve.training.losses import Loss

REWARD_TOLERANCE = 1e-3  # rewards at the first step are exactly 0 in float32; bfloat16 may round
DEFAULT = Loss()
COLUMNS: dict[str, str] = read_yaml(Path(__file__).with_name("curves.yaml"))


def read_log(output: Path) -> list[dict[str, Any]]:
    """Return the Trainer's log: one dict an entry, each with its `step`, in order."""
    log = read_json(output / "trainer_state.json")["log_history"]
    return [entry for entry in log if "train_runtime" not in entry]


def write_curves(log: list[dict[str, Any]], path: Path | str) -> None:
    """Publish the log as a CSV with one row a step, for `dvc plots`; what a step did not log is empty."""
    rows: dict[int, dict[str, Any]] = {}
    for entry in log:
        row = rows.setdefault(entry["step"], {"step": entry["step"]})
        row.update({ours: entry[theirs] for ours, theirs in COLUMNS.items() if theirs in entry})
    columns = ["step", *(name for name in COLUMNS if any(name in row for row in rows.values()))]
    publish_csv(path, columns, ([rows[step].get(name) for name in columns] for step in sorted(rows)))


def first_values(log: list[dict[str, Any]]) -> dict[str, float]:
    """Return the loss and the rewards that the training logged first, as `loss_first` and so on.

    Raises:
        InputError: a value is not finite: the training diverged and its model is of no use.
    """
    for entry in log:
        if diverged := [name for name in COLUMNS.values() if not math.isfinite(entry.get(name, 0.0))]:
            message = "is not a finite number: the training diverged (a lower learning_rate may help)"
            raise InputError(message, record=f"step {entry['step']}", field=diverged[0])
    result: dict[str, float] = {}
    for ours, theirs in COLUMNS.items():
        values = [entry[theirs] for entry in log if theirs in entry]
        if values and ours.startswith(("loss", "reward")):
            result[f"{ours}_first"] = values[0]
    return result


def kept_step(output: Path, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return which step's weights lie in LLaMA-Factory's output, and why.

    Where `load_best_model_at_end` is set, the Trainer ends with loading the checkpoint that
    `best_model_checkpoint` names, if it names one (transformers 5.6.0, `Trainer._finalize_training`), and
    LLaMA-Factory saves what is loaded then. `best_global_step` does not tell: it is set wherever a metric is
    watched.

    Args:
        output: the folder with `trainer_state.json`.
        arguments: those that LLaMA-Factory trained with.

    Returns:
        `kept_step`, `steps` (how many were trained), and `kept_because`: `last step`, or the metric that
        chose the step, such as `lowest eval_loss`.
    """
    state = read_json(output / "trainer_state.json")
    steps, best = state["global_step"], state["best_model_checkpoint"]
    if best is None or not arguments.get("load_best_model_at_end"):
        return {"kept_step": steps, "steps": steps, "kept_because": "last step"}
    step = int(Path(best).name.rpartition("-")[2])
    way = "highest" if arguments.get("greater_is_better") else "lowest"
    because = f"{way} {arguments.get('metric_for_best_model', 'eval_loss')}"
    return {"kept_step": step, "steps": steps, "kept_because": because}


def logged_eval_loss(log: list[dict[str, Any]], step: int) -> float | None:
    """Return the held-out loss that the Trainer logged at a step, None if it did not evaluate there."""
    return next((entry["eval_loss"] for entry in log if entry["step"] == step and "eval_loss" in entry), None)


def check_reference(metrics: Mapping[str, Any], loss: Loss = DEFAULT) -> str:
    """Check that policy and reference agree at the first step (rewards 0), where the loss has this reference.

    Args:
        metrics: with those of `first_values`.
        loss: that the training had.

    Returns:
        the reference: the policy before the training, which has been checked; `none`; or the loss's
        `ref_model`.

    Raises:
        InputError: a reward is not 0, or was not logged.
    """
    if not loss.has_reference:
        return "none"
    if loss.ref_model is not None:
        return loss.ref_model
    for name in ("reward_chosen_first", "reward_rejected_first"):
        if name not in metrics:
            raise InputError("LLaMA-Factory logged no rewards: logging_first_step must be true", field=name)
        if abs(metrics[name]) > REWARD_TOLERANCE:
            message = f"is {metrics[name]} at the first step: the reference is not the policy trained on"
            raise InputError(message, field=name)
    return "the policy before the training"


@contextmanager
def publishing_adapter(output: Path, out: Path, policy: Policy) -> Iterator[Path]:
    """Write LLaMA-Factory's adapter as a policy whose parent is the one it was trained on, and publish it.

    What varies between equal runs is put in order: PEFT writes the target modules in the order of a hash.
    `training_args.bin` is a pickle and stays.

    Yields:
        the folder, which is whole, beside `out`. It is renamed to `out` when the block ends well.
    """
    adapter = json.loads((output / "adapter_config.json").read_text(encoding="utf-8"))
    adapter["target_modules"] = sorted(adapter["target_modules"])
    parent = Path(os.path.relpath(policy.folder.resolve(), out.resolve()))
    with publishing(out) as folder:
        folder.mkdir()
        publish_json(folder / "adapter_config.json", adapter)
        shutil.copyfile(output / "adapter_model.safetensors", folder / "adapter_model.safetensors")
        if (output / HEAD).exists():  # a reward model alone has a value head
            shutil.copyfile(output / HEAD, folder / HEAD)
        write_adapter(folder, parent.as_posix(), policy.digest)
        yield folder
