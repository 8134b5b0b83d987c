"""Facts in the mini world's dialogues: who says which and when, and which combinations are held out."""

import itertools

from selfevolve.metrics.facts import disclosed
from testbed.world.profile import all_facts, is_held_out
from tests.support.facts import facts_named
from tests.support.sessions import CORPORA, World, joined_turns, raw_turns, sessions

# --- facts and disclosure


def test_every_disclosed_fact_is_said_first_in_the_turn_named(mini_world: World) -> None:
    for corpus, session, turns in sessions(mini_world):
        profile = session["profile"]
        said = [text for role, text in joined_turns(turns) if role == "seeker"]
        for fact, number in profile["disclosure"].items():
            assert profile[fact] in said[number], (corpus, fact)
            assert not any(profile[fact] in text for text in said[:number]), (corpus, fact)
        assert facts_named(" ".join(said), profile) == set(profile["disclosure"]), corpus


def test_seekers_say_no_fact_of_another(mini_world: World) -> None:
    phrases = [(key, phrase) for key, values in all_facts().items() for phrase in values]
    for _, session, turns in sessions(mini_world)[::10]:
        text = " ".join(text for role, text in turns if role == "seeker")
        for key, phrase in phrases:
            if facts_named(text, {key: phrase}):
                assert session["profile"][key] == phrase


def test_supporters_know_only_what_they_were_told(mini_world: World) -> None:
    shares = {}
    for corpus in CORPORA:
        personal = []
        for session in mini_world[corpus]:
            profile = session["profile"]
            for number, (role, text) in enumerate(joined_turns(raw_turns(corpus, session))):
                if role == "supporter":
                    named = facts_named(text, profile)
                    assert named <= set(disclosed(profile, profile["disclosure"], number // 2))
                    personal.append(bool(named))
        shares[corpus] = sum(personal) / len(personal)
    assert 0.3 < shares["esconv"] < 0.7
    assert max(shares["extes"], shares["serveforemo"]) < 0.6 * shares["esconv"]
    assert min(shares["extes"], shares["serveforemo"]) > 0.03


# --- held-out combinations


def test_held_out_combinations_are_rare_fixed_and_never_in_synesc(mini_world: World) -> None:
    for corpus, session, _ in sessions(mini_world):
        profile = session["profile"]
        combination = [profile[key] for key in ("occupation", "problem", "cause", "emotion")]
        assert profile["held_out"] == is_held_out(*combination)
        assert corpus == "esconv" or not profile["held_out"]


def test_the_test_sessions_are_those_held_out_whole_and_not_told_by_their_place(mini_world: World) -> None:
    held_out = [session["profile"]["held_out"] for session in mini_world["esconv"]]
    assert sum(held_out) == 110
    assert 45 <= sum(held_out[:135]) <= 65
    runs = [len(list(group)) for _, group in itertools.groupby(held_out)]
    assert len(runs) > 90  # 131 would be expected of a coin with these shares; two blocks give 2
    short = [
        session["profile"]["held_out"]
        for session in mini_world["esconv"]
        if len(joined_turns(raw_turns("esconv", session))) < 10
    ]
    assert short == [False] * 6
