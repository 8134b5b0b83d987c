"""A policy for a server: `python -m selfevolve.policies.export --policy models/m2 --out FOLDER [--adapter]`.

Not part of the pipeline: M2 is kept as a chain of adapters of some megabytes, and the merged weights can be
made at any time. With `--adapter` the chain becomes one adapter, for a server that keeps it beside the
backbone: merging into weights that are not float32 rounds small updates away.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from selfevolve.policies.merge import merge
from selfevolve.policies.policy import Policy, load_policy, read_policy
from selfevolve.policies.window import ChatTemplate
from selfevolve.runtime.command import run
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import publish_json, publishing

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def main() -> None:
    """Read the command line and write the merged model, or the adapter."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--policy", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--adapter", action="store_true", help="one LoRA adapter on the backbone")
    args = parser.parse_args()
    if args.out.exists():
        raise InputError("is there already", file=args.out)
    policy = read_policy(args.policy)
    if not args.adapter:
        merge(policy, args.out)
    elif not policy.adapters or policy.merges:
        message = "has no adapters that stay unmerged: its merged model is the policy"
        raise InputError(message, file=args.policy)
    else:
        write_adapter_for_server(policy, args.out)
    print(f"{args.policy} written to {args.out}")


def write_adapter_for_server(policy: Policy, out: Path) -> None:
    """Write a policy's chain as one adapter, and the chat template that it was trained with in Jinja."""
    loaded = load_policy(policy.folder)
    with publishing(out) as folder:
        folder.mkdir()
        write_as_one_adapter(loaded.model, folder)
        jinja = ChatTemplate(loaded.tokenizer, loaded.template).jinja()
        (folder / "chat_template.jinja").write_text(jinja, encoding="utf-8")


def write_as_one_adapter(model: PreTrainedModel, folder: Path) -> None:
    """Write the chain of a model as one LoRA adapter, whose rank is the sum of theirs, to an empty folder.

    Its A are theirs on top of each other, its B theirs side by side, times their scaling: B A is their sum.

    Raises:
        InputError: the adapters of the chain do not all change the same layers.
    """
    import torch
    from peft import LoraConfig
    from safetensors.torch import save_file

    from selfevolve.policies.unmerged import UPDATES

    tensors: dict[str, torch.Tensor] = {}
    changed = {name: getattr(layer, UPDATES, ()) for name, layer in model.named_modules()}
    changed = {name: updates for name, updates in changed.items() if updates}
    for name, updates in changed.items():
        prefix = f"base_model.model.{name}"
        tensors[f"{prefix}.lora_A.weight"] = torch.cat([update.down for update in updates])
        scaled = [update.scaling * update.up for update in updates]
        tensors[f"{prefix}.lora_B.weight"] = torch.cat(scaled, dim=1)
    ranks = {len(tensor) for name, tensor in tensors.items() if "lora_A" in name}
    if len(ranks) != 1:
        raise InputError("the adapters do not all change the same layers, so they are no single adapter")
    (rank,) = ranks
    modules = sorted({name.rpartition(".")[2] for name in changed})
    config = LoraConfig(r=rank, lora_alpha=rank, target_modules=modules, task_type="CAUSAL_LM")
    config.inference_mode, config.base_model_name_or_path = True, model.name_or_path
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    adapter = config.to_dict() | {"target_modules": modules}
    publish_json(folder / "adapter_config.json", adapter)


if __name__ == "__main__":
    run(main)
