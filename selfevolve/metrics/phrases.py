"""Which phrases a model says again and again: openings and n-grams, counted in responses.

A word is a run of letters and digits, with its inner apostrophes and hyphens, in lower case; marks are left
out. A phrase lies within one sentence, and a response that says it twice counts once. An opening is the
first words of a response, whatever marks stand between them; of a shorter response it is the whole.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from selfevolve.metrics.statistics import mean_and_interval
from selfevolve.records.jsonl import dialogue_of

_WORD = re.compile(r"[^\W_]+(?:['’\-][^\W_]+)*")
_SENTENCE_END = re.compile(r"[.!?…。！？]+(?=\s|[\"'”’)\]]|$)|\n+")
SEED = 42  # of the intervals
COLUMNS = ("phrase", "words", "count", "percent", "golden_count", "golden_percent")


def words(text: str) -> list[str]:
    """Return the words of a text, in lower case and with straight apostrophes."""
    return [word.replace("’", "'") for word in _WORD.findall(text.lower())]


def opening(text: str, length: int) -> str | None:
    """Return the first `length` words of a response (at least 1) or all it has; None where it has none."""
    return " ".join(words(text)[:length]) or None


def ngrams(text: str, order: int) -> set[str]:
    """Return the different phrases of `order` words (at least 1) within the sentences of a text."""
    sentences = [words(sentence) for sentence in _SENTENCE_END.split(text)]
    return {
        " ".join(sentence[start : start + order])
        for sentence in sentences
        for start in range(len(sentence) - order + 1)
    }


def in_responses(found: Iterable[Iterable[str]]) -> Counter[str]:
    """Count in how many responses each phrase occurs, given the different phrases of each."""
    return Counter(phrase for phrases in found for phrase in phrases)


def commonest(counts: Counter[str], number: int) -> list[str]:
    """Return the phrases with the highest counts, those of equal count in the order of the alphabet."""
    return sorted(counts, key=lambda phrase: (-counts[phrase], phrase))[:number]


class PhraseCounts:
    """Openings and phrases of responses by context id, counted in the responses that have a word in them.

    `orders` are the numbers of words of the phrases, `top` how many of each order are listed.
    """

    def __init__(self, texts: Mapping[str, str], opening_words: int, orders: Sequence[int], top: int):
        found = {identity: opening(text, opening_words) for identity, text in texts.items()}
        self._first = {identity: first for identity, first in found.items() if first is not None}
        self._top = top
        self.responses = len(self._first)
        self.empty = len(texts) - self.responses
        self.openings = Counter(self._first.values())
        self.phrases = {
            order: in_responses(ngrams(texts[identity], order) for identity in self._first)
            for order in orders
        }

    def summary(self) -> dict[str, Any]:
        """Return counts, the share of responses with a common opening, and the commonest phrases."""
        common = set(commonest(self.openings, self._top))
        begins = [100.0 * (first in common) for first in self._first.values()]
        dialogues = [dialogue_of(identity) for identity in self._first]
        return {
            "responses": self.responses,
            "empty": self.empty,
            "different_openings": len(self.openings),
            "in_top_openings": mean_and_interval(begins, dialogues, seed=SEED),
            "openings": self._listed(self.openings),
            "phrases": {str(order): self._listed(counts) for order, counts in self.phrases.items()},
        }

    def rows(self, counts: Counter[str], golden: "PhraseCounts", others: Counter[str]) -> list[list[object]]:
        """Return a line of `COLUMNS` for each of the commonest phrases, golden responses' use beside it."""
        return [
            [
                *(phrase, len(phrase.split()), counts[phrase], 100 * counts[phrase] / self.responses),
                *(others[phrase], 100 * others[phrase] / golden.responses),
            ]
            for phrase in commonest(counts, self._top)
        ]

    def _listed(self, counts: Counter[str]) -> list[dict[str, str | float]]:
        return [
            {"phrase": phrase, "count": counts[phrase], "percent": 100 * counts[phrase] / self.responses}
            for phrase in commonest(counts, self._top)
        ]
