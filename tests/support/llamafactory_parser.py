"""LLaMA-Factory's parser over configurations: `python -m tests.support.llamafactory_parser < CONFIGS`.

Reads a JSON object of configurations by name, `distributed` beside LLaMA-Factory's arguments, and
prints what the parser made of each, or why it refused it. In a process of its own, since the parser
starts a process group.
"""

import json
import os
import sys
from typing import Any


def parse(config: dict[str, Any], distributed: bool) -> dict[str, Any]:
    """Return what the stage needs to be sure of, or the error."""
    from accelerate.state import AcceleratorState, PartialState
    from llamafactory.hparams import get_train_args
    from transformers.integrations import is_deepspeed_zero3_enabled

    AcceleratorState._reset_state(True)
    PartialState._reset_state()
    group = {
        "RANK": "0",
        "LOCAL_RANK": "0",
        "WORLD_SIZE": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "0",
    }
    for name in group:
        os.environ.pop(name, None)
    if distributed:
        os.environ.update(group)
    try:
        model, _, training, finetuning, _ = get_train_args(config)
    except Exception as error:  # the parser raises whatever its checks raise
        return {"error": f"{type(error).__name__}: {error}"}
    return {
        "stage": finetuning.stage,
        "bits": model.quantization_bit,
        "checkpointing": not model.disable_gradient_checkpointing,
        "bf16": training.bf16,
        "batch": training.per_device_train_batch_size,
        "added": training.gradient_accumulation_steps,
        "parallel": training.parallel_mode.value,
        "deepspeed": training.deepspeed,
        "zero3": bool(training.deepspeed) and is_deepspeed_zero3_enabled(),
    }


if __name__ == "__main__":
    configs = json.load(sys.stdin)
    parsed = {name: parse(config, config.pop("distributed")) for name, config in configs.items()}
    print("\n" + json.dumps(parsed))
