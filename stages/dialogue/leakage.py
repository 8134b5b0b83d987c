"""No test dialogue in any training set: exact and near duplicates are found, counted and removed.

Two dialogues are exact duplicates when their turns' texts are equal, near duplicates when at least a
given share of the distinct 8-word shingles of the smaller one occurs in the other (words in lower case,
without punctuation). The share is of the smaller one, so a part of a dialogue is found as well.

Decisions: the test split is never changed, because its ids and size should depend on the seed alone;
duplicates inside it are counted. All training sets are one sequence: a dialogue that duplicates a test
dialogue or an earlier one that stayed is removed.
"""

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from stages.records.schema import Dialogue

SHINGLE_WORDS = 8
KINDS = ("exact_of_test", "near_of_test", "exact_in_training", "near_in_training")

_WORD = re.compile(r"\w+")
_BASE = 0x9E3779B97F4A7C15  # any large odd number: position i in a shingle weighs _BASE ** i
_WEIGHTS = np.array([pow(_BASE, i, 2**64) for i in range(SHINGLE_WORDS)], dtype=np.uint64)

Shingles = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Duplicate:
    """`dialogue` repeats the dialogue with the id `of`, which stays."""

    dialogue: Dialogue
    of: str
    kind: Literal["exact", "near"]
    of_test: bool

    @property
    def name(self) -> str:
        """One of KINDS."""
        return f"{self.kind}_{'of_test' if self.of_test else 'in_training'}"


@dataclass(frozen=True)
class LeakageReport:
    """`kept` and `removed` training dialogues in the order given, and the duplicates inside the test split.

    Those in `inside_test` stay in the test split.
    """

    kept: list[Dialogue]
    removed: list[Duplicate]
    inside_test: list[Duplicate]


def remove_duplicates(
    test: Sequence[Dialogue], training: Sequence[Dialogue], threshold: float
) -> LeakageReport:
    """Remove from `training` what duplicates a test dialogue or an earlier training dialogue.

    `threshold` (above 0, at most 1) is the share of the smaller dialogue's shingles from which on two
    dialogues are near duplicates. Time and memory grow with the number of words and of common shingles.
    """
    seen = _Seen([*test, *training], threshold)
    kept: list[Dialogue] = []
    removed: list[Duplicate] = []
    inside_test: list[Duplicate] = []
    for position, dialogue in enumerate([*test, *training]):
        in_test = position < len(test)
        match = seen.match(position)
        if match is not None:
            earlier, kind = match
            found = Duplicate(dialogue, seen.dialogues[earlier].id, kind, of_test=earlier < len(test))
            (inside_test if in_test else removed).append(found)
        elif not in_test:
            kept.append(dialogue)
        if in_test or match is None:
            seen.add(position)
    return LeakageReport(kept, removed, inside_test)


class _Seen:
    """The dialogues that stay, indexed by shingle.

    `postings` has room for all dialogues of every shingle; the first `filled` of a shingle's room from
    `starts` on are those added so far. So a look-up is a few array operations, also for shingles that
    thousands of dialogues share.
    """

    def __init__(self, dialogues: Sequence[Dialogue], threshold: float):
        self.dialogues = dialogues
        self.threshold = threshold
        vocabulary: dict[str, int] = {}
        shingles = [shingle_hashes(dialogue, vocabulary) for dialogue in dialogues]
        self.sizes = np.array([len(one) for one in shingles], dtype=np.int64)
        flat = np.concatenate([np.empty(0, dtype=np.uint64), *shingles])
        _, numbers, room = np.unique(flat, return_inverse=True, return_counts=True)
        self.numbers = np.split(numbers, np.cumsum(self.sizes)[:-1])
        self.starts = np.cumsum(room) - room
        self.filled = np.zeros_like(room)
        self.postings = np.empty(len(flat), dtype=np.int32)
        self.exact: dict[tuple[str, ...], int] = {}

    def add(self, position: int) -> None:
        numbers = self.numbers[position]
        self.postings[self.starts[numbers] + self.filled[numbers]] = position
        self.filled[numbers] += 1
        self.exact.setdefault(_texts(self.dialogues[position]), position)

    def match(self, position: int) -> tuple[int, Literal["exact", "near"]] | None:
        """Return the first added dialogue that this one duplicates."""
        exact = self.exact.get(_texts(self.dialogues[position]))
        if exact is not None:
            return exact, "exact"
        numbers = self.numbers[position]
        lengths = self.filled[numbers]
        offsets = self.starts[numbers] - (np.cumsum(lengths) - lengths)
        owners = self.postings[np.repeat(offsets, lengths) + np.arange(lengths.sum())]
        shared = np.bincount(owners, minlength=len(self.dialogues))
        needed = self.threshold * np.minimum(self.sizes, self.sizes[position])
        matches = np.flatnonzero((shared > 0) & (shared >= needed))
        return (int(matches[0]), "near") if len(matches) else None


def shingle_hashes(dialogue: Dialogue, vocabulary: dict[str, int]) -> Shingles:
    """Return the sorted distinct hashes of the dialogue's 8-word shingles.

    Shingles run across turns. A text of fewer words is one shingle, one without words has none.
    `vocabulary` caches the words' hashes. 64 bits: among ten million shingles a collision has a
    probability of three in a million.
    """
    text = unicodedata.normalize("NFKC", " ".join(_texts(dialogue))).casefold()
    words = _WORD.findall(text)
    for word in words:
        if word not in vocabulary:
            vocabulary[word] = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest())
    if not words:
        return np.empty(0, dtype=np.uint64)
    hashes = np.zeros(max(len(words), SHINGLE_WORDS), dtype=np.uint64)
    hashes[: len(words)] = [vocabulary[word] for word in words]
    windows = np.lib.stride_tricks.sliding_window_view(hashes, SHINGLE_WORDS)
    return np.unique((windows * _WEIGHTS).sum(axis=1, dtype=np.uint64))


def _texts(dialogue: Dialogue) -> tuple[str, ...]:
    return tuple(turn.text for turn in dialogue.turns)
