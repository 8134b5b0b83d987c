"""Linear layers on a CPU whose weights are laid out once, not at every token.

With a few rows, as when one token of each text is written, `torch.nn.functional.linear` spends much of its
time on bringing the weights into the order that the processor's matrix kernel wants. oneDNN keeps them in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LEAST = 1 << 19  # weights of a layer: smaller ones stay in the cache, and nothing is gained
ROWS = 1  # the order is the best for so many rows; more of them are as fast in it


class PackedLinear(torch.nn.Module):
    """A linear layer in float32 that keeps its weights in oneDNN's order alone."""

    def __init__(self, layer: torch.nn.Linear):
        """Take the weights of a layer; nobody else should need them."""
        super().__init__()
        self._weight = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), ROWS)
        self._bias = None if layer.bias is None else layer.bias.detach()

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Return what the layer would, but for rounding."""
        product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(
            states, self._weight, self._bias, "none", [], ""
        )
        return product


def pack_linear_layers(model: PreTrainedModel) -> None:
    """Replace the large linear layers of a model in float32 on a CPU; any other model stays as it is.

    The model can generate as before, and cannot be trained or saved any more. A second call changes nothing.
    """
    if model.device.type != "cpu" or model.dtype != torch.float32 or not torch.backends.mkldnn.is_available():
        return
    for module in list(model.modules()):
        for name, layer in list(module.named_children()):
            if type(layer) is torch.nn.Linear and layer.weight.numel() >= LEAST:
                setattr(module, name, PackedLinear(layer))
