"""Cleaning as in the paper's appendix A, with every utterance accounted for, and the row of table 1.

The paper joins consecutive utterances of one speaker and lets seeker and supporter alternate from the
seeker on. That a leading supporter turn and a trailing seeker turn go, and that ESConv sessions below
10 turns go, is inferred: it is what gives the row of ESConv in table 1 exactly.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from selfevolve.data.layouts import RawDialogue, RawTurn
from selfevolve.records.schema import Dialogue, Turn
from selfevolve.records.texts import is_blank

SKIP_REASONS = ("no_exchange", "too_short")


@dataclass
class CleaningCounts:
    """What became of a corpus.

    utterances = blank_dropped + joined + leading_supporter_dropped + trailing_seeker_dropped
    + in_skipped_sessions + turns_kept; sessions = sessions_kept + the sum of skipped.
    """

    sessions: int = 0
    sessions_kept: int = 0
    skipped: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SKIP_REASONS, 0))
    utterances: int = 0
    blank_dropped: int = 0
    joined: int = 0
    leading_supporter_dropped: int = 0
    trailing_seeker_dropped: int = 0
    in_skipped_sessions: int = 0
    turns_kept: int = 0

    def metrics(self) -> dict[str, Any]:
        """Return the counts as metrics: `skipped` by reason, and all others as `cleaning`."""
        cleaning = dataclasses.asdict(self)
        return {"skipped": cleaning.pop("skipped"), "cleaning": cleaning}


def clean_corpus(
    dialogues: Iterable[RawDialogue | Dialogue], min_turns: int
) -> tuple[list[Dialogue], CleaningCounts]:
    """Return the usable dialogues, cleaned and in order, and what became of the others.

    A session is skipped as `no_exchange` when no supporter turn follows a seeker turn, and as
    `too_short` when it has fewer than `min_turns` (at least 2) turns after cleaning.
    """
    counts = CleaningCounts()
    cleaned: list[Dialogue] = []
    for dialogue in dialogues:
        turns = _alternating(_joined(dialogue.turns, counts), counts)
        counts.sessions += 1
        if len(turns) < max(2, min_turns):
            counts.skipped["too_short" if turns else "no_exchange"] += 1
            counts.in_skipped_sessions += len(turns)
            continue
        counts.sessions_kept += 1
        counts.turns_kept += len(turns)
        cleaned.append(Dialogue(id=dialogue.id, source=dialogue.source, turns=turns, meta=dialogue.meta))
    return cleaned, counts


def table_1(dialogues: Sequence[Dialogue]) -> dict[str, int | float | None]:
    """Return the corpus's row of table 1: counts, and averages rounded to two digits.

    Words are white-space tokens. The averages are over all turns of the corpus, not over sessions. They are
    None for an empty corpus.
    """
    words = {"seeker": 0, "supporter": 0}
    turns = {"seeker": 0, "supporter": 0}
    for dialogue in dialogues:
        for turn in dialogue.turns:
            turns[turn.role] += 1
            words[turn.role] += len(turn.text.split())
    all_turns = sum(turns.values())
    return {
        "sessions": len(dialogues),
        "seeker_turns": turns["seeker"],
        "supporter_turns": turns["supporter"],
        "turns_per_session": _average(all_turns, len(dialogues)),
        "words_per_utterance": _average(sum(words.values()), all_turns),
        "words_per_seeker_utterance": _average(words["seeker"], turns["seeker"]),
        "words_per_supporter_utterance": _average(words["supporter"], turns["supporter"]),
    }


def _joined(turns: Iterable[RawTurn | Turn], counts: CleaningCounts) -> list[Turn]:
    """Drop blank utterances and join neighbours of one speaker by a space."""
    joined: list[Turn] = []
    for turn in turns:
        counts.utterances += 1
        text, strategies = turn.text.strip(), turn.strategies
        if is_blank(text):
            counts.blank_dropped += 1
            continue
        if joined and joined[-1].role == turn.role:
            counts.joined += 1
            last = joined.pop()
            text, strategies = f"{last.text} {text}", [*last.strategies, *strategies]
        joined.append(Turn(role=turn.role, text=text, strategies=list(dict.fromkeys(strategies))))
    return joined


def _alternating(turns: list[Turn], counts: CleaningCounts) -> list[Turn]:
    """Drop a leading supporter turn and a trailing seeker turn; joined turns have one at most."""
    if turns and turns[0].role == "supporter":
        counts.leading_supporter_dropped += 1
        turns = turns[1:]
    if turns and turns[-1].role == "seeker":
        counts.trailing_seeker_dropped += 1
        turns = turns[:-1]
    return turns


def _average(total: int, number: int) -> float | None:
    return round(total / number, 2) if number else None
