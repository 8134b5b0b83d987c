"""What new tokens may attend to, and attention that does not copy the keys of grouped heads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from transformers import AttentionInterface, PretrainedConfig
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from stages.records.errors import InputError

GROUPED = "grouped_sdpa"
BLOCK = 128  # tokens of a prompt that attend together: not to what comes after all of them
Masks = torch.Tensor | dict[str, torch.Tensor]


def grouped_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **more: Any,
) -> tuple[torch.Tensor, None]:
    """Attend as `sdpa` does, without its waste.

    Long prompts are taken in blocks, each of which attends to what is there up to its end. With one new
    token a row, the heads that share keys are asked as one: `sdpa` with a mask repeats keys and values for
    each of these heads, which for a model with four heads a key is
    a copy of four times the cache at every token. Shapes: query (rows, heads, tokens, size), key and value
    (rows, key heads, width, size), mask (rows, 1, tokens, width).
    """
    rows, heads, tokens, size = query.shape
    groups = heads // key.shape[1]
    if tokens > BLOCK and attention_mask is not None:
        before = key.shape[2] - tokens
        outputs = []
        for first in range(0, tokens, BLOCK):
            end = min(first + BLOCK, tokens)
            seen = slice(before + end)
            part = (query[:, :, first:end], key[:, :, seen], value[:, :, seen])
            mask = attention_mask[:, :, first:end, seen]
            outputs.append(sdpa_attention_forward(module, *part, mask, scaling=scaling, **more)[0])
        return torch.cat(outputs, dim=1), None
    if tokens > 1 or groups == 1:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **more)
    grouped = query.reshape(rows, key.shape[1], groups, size)
    output = torch.nn.functional.scaled_dot_product_attention(
        grouped, key, value, attn_mask=attention_mask, scale=scaling
    )
    return output.reshape(rows, 1, heads, size), None


AttentionInterface.register(GROUPED, grouped_attention)


@contextmanager
def grouped_heads(config: PretrainedConfig) -> Iterator[None]:
    """Let a model that uses `sdpa` use `grouped_attention` for a while."""
    before = config._attn_implementation
    if before == "sdpa":
        config._attn_implementation = GROUPED
    try:
        yield
    finally:
        if before == "sdpa":
            config._attn_implementation = before


def windows_of(config: PretrainedConfig) -> dict[str, int | None]:
    """Return how far back each kind of layer attends, in tokens; None is to the beginning.

    Raises:
        InputError: the model has layers of another kind than full and sliding attention.
    """
    kinds = sorted(set(getattr(config, "layer_types", None) or ()))
    window: int | None = getattr(config, "sliding_window", None)
    if not kinds:
        return {"full_attention" if window is None else "sliding_attention": window}
    windows = {"full_attention": None, "sliding_attention": window}
    for kind in kinds:
        if kind not in windows:
            message = f"layers of the kind {kind} cannot be run by the transformers engine: use a server"
            raise InputError(message, field="backbone.weights")
    return {kind: windows[kind] for kind in kinds}


class RowMasks:
    """For every slot, what its newest token attends to: 0 or -inf for each column, added to the scores."""

    def __init__(
        self,
        windows: Mapping[str, int | None],
        slots: int,
        width: int,
        dtype: torch.dtype,
        device: torch.device,
    ):
        """Hide everything; `width` is that of the slots."""
        self._masks = {
            kind: (window, torch.full((slots, 1, 1, width), -torch.inf, dtype=dtype, device=device))
            for kind, window in windows.items()
        }

    def begin(self, slot: int, length: int) -> None:
        """Let a slot's row be as it is after a prompt of so many tokens."""
        for window, mask in self._masks.values():
            mask[slot] = -torch.inf
            mask[slot, :, :, max(0, length - (window or length)) : length] = 0

    def extend(self, rows: torch.Tensor, columns: torch.Tensor, width: int) -> Masks:
        """Add a column to each of the first rows; return what these attend to, (rows, 1, 1, width)."""
        views = {}
        for kind, (window, mask) in self._masks.items():
            mask[rows, 0, 0, columns] = 0
            if window is not None:
                left = columns >= window
                mask[rows[left], 0, 0, columns[left] - window] = -torch.inf
            views[kind] = mask[: len(rows), :, :, :width]
        return _alone(views)

    def move(self, source: int, target: int) -> None:
        """Put a slot's row into another."""
        for _, mask in self._masks.values():
            mask[target] = mask[source]


def prompt_masks(
    windows: Mapping[str, int | None], at: torch.Tensor, width: int, like: torch.Tensor
) -> Masks:
    """Return what the tokens of new prompts attend to, shape (rows, 1, tokens, width).

    Args:
        windows: as of `windows_of`.
        at: the position of each token, shape (rows, tokens); those of padding may be any.
        width: how many columns are attended to; a column holds the token of its position.
        like: has the model's number format and device.
    """
    query = at[:, :, None]
    key = torch.arange(width, device=like.device)
    masks = {}
    for kind, window in windows.items():
        hidden = key > query
        if window is not None:
            hidden |= key <= query - window
        masks[kind] = like.new_zeros(hidden.shape).masked_fill_(hidden, -torch.inf)[:, None]
    return _alone(masks)


def _alone(masks: dict[str, torch.Tensor]) -> Masks:
    return masks if len(masks) > 1 else next(iter(masks.values()))
