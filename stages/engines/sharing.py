"""What prompts have in common, so that it is read once.

The contexts of a dialogue begin with each other: the prompt of a late turn has those of earlier turns in it.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from itertools import pairwise

import numpy as np

WORTH = 16  # tokens in common, besides what all prompts begin with, below which a prompt is read by itself


def shared_prefix(prompts: Sequence[Sequence[int]], opening: Sequence[int]) -> int:
    """Return how many tokens all prompts begin with, as far as they are those of `opening`.

    What prompts share by chance, such as the first word of two dialogues, is left out by an opening that
    ends before it: the prefix is then the same for most batches, and is computed once for all of them.
    Every prompt keeps a token of its own, whose logits the first new token is drawn from.
    """
    shared = min(len(opening), *(len(prompt) - 1 for prompt in prompts))
    for prompt in prompts:
        while prompt[:shared] != opening[:shared]:
            shared = next(at for at in range(shared) if prompt[at] != opening[at])
    return shared


class Families:
    """Which prompts of a batch have more in common than what all of them begin with."""

    def __init__(self, prompts: Sequence[Sequence[int]], prefix: int):
        """Take the prompts, of which the first `prefix` tokens are the same."""
        self._prompts = [np.asarray(prompt, dtype=np.int64) for prompt in prompts]
        self._least = prefix + WORTH
        self._common: dict[tuple[int, int], int] = {}
        # in this order those that begin with the same tokens are neighbours
        order = sorted(range(len(prompts)), key=lambda number: prompts[number])
        families = [order[:1]]
        for one, other in pairwise(order):
            if self.common(one, other) >= self._least:
                families[-1].append(other)
            else:
                families.append([other])
        self._family = {number: sorted(family) for family in families for number in family}

    def common(self, one: int, other: int) -> int:
        """Return how many tokens two prompts begin with alike; each keeps its last one for itself."""
        pair = (min(one, other), max(one, other))
        if pair not in self._common:
            a, b = self._prompts[one], self._prompts[other]
            least = min(len(a), len(b)) - 1
            differ = np.flatnonzero(a[:least] != b[:least])
            self._common[pair] = int(differ[0]) if len(differ) else least
        return self._common[pair]

    def nearest(self, number: int, others: Container[int]) -> tuple[int, int] | None:
        """Return the one of `others` that a prompt has most in common with, and how many tokens that is.

        None if there is none that it shares `WORTH` tokens with, besides the prefix; of equals the first.
        """
        best = None
        for other in self._family[number]:
            if other != number and other in others:
                common = self.common(number, other)
                if common >= self._least and (best is None or common > best[1]):
                    best = other, common
        return best
