"""The mini world's seekers as an instrument: do they rank supporters whose worth is known?

Supporters follow scripts. A state machine that did not notice being listened to would rank them alike.
"""

import pytest

from selfevolve.metrics.statistics import Resampling
from selfevolve.records.jsonl import write_records
from selfevolve.runtime.errors import InputError
from selfevolve.sessions.cards import Card, read_cards
from selfevolve.sessions.measures import Phrases, report
from selfevolve.sessions.session import Session
from selfevolve.sessions.supporters import Same, Shuffled
from selfevolve.sessions.talk import Said, Talk
from testbed.cards import CardsParams, make_cards, write_cards
from testbed.sessions.seeker import LEAVES_AFTER, PATIENCE, WorldSeeker
from testbed.world.profile import all_facts
from tests.support.talks import Scripted, is_generic, is_withdrawn, listens, world_sessions

CARD = make_cards(CardsParams(seed=5, count=2))[0]
OTHERS = next(problem for problem in all_facts()["problem"] if problem != CARD.facts["problem"])


def measured(sessions: list[Session]) -> dict[str, float]:
    found = report(sessions, Phrases.of(sessions), Resampling(1, 1000))
    return {name: score["value"] for name, score in found["all"].items()}


@pytest.fixture(scope="module")
def ranked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, float]]:
    """What each scripted supporter and each control comes to, with the same seekers."""
    scripts = {"listens": listens, "generic": is_generic, "withdrawn": is_withdrawn}
    sessions = {name: world_sessions(Scripted(name, say)) for name, say in scripts.items()}
    sessions["same"] = world_sessions(Same())
    path = tmp_path_factory.mktemp("sessions") / "listens.jsonl"
    write_records(path, sessions["listens"])
    sessions["shuffled"] = world_sessions(Shuffled(path))
    return {name: measured(found) for name, found in sessions.items()}


def test_who_listens_ranks_above_who_is_generic_above_who_is_withdrawn(ranked: dict[str, dict[str, float]]):
    best, middle, worst = (ranked[name] for name in ("listens", "generic", "withdrawn"))
    assert best["emotion_change"] < middle["emotion_change"] - 1
    assert middle["emotion_change"] < worst["emotion_change"]
    assert best["disclosed"] > middle["disclosed"] + 30 > worst["disclosed"] + 50
    assert best["taken_up"] > 50 > middle["taken_up"]
    assert best["exchanges"] > worst["exchanges"]
    assert (best["gave_up"], worst["gave_up"]) == (0, 100)


@pytest.mark.parametrize("control", ["same", "shuffled"])
def test_controls_rank_far_below_who_listens(ranked: dict[str, dict[str, float]], control: str):
    best, worst = ranked["listens"], ranked[control]
    assert worst["emotion_change"] > best["emotion_change"] + 1.5
    assert worst["disclosed"] < best["disclosed"] / 2
    assert worst.get("taken_up", 0.0) < best["taken_up"] / 2


def test_each_control_fails_as_itself(ranked: dict[str, dict[str, float]]):
    assert ranked["same"]["repetition"] == 100
    assert ranked["shuffled"]["wrong"] + ranked["shuffled"]["invented"] > 30
    assert ranked["listens"]["wrong"] == ranked["listens"]["invented"] == 0


def begins_at(level: int) -> str:
    """The id of a talk with this card whose seeker begins at a level."""
    ids = (f"x#{number}" for number in range(20))
    return next(i for i in ids if WorldSeeker().speak([Talk(i, CARD, 1, 20, False)])[0].emotion == level)


def talk(*answers: str, resistant: bool = False) -> list[Said]:
    """What a seeker who begins at level 4 says first, and to each of these answers."""
    one, said = Talk(begins_at(4), CARD, 1, 20, resistant), []
    for answer in (*answers, None):
        said.append(WorldSeeker().speak([one])[0])
        one.hear_seeker(said[-1])
        if answer is not None:
            one.hear_supporter(answer)
    return said


