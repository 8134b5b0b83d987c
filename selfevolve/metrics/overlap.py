"""How much two texts have in common: a pair's two responses, or what two models say to one context."""

import re
from collections import Counter


def word_overlap(one: str, other: str) -> float:
    """Return how many of the words of both texts they have in common, in percent: Dice's coefficient.

    A word counts as often as it occurs, whatever its case and place. Two texts without words are equal.
    """
    counts, others = (Counter(re.findall(r"\w+", text.lower())) for text in (one, other))
    total = counts.total() + others.total()
    return 200 * (counts & others).total() / total if total else 100.0
