"""What a forward pass reads and writes for each row: its attention, its masks, its keys and values.

Every row has a slot for as long as it runs, and its tokens stand in the columns of their positions: there are
no gaps, and the mask hides what is beyond a row's end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface, PretrainedConfig, PreTrainedModel
from transformers.cache_utils import Cache
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from selfevolve.runtime.errors import InputError

GROUPED = "grouped_sdpa"
BLOCK = 128  # tokens of a prompt that attend together: not to what comes after all of them
Masks = torch.Tensor | dict[str, torch.Tensor]
Pair = tuple[torch.Tensor, torch.Tensor]


def grouped_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **more: Any,
) -> tuple[torch.Tensor, None]:
    """Attend as `sdpa` does, without two of its costs.

    A long prompt is read in blocks, each of which attends only to what stands before its end. With one new
    token a row, the heads that share keys are asked as one: `sdpa` with a mask would repeat keys and values
    for each of them, which with four heads a key copies four times the cache at every token.

    Args:
        module: the attention layer.
        query: shape (rows, heads, tokens, size).
        key: shape (rows, key heads, width, size).
        value: as `key`.
        attention_mask: shape (rows, 1, tokens, width).
        scaling: of the scores.
        more: what `sdpa` takes besides.

    Returns:
        shape (rows, tokens, heads, size), and no attention weights.
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
AttentionMaskInterface.register(GROUPED, sdpa_mask)  # for whoever else runs the model


def use_grouped_attention(model: PreTrainedModel) -> None:
    """Let a model that uses `sdpa` use `grouped_attention` from now on."""
    if model.config._attn_implementation == "sdpa":
        model.set_attn_implementation(GROUPED)


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


def masks_of(
    windows: Mapping[str, int | None], positions: torch.Tensor, width: int, like: torch.Tensor
) -> Masks:
    """Return what tokens attend to: 0 or -inf for each column, added to the scores.

    Args:
        windows: as of `windows_of`.
        positions: of the tokens, shape (rows, tokens); those of padding may be any.
        width: how many columns are attended to; a column holds the token of its position.
        like: has the model's number format and device.

    Returns:
        shape (rows, 1, tokens, width); where layers are of two kinds, by the kind.
    """
    query = positions[:, :, None]
    key = torch.arange(width, device=like.device)
    masks = {}
    for kind, window in windows.items():
        hidden = key > query
        if window is not None:
            hidden |= key <= query - window
        masks[kind] = like.new_zeros(hidden.shape).masked_fill_(hidden, -torch.inf)[:, None]
    return masks if len(masks) > 1 else next(iter(masks.values()))


@dataclass(frozen=True)
class Place:
    """Where new tokens go: the slot and the column of each.

    They belong to `rows` slots from `first` on, and attend to the first `width` columns. Prompts of different
    lengths are padded: `real`, shape (rows, tokens), says which tokens are real. None is one token a row.
    """

    slots: torch.Tensor
    columns: torch.Tensor
    real: torch.Tensor | None
    first: int
    rows: int
    width: int


class SlotCache(Cache):
    """Keys and values of shape (slots, heads, width, size of a head) for every layer, written in place.

    `transformers`' own cache makes all tensors anew at every token, which with many rows costs more than the
    attention itself. `at` says where the next forward pass writes. The memory is kept from one use to the
    next: to have it from the system anew takes longer than to move the rows that run.
    """

    def __init__(self) -> None:
        """Take no memory before the first forward pass."""
        super().__init__(layers=[])
        self.stored: list[Pair] = []
        self.at: Place | None = None
        self._memory: list[Pair] = []
        self._slots = self._width = self._room = 0
        self._prefix: list[Pair] | None = None

    def begin(self, slots: int, width: int, prefix: list[Pair] | None = None) -> None:
        """Forget the rows; be so many slots of so many tokens, all of which begin with the prefix.

        The prefix is every layer's keys and values, of shape (1, heads, tokens, size of a head).
        """
        same = (slots, width) == (self._slots, self._width) and prefix is self._prefix
        self._slots, self._width, self._prefix = slots, width, prefix
        if slots * width > self._room:
            self.stored, self._memory, self._room = [], [], _rounded(slots * width)
        elif not same:
            self.stored = []

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *_: Any, **__: Any
    ) -> Pair:
        """Write the new keys and values and return all that the new tokens may attend to."""
        new = (key_states, value_states)
        if layer_idx == len(self._memory):
            self._memory.append((self._room_for(key_states), self._room_for(value_states)))
        if layer_idx == len(self.stored):
            self.stored.append(self._begun(layer_idx))
        stored, at = self.stored[layer_idx], self.at
        assert at is not None
        for buffer, states in zip(stored, new, strict=True):
            each = states[:, :, 0] if at.real is None else states.transpose(1, 2)[at.real]
            buffer[at.slots, :, at.columns] = each
        own = slice(at.first, at.first + at.rows)
        return stored[0][own, :, : at.width], stored[1][own, :, : at.width]

    def copy_columns(self, source: int, target: int, columns: slice) -> None:
        """Copy these columns from one slot into another."""
        for pair in self.stored:
            for buffer in pair:
                buffer[target, :, columns].copy_(buffer[source, :, columns])

    def _room_for(self, states: torch.Tensor) -> torch.Tensor:
        # zeros: what is masked counts nothing, but nothing times a stray NaN is NaN
        return states.new_zeros(self._room * states.shape[1], states.shape[3])

    def _begun(self, layer: int) -> Pair:
        """Return a layer's slots: a view of its memory, with the prefix in it."""
        buffers = []
        for number, memory in enumerate(self._memory[layer]):
            heads = len(memory) // self._room
            used = memory[: self._slots * heads * self._width]
            buffer = used.view(self._slots, heads, self._width, memory.shape[1])
            if self._prefix:
                prefix = self._prefix[layer][number]
                buffer[:, :, : prefix.shape[2]] = prefix
            buffers.append(buffer)
        return buffers[0], buffers[1]


def _rounded(tokens: int) -> int:
    """Return up to an eighth more: runs under one budget take a little more or less each."""
    step = 1 << max(0, tokens.bit_length() - 4)
    return -(-tokens // step) * step