def test_what_is_asked_is_told_and_what_is_taken_up_and_asked_is_told_twofold():
    said = talk("What is it?", f"So {CARD.facts['problem']}. And how do you feel?", "I see.")
    assert [turn.disclosed for turn in said] == [["name"], ["problem"], ["emotion", "cause"], []]
    for turn in said:
        for name in turn.disclosed:
            assert CARD.facts[name].lower() in turn.text.lower()


def test_a_fact_relieves_once_and_what_was_said_before_counts_for_nothing():
    taken_up = f"So it is {CARD.facts['problem']}."
    again = [f"{word}. {taken_up}" for word in ("Ah", "Oh", "Yes", "No", "Hm")]
    assert [turn.emotion for turn in talk("What is it?", taken_up, *again)] == [4] * 8
    other = f"So you are {CARD.facts['emotion']}."  # the second fact makes a level of two steps
    assert talk("What is it?", "And how do you feel?", taken_up, other)[-1].emotion == 3
    assert talk("What is it?", "What is it?")[-1].disclosed == []


def test_somebody_else_s_fact_makes_it_worse_and_opens_nothing():
    said = talk("What is it?", f"So it is {OTHERS}. How do you feel?", f"Is it {OTHERS}, then?")
    assert [turn.disclosed for turn in said] == [["name"], ["problem"], [], []]
    assert [turn.emotion for turn in said] == [4, 4, 5, 5]
    assert talk("What is it?", "And how do you feel?")[-1].disclosed == ["emotion"]


def test_patience_and_time_run_out():
    questions = [f"Question {n}?" for n in range(PATIENCE + 4)]
    assert [bool(turn.disclosed) for turn in talk(*questions)[1:]] == [True] * (PATIENCE + 1) + [False] * 3
    said = talk(*(f"Hm {n}." for n in range(LEAVES_AFTER)))
    assert [turn.leaves for turn in said] == [None] * LEAVES_AFTER + ["gave_up"]
    assert all(len(turn.text.split()) <= 10 for turn in said[1:])  # withdrawn is short


def test_a_resistant_seeker_wants_to_be_asked_and_taken_up():
    assert [len(turn.disclosed) for turn in talk("What is it?", "How do you feel?", resistant=True)] == [
        1,
        1,
        0,
    ]
    asked = ["What is it?", f"So {CARD.facts['problem']}. How do you feel?"]
    assert [len(turn.disclosed) for turn in talk(*asked, resistant=True)] == [1, 1, 1]


def test_the_same_card_seed_and_answers_give_the_same_words_and_another_seed_or_number_others():
    first = world_sessions(Scripted("listens", listens), sessions=6)
    assert first == world_sessions(Scripted("listens", listens), sessions=6)

    def greeting(identity: str, seed: int) -> str | None:
        return WorldSeeker().speak([Talk(identity, CARD, seed, 20, False)])[0].text

    assert len({greeting("x#0", seed) for seed in range(9)}) > 3
    assert len({greeting(f"x#{number}", 1) for number in range(9)}) > 3


def test_a_talk_is_the_same_beside_others_and_alone():
    """The seeker knows each talk alone."""
    talks = [Talk(f"{n}#0", CARD, 1, 20, False) for n in range(4)]
    together = WorldSeeker().speak(talks)
    assert together == [WorldSeeker().speak([one])[0] for one in talks]


def test_a_card_of_another_world_is_named():
    card = Card(id="x", name="Ada", facts={**CARD.facts, "occupation": "astronaut"})
    with pytest.raises(InputError, match=r"record x: field facts\.\w+: must be a phrase of the mini world"):
        WorldSeeker().speak([Talk("x#0", card, 1, 3, False)])


def test_cards_are_written_and_read_again_and_one_more_leaves_the_others(tmp_path):
    write_cards(tmp_path / "cards", CardsParams(seed=5, count=4))
    cards = read_cards(tmp_path / "cards/cards.jsonl")
    assert cards == make_cards(CardsParams(seed=5, count=4)) == make_cards(CardsParams(seed=5, count=9))[:4]
    assert all(card.name == card.facts["name"] for card in cards)
