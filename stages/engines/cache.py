"""The keys and values of rows that run together, written in place.

`transformers`' own cache makes all tensors anew at every token; with many rows that costs more than the
attention itself. Here every row has a slot for as long as it runs. What all rows begin with is computed once
and copied into each slot, and what two rows share goes from the slot of one to that of the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from transformers.cache_utils import Cache

Pair = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Filling:
    """Where new prompts go: for each real token its slot and column, and which of the tokens are real.

    The prompts take `rows` slots from `first` on, and attend to the first `width` columns.
    """

    slots: torch.Tensor
    columns: torch.Tensor
    real: torch.Tensor
    first: int
    rows: int
    width: int


@dataclass(frozen=True)
class Step:
    """One token more for the first rows: a column for each, and the width of what they attend to."""

    rows: torch.Tensor
    columns: torch.Tensor
    width: int


class SlotCache(Cache):
    """Keys and values of shape (slots, heads, width, size of a head) for every layer.

    `at` says where the next forward pass writes. A row's tokens stand in the columns of their positions:
    there are no gaps, and what is beyond a row's end is for the mask to hide. The memory is kept from one use
    to the next: to have it from the system anew takes longer than to move the rows that run.
    """

    def __init__(self) -> None:
        """Take no memory before the first forward pass."""
        super().__init__(layers=[])
        self.stored: list[Pair] = []
        self.at: Filling | Step | None = None
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
        stored = self.stored[layer_idx]
        if isinstance(self.at, Step):
            for buffer, states in zip(stored, new, strict=True):
                buffer[self.at.rows, :, self.at.columns] = states[:, :, 0]
            rows, width = len(self.at.rows), self.at.width
            return stored[0][:rows, :, :width], stored[1][:rows, :, :width]
        assert self.at is not None
        for buffer, states in zip(stored, new, strict=True):
            buffer[self.at.slots, :, self.at.columns] = states.transpose(1, 2)[self.at.real]
        own = slice(self.at.first, self.at.first + self.at.rows)
        return stored[0][own, :, : self.at.width], stored[1][own, :, : self.at.width]

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
