"""Small policies: a backbone in bfloat16, random adapters."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from selfevolve.policies.convert import TOKENIZER_FILES, convert
from selfevolve.policies.policy import POLICY_FILE, read_policy, write_adapter


def in_bfloat16(backbone: Path, folder: Path) -> Path:
    """Write a backbone with its weights in bfloat16 to a new folder; return the folder."""
    folder.mkdir()
    for name in TOKENIZER_FILES:
        shutil.copyfile(backbone / name, folder / name)
    convert(backbone, folder, "bfloat16")
    policy = json.loads((backbone / POLICY_FILE).read_text()) | {"dtype": "bfloat16"}
    (folder / POLICY_FILE).write_text(json.dumps(policy))
    return folder


def add_adapter(folder: Path, parent: Path, size: float, **more: Any) -> Path:
    """A LoRA adapter with random A and B, as a policy on its parent."""
    model = AutoModelForCausalLM.from_pretrained(read_policy(parent).weights, dtype="auto")
    lora = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM", **more)
    tuned: Any = get_peft_model(model, lora)
    torch.manual_seed(len(folder.name) + ord(folder.name[-1]))
    for name, weight in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=size)
    tuned.save_pretrained(folder)
    write_adapter(folder, f"../{parent.name}", read_policy(parent).digest)
    return folder
