"""Cleaning and table 1: alternation holds, every utterance is accounted for, the paper's row comes out."""

import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfevolve.data.cleaning import clean_corpus, table_1
from selfevolve.data.corpus import load_corpus
from selfevolve.data.layouts import RawDialogue, RawTurn
from selfevolve.records.schema import Dialogue

SHARED = Path(os.environ.get("ESC_SHARED", Path(__file__).resolve().parents[2].parent / "shared"))
ESCONV = SHARED / "data" / "esconv" / "ESConv.json"


def raw(*turns: tuple[str, str] | tuple[str, str, list[str]], identity: str = "a-0") -> RawDialogue:
    roles = {"S": "seeker", "P": "supporter"}
    made = [RawTurn(roles[turn[0]], turn[1], list(turn[2]) if len(turn) > 2 else []) for turn in turns]
    return RawDialogue(identity, "a", made, {"emotion": "fear"})


def texts(dialogue: Dialogue) -> list[str]:
    return [turn.text for turn in dialogue.turns]


def test_joins_drops_and_counts() -> None:
    dialogue = raw(
        ("P", "Welcome.", ["Others"]),
        ("S", " Hi \n"),
        ("S", "there"),
        ("P", " \t"),
        ("P", "I see.", ["Question", "Others"]),
        ("P", "Tell me.", ["Information", "Question"]),
        ("S", "Bye"),
    )
    (cleaned,), counts = clean_corpus([dialogue], 2)
    assert texts(cleaned) == ["Hi there", "I see. Tell me."]
    assert [turn.role for turn in cleaned.turns] == ["seeker", "supporter"]
    assert cleaned.turns[1].strategies == ["Question", "Others", "Information"]
    assert (cleaned.id, cleaned.source, cleaned.meta) == ("a-0", "a", {"emotion": "fear"})
    assert (counts.utterances, counts.blank_dropped, counts.joined) == (7, 1, 2)
    assert (counts.leading_supporter_dropped, counts.trailing_seeker_dropped) == (1, 1)
    assert (counts.turns_kept, counts.in_skipped_sessions, counts.sessions_kept) == (2, 0, 1)


def test_a_blank_utterance_does_not_part_its_neighbours() -> None:
    (cleaned,), _ = clean_corpus([raw(("S", "one"), ("P", ""), ("S", "two"), ("P", "three"))], 2)
    assert texts(cleaned) == ["one two", "three"]


def test_unusable_sessions_are_skipped_by_reason_and_the_limit_is_inclusive() -> None:
    exchange = [("S", "a"), ("P", "b")]
    sessions = [
        raw(*exchange * 2, identity="short"),
        raw(*exchange * 3, identity="kept"),
        raw(("P", "b"), ("S", "a"), identity="no answer"),
        raw(("S", "a"), ("P", "  "), identity="blank answer"),
    ]
    cleaned, counts = clean_corpus(sessions, 6)
    assert [dialogue.id for dialogue in cleaned] == ["kept"]
    assert counts.skipped == {"no_exchange": 2, "too_short": 1}
    assert counts.in_skipped_sessions == 4
    assert counts.sessions == 4


def test_an_utterance_of_invisible_characters_is_blank() -> None:
    (cleaned,), counts = clean_corpus([raw(("S", "a"), ("P", "\u200b\ufeff"), ("P", "b"))], 2)
    assert texts(cleaned) == ["a", "b"]
    assert counts.blank_dropped == 1


words = st.sampled_from(["I", "am", "sad.", "", " ", "\u3000", "\x1c", "…", "so\nso"])
utterances = st.tuples(
    st.sampled_from("SP"),
    st.lists(words, max_size=3).map(" ".join),
    st.lists(st.sampled_from("abc"), max_size=2),
)


@given(sessions=st.lists(st.lists(utterances, max_size=9), max_size=4), min_turns=st.integers(2, 5))
def test_cleaning_alternates_and_accounts_for_every_utterance_and_word(
    sessions: list[list[tuple[str, str, list[str]]]], min_turns: int
) -> None:
    dialogues = [raw(*turns, identity=f"a-{number}") for number, turns in enumerate(sessions)]
    cleaned, counts = clean_corpus(dialogues, min_turns)
    for dialogue in cleaned:
        assert [turn.role for turn in dialogue.turns] == ["seeker", "supporter"] * (len(dialogue.turns) // 2)
        assert len(dialogue.turns) >= min_turns
        assert all(turn.text == turn.text.strip() != "" for turn in dialogue.turns)
        assert all(len(turn.strategies) == len(set(turn.strategies)) for turn in dialogue.turns)

    assert counts.sessions == len(sessions) == len(cleaned) + sum(counts.skipped.values())
    assert counts.sessions_kept == len(cleaned)
    assert (
        counts.utterances
        == sum(map(len, sessions))
        == (
            counts.blank_dropped
            + counts.joined
            + counts.leading_supporter_dropped
            + counts.trailing_seeker_dropped
            + counts.in_skipped_sessions
            + counts.turns_kept
        )
    )
    assert counts.blank_dropped == sum(not text.strip() for turns in sessions for _, text, _ in turns)

    # What a kept session lost is whole: the words of the leading supporter and of the trailing seeker.
    by_id = {dialogue.id: dialogue for dialogue in dialogues}
    for dialogue in cleaned:
        turns = [(turn.role, turn.text.split()) for turn in by_id[dialogue.id].turns if turn.text.strip()]
        while turns[0][0] == "supporter":
            turns.pop(0)
        while turns[-1][0] == "seeker":
            turns.pop()
        for role in ("seeker", "supporter"):
            before = [word for speaker, said in turns for word in said if speaker == role]
            after = [word for turn in dialogue.turns for word in turn.text.split() if turn.role == role]
            assert before == after

    again, recounted = clean_corpus(cleaned, min_turns)
    assert again == cleaned
    assert recounted.turns_kept == recounted.utterances == counts.turns_kept


def test_table_1_counts_white_space_words_over_turns_not_sessions() -> None:
    cleaned, _ = clean_corpus(
        [
            raw(("S", "one"), ("P", "one two three")),
            raw(("S", "a\tb\nc"), ("P", "a"), ("S", "d"), ("P", "a b")),
        ],
        2,
    )
    assert table_1(cleaned) == {
        "sessions": 2,
        "seeker_turns": 3,
        "supporter_turns": 3,
        "turns_per_session": 3.0,
        "words_per_utterance": 1.83,
        "words_per_seeker_utterance": 1.67,
        "words_per_supporter_utterance": 2.0,
    }


def test_table_1_of_an_empty_corpus_has_no_averages() -> None:
    row = table_1([])
    assert row["sessions"] == row["seeker_turns"] == row["supporter_turns"] == 0
    assert Counter(row.values()) == Counter({0: 3, None: 4})


@pytest.mark.skipif(not ESCONV.is_file(), reason="the real ESConv is not here")
def test_real_esconv_gives_the_row_of_the_paper() -> None:
    cleaned, counts = clean_corpus(load_corpus(ESCONV, "esconv"), 10)
    assert table_1(cleaned) == {
        "sessions": 1295,
        "seeker_turns": 14623,
        "supporter_turns": 14623,
        "turns_per_session": 22.58,
        "words_per_utterance": 21.17,
        "words_per_seeker_utterance": 19.90,
        "words_per_supporter_utterance": 22.44,
    }
    assert counts.utterances == 38365
    assert counts.skipped == {"no_exchange": 0, "too_short": 5}
