"""What texts and reflections name of a seeker's own facts, and how seekers are found."""

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.records.jsonl import write_records
from stages.records.schema import Dialogue, Turn
from stages.world import lessons
from stages.world.profile import Profile, all_facts, disclosed, draw_profile, facts_named
from stages.world.session import make_session
from stages.world.takeup import (
    Seekers,
    check_understanding,
    field_checks,
    own_share,
    phrases_named,
    profile_of,
    summarize,
    take_up,
)
from stages.world.upstreams import ESCONV

PHRASES = [phrase for group in all_facts().values() for phrase in group]
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


# --- the room: texts


def test_what_a_text_names_depends_on_what_has_been_disclosed():
    early = take_up(SENTENCES["own"], META, 1)
    assert (early.known, early.own) == (("problem", "emotion"), ("problem",))
    assert early.early == ("occupation", "person")
    later = take_up(SENTENCES["own"], META, 4)
    assert later.known == ("occupation", "person", "problem", "cause", "emotion")
    assert (later.own, later.early, later.wrong) == (("occupation", "person", "problem"), (), ())
    assert (later.share, later.words) == (60.0, 13)
    assert later.personal
    assert take_up(SENTENCES["own"], META, 0).share is None


def test_a_fact_that_was_never_disclosed_is_early_at_the_end_too():
    taken = take_up(SENTENCES["early"], META, 9)
    assert (taken.own, taken.early, taken.wrong) == (("problem",), ("trait",), ())
    assert taken.personal


def test_a_fact_of_somebody_else_makes_a_response_impersonal():
    taken = take_up(SENTENCES["wrong"], META, 4)
    assert (taken.own, taken.wrong) == (("person",), ("ex-wife",))
    assert not taken.personal
    assert not taken.generic


def test_the_name_takes_up_nothing_but_a_name_that_was_not_given_is_found():
    assert take_up(SENTENCES["name"], META, 0).generic
    assert take_up(SENTENCES["name"], {**META, "disclosure": {}}, 0).early == ("name",)
    assert take_up(SENTENCES["name"], {**META, "name": None, "disclosure": {}}, 0).wrong == ("Greta",)
    assert take_up("Hugo, Hugo and Greta", META, 0).wrong == ("Hugo",)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from([*PHRASES, "bakers", "THE NURSE", "The", "a", ",", "-", "'s", "é"]), max_size=12
    ),
    st.sampled_from(["", " ", ". "]),
)
def test_the_one_search_finds_what_single_searches_find(words: list[str], joint: str):
    text = joint.join(words)
    assert set(phrases_named(text)) == {p for p in PHRASES if facts_named(text, {"name": p})}


def test_phrases_that_share_a_word_are_both_found():
    text = "Is she the strong one in the family doctor's eyes?"
    assert phrases_named(text) == ["the strong one in the family", "family doctor"]


def test_the_summary_is_over_all_texts_and_the_share_over_those_with_a_known_fact():
    texts = ["own", "generic", "wrong", "name"]
    taken = [take_up(SENTENCES[text], META, turn) for text, turn in zip(texts, (4, 4, 4, 0), strict=True)]
    assert summarize(taken) == {
        "own_share": pytest.approx((60 + 0 + 20) / 3),
        "own_count": 1.0,
        "personal": 25.0,
        "generic": 50.0,
        "wrong": 25.0,
        "words": (13 + 6 + 7 + 6) / 4,
    }
    assert own_share(taken[3:]) is None
    assert "own_share" not in summarize(taken[3:])


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
def test_what_is_no_profile_of_the_world_is_none(meta: dict[str, Any]):
    assert profile_of(meta) is None


# --- the room: reflections

UNDERSTOOD = {
    "user_profile": "a baker, called Greta, facing sleepless nights",
    "user_emotion": "jittery",
    "user_personality": "not said yet",
    "user_intention": "not said yet",
}


def test_a_field_is_right_when_it_names_all_that_was_said_of_it_and_nothing_else():
    right = dict.fromkeys(UNDERSTOOD, True)
    assert field_checks({**UNDERSTOOD, "user_profile": "facing sleepless nights"}, META, 1) == right
    # The cause is known from turn 2 on, so the same words are no longer right.
    assert field_checks(UNDERSTOOD, META, 2) == {**right, "user_profile": False}
    changes = {
        "user_profile": "sleepless nights, landlord, ex-wife",
        "user_emotion": "sad",
        "user_personality": "slow to trust people",  # true, but nothing has been said of it
        "user_intention": "a plan for the coming week",
    }
    assert field_checks(changes, META, 1) == dict.fromkeys(UNDERSTOOD, False)
    # Nothing has been said but the name; to call her by it is right.
    silent = dict.fromkeys(UNDERSTOOD, "not said yet")
    assert field_checks({**silent, "user_profile": "called Greta"}, META, 0) == right
    assert not field_checks({**silent, "user_profile": "a baker"}, META, 0)["user_profile"]


def test_an_understanding_is_counted_over_all_its_fields():
    checked = check_understanding({**UNDERSTOOD, "user_emotion": "numb"}, META, 2)
    assert (checked.fields_right, checked.known, checked.named, checked.facts) == (2, 3, 1, 7)
    assert checked.wrong
    nothing = check_understanding(None, META, 2)
    assert (nothing.fields_right, nothing.known, nothing.named, nothing.wrong) == (0, 3, 0, False)


def test_the_lessons_understanding_is_right_at_every_turn():
    rng = random.Random(4)
    for _ in range(30):
        session = make_session(draw_profile(rng), ESCONV, rng)
        meta = session.profile.as_meta(session.disclosure)
        for turn in range(len(session.disclosure) + 3):
            known = disclosed(session.profile.facts, session.disclosure, turn)
            understanding = lessons.understanding(known)
            assert all(field_checks(understanding, meta, turn).values())
            checked = check_understanding(understanding, meta, turn)
            assert (checked.named, checked.wrong) == (checked.known, False)


# --- the room: seekers


def test_seekers_are_found_by_the_turns_of_the_cleaned_dialogue(tmp_path: Path):
    roles = ("seeker", "supporter") * 3
    turns = [Turn(role=role, text=f"turn {number}") for number, role in enumerate(roles)]
    dialogue = Dialogue(id="d", source="s", turns=turns, meta={"profile": META})
    write_records(tmp_path / "d.jsonl", [dialogue])
    seekers = Seekers(tmp_path / "d.jsonl")
    assert [seekers.find(f"d#{index}", tmp_path).turn for index in (1, 3, 5)] == [0, 1, 2]
