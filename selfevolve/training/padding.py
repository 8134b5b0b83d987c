"""Rows padded on the right need no attention mask, and attention is faster without one.

LLaMA-Factory pads a training's batches on the right, to a multiple of eight, so that nearly every batch has a
mask; attention then computes all pairs of tokens and leaves half of them out. A token never looks at what
comes after it, and what is padded has no label, so that loss and gradients are the same without the mask.
"""

from collections.abc import Callable
from typing import Any

import torch

MASK = "attention_mask"


def drop_needless_masks() -> None:
    """Let LLaMA-Factory's collators of SFT and DPO, in this process, leave out masks of right padding."""
    from llamafactory.data import collator

    for kind in (collator.SFTDataCollatorWith4DAttentionMask, collator.PairwiseDataCollatorWithPadding):
        kind.__call__ = _without_needless_mask(kind.__call__)


def _without_needless_mask(collate: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    def collated(self: Any, features: list[dict[str, Any]]) -> dict[str, Any]:
        batch = collate(self, features)
        if MASK in batch and pads_right(batch[MASK]):
            del batch[MASK]
        return batch

    return collated


def pads_right(mask: Any) -> bool:
    """Return whether a mask, shape (rows, tokens), hides nothing but tokens behind the last of their row."""
    return torch.is_tensor(mask) and mask.dim() == 2 and not bool((mask.diff(dim=1) > 0).any())
