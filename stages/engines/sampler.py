"""Sampling in batches where every row has a seed of its own.

`transformers` draws a whole batch from one random stream, so a text would depend on its neighbours.
Here each request has one uniform number a step, drawn from its own seed, and the token is read off the
cumulative distribution at that number. It works as a logits processor under greedy search: all tokens
but the drawn one are ruled out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from transformers import LogitsProcessor

if TYPE_CHECKING:
    from stages.engines.request import Sampling


class SeededSampler(LogitsProcessor):
    """Penalise repetition, cut to top-k and top-p, and draw: one instance for one batch."""

    def __init__(
        self,
        sampling: Sampling,
        seeds: Sequence[int],
        prompt: torch.Tensor,
        mask: torch.Tensor,
        vocabulary: int,
    ):
        """Take the prompts of the batch.

        Args:
            sampling: how tokens are chosen.
            seeds: one a row.
            prompt: token ids, shape (rows, length), padded.
            mask: 1 where a prompt token is real, same shape. Padding is never counted as repeated.
            vocabulary: number of logits.
        """
        self.sampling = sampling
        self.length = prompt.shape[1]
        rows = [np.random.Generator(np.random.Philox(seed)).random(sampling.max_new_tokens) for seed in seeds]
        self.uniforms = torch.tensor(np.stack(rows), dtype=torch.float32, device=prompt.device)
        seen = torch.zeros(prompt.shape[0], vocabulary, dtype=torch.bool, device=prompt.device)
        self.seen = seen.scatter_(1, torch.where(mask.bool(), prompt, prompt[:, -1:]), True)

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Return scores, shape (rows, vocabulary), that are -inf for all but the chosen token of each row."""
        step = input_ids.shape[1] - self.length
        if step > 0:
            self.seen.scatter_(1, input_ids[:, -1:], True)
        scores = scores.float()
        penalty = self.sampling.repetition_penalty
        if penalty != 1.0:
            penalised = torch.where(scores < 0, scores * penalty, scores / penalty)
            scores = torch.where(self.seen, penalised, scores)
        chosen = (
            self._draw(scores, step) if self.sampling.temperature > 0 else scores.argmax(-1, keepdim=True)
        )
        return torch.full_like(scores, -torch.inf).scatter_(1, chosen, 0.0)

    def _draw(self, scores: torch.Tensor, step: int) -> torch.Tensor:
        count = min(self.sampling.top_k or scores.shape[1], scores.shape[1])
        top, tokens = torch.topk(scores / self.sampling.temperature, count, dim=-1)
        probabilities = torch.softmax(top, dim=-1)
        # top-p keeps the tokens before which less than p has been gathered: at least the first
        before = probabilities.cumsum(-1) - probabilities
        probabilities = torch.where(before < self.sampling.top_p, probabilities, 0.0)
        cumulative = probabilities.cumsum(-1)
        target = self.uniforms[:, step : step + 1] * cumulative[:, -1:]
        index = (cumulative <= target).sum(-1, keepdim=True)
        # rounding may put the target at the very end, past the last token with any probability
        last = (probabilities > 0).sum(-1, keepdim=True) - 1
        return tokens.gather(1, torch.minimum(index, last))
