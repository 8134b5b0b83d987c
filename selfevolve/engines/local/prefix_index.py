"""What prompts have in common, so that it is read once.

The contexts of a dialogue begin with each other: the prompt of a late turn has those of earlier turns in it.
"""

from __future__ import annotations

from bisect import bisect, insort
from collections.abc import Iterable, Sequence
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


class PrefixIndex:
    """The prompts of a batch sorted by their tokens, so that those that begin alike are neighbours."""

    def __init__(self, prompts: Sequence[Sequence[int]], prefix: int):
        """Sort the prompts, of which the first `prefix` tokens are the same."""
        self._lengths = [len(prompt) for prompt in prompts]
        self._least = prefix + WORTH
        self._numbers = sorted(range(len(prompts)), key=lambda number: prompts[number])
        self._places = {number: place for place, number in enumerate(self._numbers)}
        rows = [np.asarray(prompts[number], dtype=np.int64) for number in self._numbers]
        self._alike = np.array([_alike(one, other) for one, other in pairwise(rows)])

    def common(self, one: int, other: int) -> int:
        """Return how many tokens two prompts begin with alike; each keeps its last one for itself."""
        own = min(self._lengths[one], self._lengths[other]) - 1
        first, last = sorted((self._places[one], self._places[other]))
        return own if first == last else min(own, int(self._alike[first:last].min()))

    def places(self, numbers: Iterable[int]) -> list[int]:
        """Return where these prompts stand in the index, in order: a group for `nearest` to look in."""
        return sorted(self._places[number] for number in numbers)

    def insert(self, number: int, places: list[int]) -> None:
        """Add a prompt to a group."""
        insort(places, self._places[number])

    def nearest(self, number: int, places: Sequence[int]) -> tuple[int, int] | None:
        """Return the prompt of a group that another has most in common with, and how many tokens that is.

        None if there is none that it shares `WORTH` tokens with, besides the prefix. Nobody shares more than
        the next one on either side.
        """
        at = bisect(places, self._places[number])
        sides = [self._numbers[place] for place in places[max(0, at - 1) : at + 1]]
        tokens, other = max(((self.common(number, other), other) for other in sides), default=(0, number))
        return (other, tokens) if tokens >= self._least else None


def _alike(one: np.ndarray, other: np.ndarray) -> int:
    """Return how many tokens two prompts begin with alike."""
    least = min(len(one), len(other))
    differ = np.flatnonzero(one[:least] != other[:least])
    return int(differ[0]) if len(differ) else least
