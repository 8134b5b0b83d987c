"""On what a training runs: how many processes share a step, how they start, what is laid over the YAML.

`hardware` in the parameters is one of conf/hardware/. Its part `training` may change a model and is tracked
by DVC: the YAML that is laid over the method's, the number of processes and the batch. Its part `launch`
cannot change a model, so that a finished training is not done again for its sake.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from stages.command import Params
from stages.records.errors import InputError

WORKER = "stages.training.worker"
RANK, ADDRESS, PORT = "NODE_RANK", "MASTER_ADDR", "MASTER_PORT"  # the names that LLaMA-Factory uses


class Training(Params):
    """What may change a model.

    `config` is a LLaMA-Factory YAML that is laid over all else, or null. `processes` are those of all nodes.
    `batch` is the most samples that a process takes at once, null for what the method's YAML says; how many
    batches are added up follows (`batches`). With `merge` the adapters below the one to train are merged into
    the backbone beforehand, where LLaMA-Factory cannot: in 4-bit weights, and in weights spread over GPUs.
    """

    config: str | None
    processes: int = Field(ge=1)
    batch: int | None = Field(ge=1)
    merge: bool


class Launch(Params):
    """How the processes are started; `environment` is laid over the stage's own."""

    launcher: Literal["none", "torchrun", "accelerate"] = "none"
    nodes: int = Field(default=1, ge=1)
    accelerate_config: str | None = None
    environment: dict[str, str] = Field(default_factory=dict)

    @property
    def follows(self) -> bool:
        """Whether this machine only helps another one, which writes the results."""
        return self.nodes > 1 and _number(RANK, self.nodes) > 0


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
        if (processes > 1) and launch.launcher == "none":
            raise ValueError("several processes need a launcher: torchrun or accelerate")
        if (launch.launcher == "accelerate") != (launch.accelerate_config is not None):
            raise ValueError("launch.accelerate_config goes with the launcher accelerate, and only with it")
        return self


def batches(effective: int, processes: int, largest: int) -> tuple[int, int]:
    """Return samples a process takes at once, and how many such batches are added up, for a step.

    Args:
        effective: samples of a step of all processes together; it is kept, so that the steps, the learning
            rate and the early stopping mean the same on any hardware.
        processes: that share a step.
        largest: most samples that a process takes at once.

    Raises:
        InputError: the processes do not divide the step.
    """
    if effective % processes:
        message = f"is {processes}, which does not divide the {effective} samples of a step"
        raise InputError(message, field="hardware.training.processes")
    share = effective // processes
    size = max(size for size in range(1, min(share, largest) + 1) if share % size == 0)
    return size, share // size


def settle(config: dict[str, Any], overlay: Mapping[str, Any], training: Training) -> dict[str, Any]:
    """Return LLaMA-Factory's arguments for this hardware, with the same number of samples a step."""
    if training.config is None and training.processes == 1 and training.batch is None:
        return config
    size = config.get("per_device_train_batch_size", 1)
    effective = size * config.get("gradient_accumulation_steps", 1)
    size, added = batches(effective, training.processes, training.batch or size)
    sizes = {"per_device_train_batch_size": size, "gradient_accumulation_steps": added}
    return {**config, **overlay, **sizes}


def command(launch: Launch, processes: int, config: Path) -> list[str]:
    """Return the command line of the training, with `processes` in all.

    One machine meets itself at a free port; of several, each reads NODE_RANK, MASTER_ADDR and MASTER_PORT.

    Raises:
        InputError: one of these is missing or no number in range.
    """
    if launch.launcher == "none":
        return [sys.executable, "-m", "llamafactory.cli", "train", str(config)]
    several, own = launch.nodes > 1, processes // launch.nodes
    if launch.launcher == "torchrun":
        start = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={own}"]
        start += [
            f"--nnodes={launch.nodes}",
            *_meeting("--node-rank", "--master-addr", "--master-port", launch),
        ]
        return [*start, *([] if several else ["--standalone"]), "-m", WORKER, str(config)]
    start = [sys.executable, "-m", "accelerate.commands.launch", f"--config_file={launch.accelerate_config}"]
    start += [f"--num_processes={processes}", f"--num_machines={launch.nodes}"]
    start += _meeting("--machine_rank", "--main_process_ip", "--main_process_port", launch)
    return [*start, *([] if several else ["--main_process_port=0"]), "-m", WORKER, str(config)]


def environment(launch: Launch) -> dict[str, str]:
    """Return the environment of the training's processes."""
    extra = {"LLAMAFACTORY_VERBOSITY": "INFO", "HF_HUB_DISABLE_TELEMETRY": "1"}
    if launch.launcher == "none":
        # LLaMA-Factory would start a process for every GPU that it sees, and a step would grow with them.
        extra["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    return {**os.environ, **extra, **launch.environment}


def _meeting(rank: str, address: str, port: str, launch: Launch) -> list[str]:
    if launch.nodes == 1:
        return []
    if not os.environ.get(ADDRESS):
        raise InputError("several nodes meet there: not in the environment", field=ADDRESS)
    own = _number(RANK, launch.nodes)
    return [f"{rank}={own}", f"{address}={os.environ[ADDRESS]}", f"{port}={_number(PORT, 65536)}"]


def _number(name: str, end: int) -> int:
    text = os.environ.get(name, "")
    if not text.isdecimal() or int(text) >= end:
        found = f"is {text!r}" if text else "is not in the environment"
        raise InputError(f"{found}; several nodes need a number from 0 to {end - 1}", field=name)
    return int(text)
