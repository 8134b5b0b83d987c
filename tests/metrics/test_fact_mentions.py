"""What texts and reflections mention of a seeker's own facts, and how seekers are found."""

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfevolve.metrics.facts import (
    Seeker,
    Seekers,
    Vocabulary,
    disclosed,
    gold_facts,
    gold_profile,
    read_vocabulary,
    summarize,
)
from selfevolve.metrics.understanding import check_understanding, field_checks
from selfevolve.records.jsonl import write_records
from selfevolve.records.schema import Dialogue, FactMentions, Turn
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import publish_json
from testbed import lessons
from testbed.world.profile import Profile, all_facts, draw_profile
from testbed.world.session import make_session
from tests.support.facts import facts_named

PHRASES = [phrase for group in all_facts().values() for phrase in group]
WORLD = Vocabulary(PHRASES)
PROFILE = Profile(
    name="Greta",
    occupation="baker",
    person="landlord",
    trait="slow to trust people",
    problem="sleepless nights",
    cause="the broken heating since the clocks changed",
    emotion="jittery",
    support="a small first step",
)

# Turn 0 gives the name, turn 4 the last of these; trait and support stay hidden.
DISCLOSURE = {"name": 0, "problem": 1, "emotion": 1, "cause": 2, "person": 3, "occupation": 4}
META = PROFILE.as_meta(DISCLOSURE)
SENTENCES = {
    "generic": "That sounds hard. What happened next?",
    "own": "So it is your landlord, and you are a Baker with sleepless nights.",
    "early": "It is hard to live with sleepless nights when you are slow to trust people.",
    "wrong": "Your landlord and your ex-wife should talk.",
    "name": "Thank you for telling me, Greta.",
}


def mentions(text: str, turn: int, meta: dict[str, Any] = META) -> FactMentions:
    return Seeker(meta, turn, WORLD).mentions("d#1", text)


# --- texts


def test_what_a_text_names_depends_on_what_has_been_disclosed():
    early = mentions(SENTENCES["own"], 1)
    assert (early.known, early.own) == (["problem", "emotion"], ["problem"])
    assert early.early == ["occupation", "person"]
    later = mentions(SENTENCES["own"], 4)
    assert later.known == ["occupation", "person", "problem", "cause", "emotion"]
    assert (later.own, later.early, later.wrong) == (["occupation", "person", "problem"], [], [])
    assert (later.share, later.words) == (60.0, 13)
    assert later.personal
    assert mentions(SENTENCES["own"], 0).share is None


def test_a_fact_that_was_never_disclosed_is_early_at_the_end_too():
    found = mentions(SENTENCES["early"], 9)
    assert (found.own, found.early, found.wrong) == (["problem"], ["trait"], [])
    assert found.personal


def test_a_fact_of_somebody_else_makes_a_response_impersonal():
    found = mentions(SENTENCES["wrong"], 4)
    assert (found.own, found.wrong) == (["person"], ["ex-wife"])
    assert not found.personal
    assert not found.generic


def test_the_name_counts_for_nothing_but_a_name_that_was_not_given_is_found():
    assert mentions(SENTENCES["name"], 0).generic
    assert mentions(SENTENCES["name"], 0, {**META, "disclosure": {}}).early == ["name"]
    assert mentions(SENTENCES["name"], 0, {**META, "name": None, "disclosure": {}}).wrong == ["Greta"]
    assert mentions("Hugo, Hugo and Greta", 0).wrong == ["Hugo"]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from([*PHRASES, "bakers", "THE NURSE", "The", "a", ",", "-", "'s", "é"]), max_size=12
    ),
    st.sampled_from(["", " ", ". "]),
)
def test_the_one_search_finds_what_single_searches_find(words: list[str], joint: str):
    text = joint.join(words)
    assert set(WORLD.mentioned(text)) == {p for p in PHRASES if facts_named(text, {"name": p})}


def test_phrases_that_share_a_word_are_both_found():
    text = "Is she the strong one in the family doctor's eyes?"
    assert WORLD.mentioned(text) == ["the strong one in the family", "family doctor"]


def test_the_summary_is_over_all_texts_and_the_share_over_those_with_a_known_fact():
    texts = ["own", "generic", "wrong", "name"]
    found = [mentions(SENTENCES[text], turn) for text, turn in zip(texts, (4, 4, 4, 0), strict=True)]
    assert summarize(found) == {
        "own_share": pytest.approx((60 + 0 + 20) / 3),
        "own_count": 1.0,
        "personal": 25.0,
        "generic": 50.0,
        "garbled": 0.0,
        "wrong": 25.0,
        "words": (13 + 6 + 7 + 6) / 4,
    }
    assert "own_share" not in summarize(found[3:])


@pytest.mark.parametrize(
    "meta",
    [
        {},
        {"profile": None},
        {"profile": "a baker of forty"},
        {"profile": {"age": 40}},
        {"profile": {"disclosure": {}}},
        {"profile": {**META, "disclosure": ["problem"]}},
        {"profile": {**META, "disclosure": {"problem": "1"}}},
        {"profile": {**META, "disclosure": {"hobby": 1}}},
    ],
)
def test_what_is_no_gold_profile_is_none(meta: dict[str, Any]):
    assert gold_profile(meta) is None


# --- reflections


