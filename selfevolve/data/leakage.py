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
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from selfevolve.records.schema import Dialogue

SHINGLE_WORDS = 8
SITUATION_WORDS = 5  # of the shortest situation that is compared
KINDS = ("exact_of_test", "near_of_test", "exact_in_training", "near_in_training")

_WORD = re.compile(r"\w+")
_BASE = 0x9E3779B97F4A7C15  # any large odd number: position i in a shingle weighs _BASE ** i
_WEIGHTS = np.array([pow(_BASE, i, 2**64) for i in range(SHINGLE_WORDS)], dtype=np.uint64)
_NONE = np.empty(0, dtype=np.uint64)


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
    """Training dialogues in their order, `kept` and `removed`, and the duplicates inside the test split.

    Those in `inside_test` stay in the test split.
    """

    kept: list[Dialogue]
    removed: list[Duplicate]
    inside_test: list[Duplicate]


def remove_duplicates(
    test: Sequence[Dialogue], training: Sequence[Dialogue], threshold: float
) -> LeakageReport:
    """Remove from `training` what duplicates a test dialogue or an earlier training dialogue.

    `threshold` is the share, above 0 and at most 1, of the smaller dialogue's shingles from which on two
    dialogues are near duplicates. The first of several training dialogues stays.
    """
    dialogues = [*test, *training]
    shingles = _shingle_matrix(dialogues)
    by_shingle = shingles.T.tocsr()
    sizes = shingles.getnnz(axis=1)
    stays = np.zeros(len(dialogues), dtype=bool)
    first_with: dict[tuple[str, ...], int] = {}
    report = LeakageReport([], [], [])
    for position, dialogue in enumerate(dialogues):
        in_test, texts = position < len(test), tuple(turn.text for turn in dialogue.turns)
        shared = shingles[position] @ by_shingle
        smaller = np.minimum(sizes[shared.indices], sizes[position])
        near = shared.indices[stays[shared.indices] & (shared.data >= threshold * smaller)]
        earlier = first_with.get(texts, near.min() if len(near) else None)
        if earlier is not None:
            kind: Literal["exact", "near"] = "exact" if texts in first_with else "near"
            found = Duplicate(dialogue, dialogues[earlier].id, kind, of_test=bool(earlier < len(test)))
            (report.inside_test if in_test else report.removed).append(found)
        elif not in_test:
            report.kept.append(dialogue)
        if in_test or earlier is None:
            stays[position] = True
            first_with.setdefault(texts, position)
    return report


def shared_situations(training: Sequence[Dialogue], dialogues: Sequence[Dialogue]) -> dict[str, str]:
    """Return the ids of dialogues that share a situation with a training dialogue, and the ids of these.

    A corpus may be written from the situations of another one, which then says what was trained on in other
    words. Situations are `meta.situation` and `meta.profile.situation`, compared by their words; those of
    fewer than SITUATION_WORDS are too common to tell.
    """
    known = {words: one.id for one in reversed(training) if (words := _situation(one))}
    found = {one.id: known.get(_situation(one)) for one in dialogues}
    return {name: of for name, of in found.items() if of}


def _situation(dialogue: Dialogue) -> tuple[str, ...]:
    profile = dialogue.meta.get("profile")
    inside = profile.get("situation") if isinstance(profile, dict) else None
    text = dialogue.meta.get("situation") or inside
    words = tuple(_words(text)) if isinstance(text, str) else ()
    return words if len(words) >= SITUATION_WORDS else ()


def _words(text: str) -> list[str]:
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def _shingle_matrix(dialogues: Sequence[Dialogue]) -> Any:
    """Return a sparse matrix with a row for each dialogue, a column for each shingle, and ones."""
    from scipy.sparse import csr_matrix  # here, since it takes a moment to load

    word_hashes: dict[str, int] = {}
    hashes = [_shingle_hashes(dialogue, word_hashes) for dialogue in dialogues]
    ends = np.cumsum([0, *map(len, hashes)])
    distinct, columns = np.unique(np.concatenate([_NONE, *hashes]), return_inverse=True)
    ones = np.ones(len(columns), dtype=np.int32)
    return csr_matrix((ones, columns, ends), shape=(len(dialogues), len(distinct)))


def _shingle_hashes(dialogue: Dialogue, word_hashes: dict[str, int]) -> npt.NDArray[np.uint64]:
    """Return the sorted distinct hashes of the dialogue's 8-word shingles.

    Shingles run across turns. A text of fewer words is one shingle, one without words has none.
    `word_hashes` remembers the words' hashes. 64 bits: among ten million shingles a collision has a
    probability of three in a million.
    """
    words = _words(" ".join(turn.text for turn in dialogue.turns))
    for word in words:
        if word not in word_hashes:
            word_hashes[word] = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest())
    if not words:
        return _NONE
    hashes = np.zeros(max(len(words), SHINGLE_WORDS), dtype=np.uint64)
    hashes[: len(words)] = [word_hashes[word] for word in words]
    windows = np.lib.stride_tricks.sliding_window_view(hashes, SHINGLE_WORDS)
    return np.unique((windows * _WEIGHTS).sum(axis=1, dtype=np.uint64))
