"""Cleaning as in the paper's appendix A, with every utterance accounted for.

The paper joins consecutive utterances of one speaker and lets seeker and supporter alternate from the
seeker on. That a leading supporter turn and a trailing seeker turn go, and that ESConv sessions below
10 turns go, is inferred: it is what gives the row of ESConv in table 1 exactly.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from stages.dialogue.raw import RawDialogue, RawTurn
from stages.records.schema import Dialogue, Turn

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


def _joined(turns: Iterable[RawTurn | Turn], counts: CleaningCounts) -> list[Turn]:
    """Drop blank utterances and join neighbours of one speaker by a space."""
    joined: list[Turn] = []
    for turn in turns:
        counts.utterances += 1
        text = turn.text.strip()
        if not text:
            counts.blank_dropped += 1
        elif joined and joined[-1].role == turn.role:
            counts.joined += 1
            last = joined.pop()
            strategies = [*last.strategies, *turn.strategies]
            joined.append(_turn(turn.role, f"{last.text} {text}", strategies))
        else:
            joined.append(_turn(turn.role, text, turn.strategies))
    return joined


def _turn(role: str, text: str, strategies: list[str]) -> Turn:
    return Turn(role=role, text=text, strategies=list(dict.fromkeys(strategies)))


def _alternating(turns: list[Turn], counts: CleaningCounts) -> list[Turn]:
    """Drop a leading supporter turn and a trailing seeker turn; joined turns have one at most."""
    if turns and turns[0].role == "supporter":
        counts.leading_supporter_dropped += 1
        turns = turns[1:]
    if turns and turns[-1].role == "seeker":
        counts.trailing_seeker_dropped += 1
        turns = turns[:-1]
    return turns
