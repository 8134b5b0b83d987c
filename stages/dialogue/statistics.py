"""The statistics of the paper's table 1; words are white-space tokens."""

from collections.abc import Sequence

from stages.records.schema import Dialogue


def table_1(dialogues: Sequence[Dialogue]) -> dict[str, int | float | None]:
    """Return the corpus's row of table 1: counts, and averages rounded to two digits.

    The averages are over all turns of the corpus, not over sessions. They are None for an empty corpus.
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


def _average(total: int, number: int) -> float | None:
    return round(total / number, 2) if number else None
