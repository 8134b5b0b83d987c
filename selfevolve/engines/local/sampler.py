"""Choosing tokens where every request has a random stream of its own.

`transformers` draws a whole batch from one random stream, so a text would depend on its neighbours.
Here each request has one uniform number a step, drawn from its own seed, and the token is read off the
cumulative distribution at that number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from selfevolve.generation.request import Sampling


def uniforms(seed: int, count: int) -> list[float]:
    """Return a request's random numbers, one for each token that may be written; in 0 .. 1."""
    return np.random.Generator(np.random.Philox(seed)).random(count).tolist()


def penalise(scores: torch.Tensor, seen: torch.Tensor, penalty: float) -> torch.Tensor:
    """Make tokens that were seen less likely; scores and seen have the shape (rows, vocabulary)."""
    penalised = torch.where(scores < 0, scores * penalty, scores / penalty)
    return torch.where(seen, penalised, scores)


def draw(scores: torch.Tensor, numbers: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """Cut scores, shape (rows, vocabulary), to top-k and top-p and draw; return tokens, shape (rows, 1).

    `numbers`, shape (rows, 1), say where in each cumulative distribution the token lies.
    """
    if sampling.temperature == 0:
        return scores.argmax(-1, keepdim=True)
    count = min(sampling.top_k or scores.shape[1], scores.shape[1])
    top, tokens = torch.topk(scores, count, dim=-1)
    probabilities = torch.softmax(top / sampling.temperature, dim=-1)
    # top-p keeps the tokens before which less than p has been gathered: at least the first
    before = probabilities.cumsum(-1) - probabilities
    probabilities = torch.where(before < sampling.top_p, probabilities, 0.0)
    cumulative = probabilities.cumsum(-1)
    target = numbers * cumulative[:, -1:]
    index = (cumulative <= target).sum(-1, keepdim=True)
    # rounding may put the target at the very end, past the last token with any probability
    last = (probabilities > 0).sum(-1, keepdim=True) - 1
    return tokens.gather(1, torch.minimum(index, last))


class Sampler:
    """Draws the next token of every running row; knows what each has seen, if repetition is penalised."""

    def __init__(self, sampling: Sampling, rows: int, device: torch.device):
        """Take the number of slots that rows can be in."""
        self._sampling, self._rows, self._device = sampling, rows, device
        self._prompts: dict[int, Sequence[int]] = {}
        self._seen: torch.Tensor | None = None

    def begin(self, slot: int, prompt: Sequence[int]) -> None:
        """Let a row with this prompt begin in a slot."""
        self._prompts[slot] = prompt

    def next_tokens(self, logits: torch.Tensor, numbers: Sequence[float], first: int) -> list[int]:
        """Return a token for each row, from slot `first` on; logits have the shape (rows, vocabulary)."""
        scores = logits.float()
        rows = slice(first, first + len(logits))
        if self._sampling.repetition_penalty != 1.0:
            seen = self._seen_by(rows, scores.shape[1])
            scores = penalise(scores, seen, self._sampling.repetition_penalty)
        at = torch.tensor(numbers, dtype=torch.float32, device=self._device)[:, None]
        tokens = draw(scores, at, self._sampling)
        if self._seen is not None:
            self._seen[rows].scatter_(1, tokens, True)
        return tokens[:, 0].tolist()

    def move(self, source: int, target: int) -> None:
        """Put a slot's row into another."""
        if self._seen is not None:
            self._seen[target] = self._seen[source]

    def _seen_by(self, rows: slice, vocabulary: int) -> torch.Tensor:
        if self._seen is None:
            self._seen = torch.zeros(self._rows, vocabulary, dtype=torch.bool, device=self._device)
        for slot, prompt in self._prompts.items():
            self._seen[slot] = False
            self._seen[slot, torch.tensor(prompt, device=self._device)] = True
        self._prompts.clear()
        return self._seen[rows]
