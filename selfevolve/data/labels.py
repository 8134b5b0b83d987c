"""Whether a text names an annotated emotion or problem: ESConv's labels and the words that stand for them.

A label is named where one of its words (labels.yaml) occurs in the text, whatever the case. `depress*` stands
for every word that begins so; other entries are whole words, or several in a row. A negated word counts as
well, and a person may be named whom the trouble is not about: how often that happens by chance has to be
measured beside it. A label that is not listed is named where all of its own words but the `FILLERS` occur.
"""

import re
from collections.abc import Collection, Iterable
from functools import cache
from pathlib import Path

from selfevolve.runtime.files import read_yaml

_LISTED = read_yaml(Path(__file__).with_suffix(".yaml"))
EMOTIONS: dict[str, tuple[str, ...]] = {label: tuple(words) for label, words in _LISTED["emotions"].items()}
PROBLEMS: dict[str, tuple[str, ...]] = {label: tuple(words) for label, words in _LISTED["problems"].items()}
FILLERS: frozenset[str] = frozenset(_LISTED["fillers"])


def named(text: str, labels: Iterable[str], words: dict[str, tuple[str, ...]]) -> set[str]:
    """Return the labels, in their own spelling, that a text names by the rule above."""
    plain = " ".join(text.lower().replace("’", "'").split())
    return {label for label in labels if _names(plain, label, words)}


def _names(plain: str, label: str, words: dict[str, tuple[str, ...]]) -> bool:
    label = " ".join(label.lower().split())
    if label in words:
        return _any(words[label]).search(plain) is not None
    own = [word for word in re.findall(r"\w+", label) if word not in FILLERS]
    return bool(own) and all(_any((word,)).search(plain) for word in own)


@cache
def _any(entries: Collection[str]) -> re.Pattern[str]:
    """Return a pattern of entries; `*` at the end stands for the rest of a word."""
    parts = (re.escape(e.removesuffix("*")) + (r"\w*" if e.endswith("*") else "") for e in entries)
    return re.compile(rf"(?<!\w)(?:{'|'.join(parts)})(?!\w)")
