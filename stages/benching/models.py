"""The models that are measured: the weights in Git, and random Llamas made on the spot."""

import shutil
from pathlib import Path
from typing import Any

SIZES: dict[str, dict[str, Any]] = {
    "small": {"hidden_size": 640, "intermediate_size": 1920, "num_hidden_layers": 11},
    "speck": {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1},
}
"""LlamaConfig's names; `small` has some 60 million parameters, `speck` next to none."""


def make_model(name: str, tiny: Path, folder: Path) -> None:
    """Write weights, config and tokenizer into the new `folder`.

    Args:
        name: `tiny`, a copy of the trained weights; else a key of `SIZES`, random float32 weights (seed 1).
        tiny: folder of the trained weights, whose tokenizer and window all of them share.
        folder: where the model goes.
    """
    shutil.copytree(tiny, folder)
    if name == "tiny":
        return
    import torch
    from transformers import AutoConfig, LlamaForCausalLM

    config = AutoConfig.from_pretrained(tiny)
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2} if name == "speck" else {}
    config.update({**SIZES[name], **heads, "dtype": "float32"})
    config.head_dim = config.hidden_size // config.num_attention_heads
    torch.manual_seed(1)
    LlamaForCausalLM(config).save_pretrained(folder)