def right(fields: dict[str, str], turn: int) -> dict[str, bool]:
    return field_checks(fields, Seeker(META, turn, WORLD))


UNDERSTOOD = {
    "user_profile": "a baker, called Greta, facing sleepless nights",
    "user_emotion": "jittery",
    "user_personality": "not said yet",
    "user_intention": "not said yet",
}


def test_a_field_is_right_when_it_names_all_that_was_said_of_it_and_nothing_else():
    all_right = dict.fromkeys(UNDERSTOOD, True)
    assert right({**UNDERSTOOD, "user_profile": "facing sleepless nights"}, 1) == all_right
    # The cause is known from turn 2 on, so the same words are no longer right.
    assert right(UNDERSTOOD, 2) == {**all_right, "user_profile": False}
    changes = {
        "user_profile": "sleepless nights, landlord, ex-wife",
        "user_emotion": "sad",
        "user_personality": "slow to trust people",  # true, but nothing has been said of it
        "user_intention": "a plan for the coming week",
    }
    assert right(changes, 1) == dict.fromkeys(UNDERSTOOD, False)
    # Nothing has been said but the name; to call her by it is right.
    silent = dict.fromkeys(UNDERSTOOD, "not said yet")
    assert right({**silent, "user_profile": "called Greta"}, 0) == all_right
    assert not right({**silent, "user_profile": "a baker"}, 0)["user_profile"]


def test_an_understanding_is_counted_over_all_its_fields():
    checked = check_understanding({**UNDERSTOOD, "user_emotion": "numb"}, Seeker(META, 2, WORLD))
    assert (checked.fields_right, checked.known, checked.named, checked.facts) == (2, 3, 1, 7)
    assert checked.wrong
    nothing = check_understanding(None, Seeker(META, 2, WORLD))
    assert (nothing.fields_right, nothing.known, nothing.named, nothing.wrong) == (0, 3, 0, False)


def test_the_lessons_understanding_is_right_at_every_turn():
    rng = random.Random(4)
    for _ in range(30):
        session = make_session(draw_profile(rng), "esconv", rng)
        meta = session.profile.as_meta(session.disclosure)
        for turn in range(len(session.disclosure) + 3):
            known = disclosed(session.profile.facts, session.disclosure, turn)
            understanding = lessons.understanding(known)
            seeker = Seeker(meta, turn, WORLD)
            assert all(field_checks(understanding, seeker).values())
            checked = check_understanding(understanding, seeker)
            assert (checked.named, checked.wrong) == (checked.known, False)


# --- seekers


def dialogue(name: str, profile: dict[str, Any]) -> Dialogue:
    turns = [
        Turn(role=role, text=f"turn {number}") for number, role in enumerate(("seeker", "supporter") * 3)
    ]
    return Dialogue(id=name, source="s", turns=turns, meta={"profile": profile})


def test_seekers_are_found_by_the_turns_of_the_cleaned_dialogue(tmp_path: Path):
    write_records(tmp_path / "d.jsonl", [dialogue("d", META)])
    publish_json(tmp_path / "facts.json", gold_facts([dialogue("d", META)]).model_dump())
    seekers = Seekers(tmp_path / "d.jsonl", tmp_path / "facts.json")
    assert [seekers.find(f"d#{index}", tmp_path).turn for index in (1, 3, 5)] == [0, 1, 2]


# --- the vocabulary


def test_the_vocabulary_of_a_corpus_is_every_phrase_of_its_gold_profiles(tmp_path: Path):
    other = {**META, "name": None, "problem": "Debts", "emotion": "numb", "disclosure": {"problem": 1}}
    found = gold_facts([dialogue("d", META), dialogue("e", other), dialogue("f", {})])
    assert list(found.phrases) == list(META)[:8]
    assert (found.phrases["name"], found.phrases["problem"], found.phrases["person"]) == (
        ["Greta"],
        ["Debts", "sleepless nights"],
        ["landlord"],
    )
    assert gold_facts([dialogue("f", {})]).model_dump() == {"phrases": {}, "words": []}
    publish_json(tmp_path / "facts.json", found.model_dump())
    text = "Your DEBTS, your landlord, your ex-wife."
    assert read_vocabulary(tmp_path / "facts.json").mentioned(text) == ["Debts", "landlord"]
    assert Vocabulary([]).mentioned(text) == []


def test_the_longest_phrase_at_a_place_is_the_one_that_is_mentioned():
    assert Vocabulary(["work", "work stress", "stress"]).mentioned("Work stress at work") == [
        "work stress",
        "stress",
        "work",
    ]


def test_a_profile_whose_phrases_are_not_in_the_vocabulary_is_an_error(tmp_path: Path):
    write_records(tmp_path / "d.jsonl", [dialogue("d", META)])
    for content, message in (
        (
            {"phrases": {"person": ["landlord"]}, "words": []},
            r"d\.jsonl: record d: field meta\.profile\.name: 'Greta' is not in the voc",
        ),
        ({"phrases": {"person": "landlord"}, "words": []}, r"facts\.json: field phrases\.person: "),
        (["landlord"], r"facts\.json: "),
    ):
        publish_json(tmp_path / "facts.json", content)
        with pytest.raises(InputError, match=message):
            Seekers(tmp_path / "d.jsonl", tmp_path / "facts.json")
