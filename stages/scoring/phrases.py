"""Which phrases a model says again and again: openings and n-grams, counted in responses.

A word is a run of letters and digits, with its inner apostrophes and hyphens, in lower case; marks are left
out. A phrase lies within one sentence, and a response that says it twice counts once. An opening is the
first words of a response, whatever marks stand between them; of a shorter response it is the whole.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

_WORD = re.compile(r"[^\W_]+(?:['’\-][^\W_]+)*")
_SENTENCE_END = re.compile(r"[.!?…。！？]+(?=\s|[\"'”’)\]]|$)|\n+")


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


def table(counts: Counter[str], phrases: Sequence[str], responses: int) -> list[dict[str, str | float]]:
    """Return `phrase`, `count` and `percent` of the responses (at least one) for each of some phrases."""
    return [
        {"phrase": phrase, "count": counts[phrase], "percent": 100 * counts[phrase] / responses}
        for phrase in phrases
    ]
