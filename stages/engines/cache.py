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
    there are no gaps, and what is beyond a row's end is for the mask to hide.
    """

    def __init__(self, slots: int, width: int, prefix: list[Pair] | None = None):
        """Take the number of slots, their width in tokens, and every layer's keys and values of the prefix.

        These have the shape (1, heads, tokens, size of a head).
        """
        super().__init__(layers=[])
        self.stored: list[Pair] = []
        self.at: Filling | Step | None = None
        self._slots, self._width, self._prefix = slots, width, prefix

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *_: Any, **__: Any
    ) -> Pair:
        """Write the new keys and values and return all that the new tokens may attend to."""
        new = (key_states, value_states)
        if layer_idx == len(self.stored):
            prefix = self._prefix[layer_idx] if self._prefix else (None, None)
            self.stored.append(
                (self._slots_for(key_states, prefix[0]), self._slots_for(value_states, prefix[1]))
            )
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

    def share(self, sources: torch.Tensor, targets: torch.Tensor, columns: slice) -> None:
        """Copy these columns from some slots into as many others."""
        for pair in self.stored:
            for buffer in pair:
                buffer[targets, :, columns] = buffer[sources, :, columns]

    def move(self, source: int, target: int, width: int) -> None:
        """Put the row of one slot, `width` tokens of it, into another."""
        for pair in self.stored:
            for buffer in pair:
                buffer[target, :, :width] = buffer[source, :, :width]

    def _slots_for(self, states: torch.Tensor, prefix: torch.Tensor | None) -> torch.Tensor:
        # zeros: what is masked counts nothing, but nothing times a stray NaN is NaN
        buffer = states.new_zeros(self._slots, states.shape[1], self._width, states.shape[3])
        if prefix is not None:
            buffer[:, :, : prefix.shape[2]] = prefix
        return buffer
