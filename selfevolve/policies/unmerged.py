"""A chain of adapters on weights that are not float32: kept beside them, since merging rounds it away.

A weight in bfloat16 has eight significant bits. Of an update that is smaller than half of the last one,
merging keeps nothing (docs/paper.md has the measured shares). So every layer computes W x and adds B A x of
each adapter, in the order of the chain.

A and B are stored in the precision of the weights. LLaMA-Factory keeps those of the adapter that it trains in
float32, but trains under autocast, which computes both products in bfloat16. So the policy that answers is
the one whose loss chose the checkpoint, to the last bit where the shapes are the same.
"""

from collections.abc import Sequence
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from torch import nn
from torch.nn.functional import linear
from transformers import PreTrainedModel

from selfevolve.runtime.errors import InputError

UPDATES = "frozen_updates"


class LowRankUpdate(nn.Module):
    """What one frozen adapter adds to one linear layer."""

    def __init__(self, down: torch.Tensor, up: torch.Tensor, scaling: float):
        """Take LoRA's A, shape (rank, inputs), its B, shape (outputs, rank), and alpha / rank."""
        super().__init__()
        self.down = nn.Parameter(down, requires_grad=False)
        self.up = nn.Parameter(up, requires_grad=False)
        self.scaling = scaling

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return B A x, scaled; the products are those of PEFT's layer, in the same order."""
        return linear(linear(x.to(self.down.dtype), self.down), self.up) * self.scaling


def keep_unmerged(model: PreTrainedModel, adapters: Sequence[str]) -> None:
    """Let a model compute with LoRA adapters as if they were merged; it looks as it did without them.

    PEFT reads each adapter and finds the layers that it changes, also where they are quantised. Its own
    layers are then taken out again, so that a new adapter can be trained on top and be disabled alone.

    Args:
        model: the backbone, changed in place.
        adapters: their folders, from the foot of the chain up.

    Raises:
        InputError: an adapter has more than a low-rank update of linear layers (DoRA, biases, whole modules).
    """
    for adapter in adapters:
        tuned = PeftModel.from_pretrained(model, adapter)
        layers = [layer for layer in tuned.modules() if isinstance(layer, LoraLayer)]
        _check(tuned, layers, adapter)
        for layer in layers:
            _add(layer, model.dtype)
        tuned.unload()
        del model.peft_config  # else PEFT warns that the next adapter might join one that is merged


def merge_once(model: PreTrainedModel) -> None:
    """Add the updates that `keep_unmerged` gave a model to its weights, in float32, and round them once."""
    for layer in model.modules():
        if updates := getattr(layer, UPDATES, ()):
            weight = layer.weight.detach().float()
            for update in updates:
                weight += update.scaling * update.up.float() @ update.down.float()
            layer.weight.data = weight.to(layer.weight.dtype)
            delattr(layer, UPDATES)


def load_in_llamafactory(adapters: Sequence[str], *, trainable: bool) -> None:
    """Let LLaMA-Factory, in this process, load models with a chain that it would merge step by step.

    In training (`trainable`) the chain is below the adapter that LLaMA-Factory makes, and not in another
    model that `ref_model` names. Else the chain is merged, once.
    """
    from llamafactory.model import loader

    create = loader.init_adapter

    def create_on_chain(config: Any, model: Any, names: Any, method: Any, is_trainable: bool) -> Any:
        if is_trainable == trainable:
            keep_unmerged(model, adapters)
        if not trainable:
            merge_once(model)
        return create(config, model, names, method, is_trainable)

    loader.init_adapter = create_on_chain


def _check(tuned: PeftModel, layers: Sequence[LoraLayer], adapter: str) -> None:
    config = tuned.peft_config[tuned.active_adapter]
    more = (
        config.modules_to_save,
        config.trainable_token_indices,
        config.target_parameters,
        config.lora_bias,
    )
    odd = any(layer.lora_variant or layer.lora_embedding_A for layer in layers)
    if any(more) or odd or config.bias != "none":
        message = "has more than low-rank updates of linear layers, which needs a backbone in float32"
        raise InputError(message, file=adapter)


def _add(layer: Any, dtype: torch.dtype) -> None:
    name = layer.active_adapters[0]
    factors = (layer.lora_A[name].weight, layer.lora_B[name].weight)
    down, up = (factor.detach().to(dtype) for factor in factors)
    changed = layer.get_base_layer()
    if not hasattr(changed, UPDATES):
        setattr(changed, UPDATES, nn.ModuleList())
        changed.register_forward_hook(_with_updates)
    getattr(changed, UPDATES).append(LowRankUpdate(down, up, layer.scaling[name]))


def _with_updates(layer: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> torch.Tensor:
    """Add the updates of a linear layer to its output."""
    for update in getattr(layer, UPDATES, ()):
        output = output + update(inputs[0])
    return output
