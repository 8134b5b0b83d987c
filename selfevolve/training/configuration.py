"""LLaMA-Factory's arguments for one training: the method, its numbers, the hardware, the policy.

Every key stands in one place. The method's YAML in llamafactory_configs/ holds what never changes,
`train.sft` and `train.dpo` in params.yaml hold what may, and a YAML in llamafactory_configs/hardware/ holds
what a machine needs.

`hardware` in params.yaml is one of conf/hardware/. Its part `training` may change a model, so DVC tracks it.
Its part `launch` cannot, so a finished training is not done again for its sake.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from selfevolve.policies.policy import Policy
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import read_yaml
from selfevolve.runtime.parameters import Params
from selfevolve.training.losses import read_loss

RANK = "NODE_RANK"  # LLaMA-Factory's name of the variable that numbers the machines


class Training(Params):
    """What may change a model.

    `config` is the hardware's YAML, or null. `processes` are those of all nodes. `batch` is the most samples
    that a process takes at once; how many such batches are added up follows. With `merge` the stage first
    merges the chain below the new adapter into a backbone in float32, where LLaMA-Factory cannot: in 4-bit
    weights, and in weights spread over GPUs. In other precisions the chain stays unmerged everywhere.
    """

    config: str | None
    processes: int = Field(ge=1)
    batch: int = Field(ge=1)
    merge: bool


class Launch(Params):
    """How the processes are started; `environment` is added to the stage's own."""

    launcher: Literal["none", "torchrun", "accelerate"] = "none"
    nodes: int = Field(default=1, ge=1)
    accelerate_config: str | None = None
    environment: dict[str, str] = Field(default_factory=dict)

    @property
    def follows(self) -> bool:
        """Whether this machine only helps another one, which writes the results."""
        return self.nodes > 1 and node_number(RANK, self.nodes) > 0


class Hardware(Params):
    """Section `hardware` of params.yaml."""

    name: str = Field(min_length=1)
    training: Training
    launch: Launch

    @model_validator(mode="after")
    def _fits(self) -> "Hardware":
        processes, launch = self.training.processes, self.launch
        if processes % launch.nodes:
            raise ValueError(f"training.processes {processes} is no multiple of launch.nodes {launch.nodes}")
        if processes > 1 and launch.launcher == "none":
            raise ValueError("several processes need a launcher: torchrun or accelerate")
        if (launch.launcher == "accelerate") != (launch.accelerate_config is not None):
            raise ValueError("launch.accelerate_config goes with the launcher accelerate, and only with it")
        return self


def method_arguments(
    file: Path, parameters: Mapping[str, Any], training: Training, section: str
) -> dict[str, Any]:
    """Return LLaMA-Factory's arguments of a method, of which `file` is the YAML, without model and data.

    A step has as many samples on any hardware, so that the steps, the learning rate and the early stopping
    mean the same: the method's YAML says how many, the hardware how they are split. `section` is where the
    parameters stand, such as `train.dpo in params.yaml`.

    A preference loss and its settings are checked as well (`read_loss`).

    With `early_stopping_steps` the best checkpoint is kept (`load_best_model_at_end`), without it the last
    step.

    Raises:
        InputError: a key stands in two places, the processes do not divide a step, the best step might not be
            saved, or there is no such loss or a setting does not go with it.
    """
    sources = {str(file): read_arguments(file), section: parameters}
    if training.config:
        sources[training.config] = read_arguments(training.config)
    if any(source.get("early_stopping_steps") is not None for source in sources.values()):
        sources["early_stopping_steps"] = {"load_best_model_at_end": True}
    merged = merge_sources(sources)
    if merged.get("load_best_model_at_end") and merged.get("save_steps") != merged.get("eval_steps"):
        message = "must equal eval_steps: else the best step might not be saved, and could not be kept"
        raise InputError(message, file=section, field="save_steps")
    if merged.get("stage") == "dpo":
        read_loss(merged, section)
    effective = merged.get("per_device_train_batch_size", 1) * merged.get("gradient_accumulation_steps", 1)
    size, added = batches(effective, training.processes, training.batch)
    return merged | {"per_device_train_batch_size": size, "gradient_accumulation_steps": added}


def policy_arguments(policy: Policy, merged: Path | None = None) -> dict[str, Any]:
    """Return the arguments that train a fresh adapter on a policy, which stays the adapter's parent.

    `merged` is a folder with its merged weights; None where LLaMA-Factory merges the chain itself, or where
    it stays unmerged.
    """
    arguments = policy.arguments()
    if merged:
        arguments = {"model_name_or_path": str(merged), "template": policy.backbone.template}
    elif "adapter_name_or_path" in arguments:
        arguments["create_new_adapter"] = True
    if policy.backbone.dtype == "bfloat16":
        arguments["bf16"] = True
    return arguments


def read_arguments(file: Path | str) -> dict[str, Any]:
    """Return a YAML file of LLaMA-Factory's; raise InputError if it cannot be read or is not a mapping."""
    arguments = read_yaml(file)
    if not isinstance(arguments, dict):
        raise InputError("not a mapping", file=file)
    return arguments


def merge_sources(sources: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the arguments of all named sources without nulls; raises InputError for a key in two of them."""
    found_in: dict[str, str] = {}
    for name, arguments in sources.items():
        for key in arguments:
            if key in found_in:
                message = f"stands in {name} as well: keep it in one place"
                raise InputError(message, file=found_in[key], field=key)
            found_in[key] = name
    merged = {key: value for arguments in sources.values() for key, value in arguments.items()}
    return {key: value for key, value in merged.items() if value is not None}


def batches(effective: int, processes: int, largest: int) -> tuple[int, int]:
    """Return samples a process takes at once, `largest` at most, and how many such batches are added up.

    Raises:
        InputError: the processes do not divide the samples of a step of all together, `effective`.
    """
    if effective % processes:
        message = f"is {processes}, which does not divide the {effective} samples of a step"
        raise InputError(message, field="hardware.training.processes")
    share = effective // processes
    size = max(size for size in range(1, min(share, largest) + 1) if share % size == 0)
    return size, share // size


def node_number(name: str, end: int) -> int:
    """Return a number below `end` from an environment variable; raise InputError if it is none."""
    text = os.environ.get(name, "")
    if not text.isdecimal() or int(text) >= end:
        found = f"is {text!r}" if text else "is not in the environment"
        raise InputError(f"{found}; several nodes need a number from 0 to {end - 1}", field=name)
    return int(text)
