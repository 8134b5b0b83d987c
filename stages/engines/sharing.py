"""What prompts have in common, so that it is read once.

The contexts of a dialogue begin with each other: the prompt of a late turn has those of earlier turns in it.
"""

from __future__ import annotations

from bisect import bisect, insort
from collections.abc import Iterable, Sequence

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


class Order:
    """The prompts of a batch in the order of their tokens, in which those that begin alike are neighbours."""

    def __init__(self, prompts: Sequence[Sequence[int]], prefix: int):
        """Take the prompts, of which the first `prefix` tokens are the same."""
        self._prompts = [np.asarray(prompt, dtype=np.int64) for prompt in prompts]
        self._least = prefix + WORTH
        self._numbers = sorted(range(len(prompts)), key=lambda number: prompts[number])
        self._places = {number: place for place, number in enumerate(self._numbers)}

    def common(self, one: int, other: int) -> int:
        """Return how many tokens two prompts begin with alike; each keeps its last one for itself."""
        a, b = self._prompts[one], self._prompts[other]
        least = min(len(a), len(b)) - 1
        differ = np.flatnonzero(a[:least] != b[:least])
        return int(differ[0]) if len(differ) else least

    def some(self, numbers: Iterable[int] = ()) -> Some:
        """Return some of the prompts, to look among."""
        return Some(self, sorted(self._places[number] for number in numbers))


class Some:
    """Some prompts of an order."""

    def __init__(self, order: Order, places: list[int]):
        """Take the places of the prompts in the order, the least first."""
        self._order, self._places = order, places

    def add(self, number: int) -> None:
        """Add a prompt."""
        insort(self._places, self._order._places[number])

    def nearest(self, number: int) -> tuple[int, int] | None:
        """Return the one of these that another prompt has most in common with, and how many tokens that is.

        None if there is none that it shares `WORTH` tokens with, besides the prefix. Nobody shares more than
        the next one on either side.
        """
        at = bisect(self._places, self._order._places[number])
        sides = [self._order._numbers[place] for place in self._places[max(0, at - 1) : at + 1]]
        shared = [(self._order.common(number, other), other) for other in sides]
        tokens, other = max(shared, default=(0, number))
        return (other, tokens) if tokens >= self._order._least else None
