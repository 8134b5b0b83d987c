"""What a session's scores are, by sessions made by hand whose scores are known, and their intervals."""

import pytest

from selfevolve.metrics.statistics import Resampling, cluster_bootstrap
from selfevolve.sessions.measures import Phrases, emotion_path, measure, repetition, report
from selfevolve.sessions.session import Session
from tests.support.talks import session

HOW = Resampling(seed=1, resamples=1000)
OTHER = session("z#0", ("Hi.", 4, []), "Yes.", facts={"occupation": "baker", "emotion": "furious"})
FIRST = session(
    "a#0",
    ("I am Ada.", 5, ["name"]),
    "Hello Ada. As a nurse you must be tired.",  # before it is told: early, and no more than that
    ("I am a nurse under exam pressure.", 4, ["occupation", "problem"]),
    "A baker has a hard life. You sound furious.",  # wrong: the occupation is told; invented: no emotion is
    ("I said nurse.", 4, []),
    "Of course, a NURSE. I am sorry.",
    ("I feel anxious.", 2, ["emotion"]),
)


def scores(*sessions: Session) -> dict[str, dict[str, float | None]]:
    return measure(sessions, Phrases.of([*sessions, OTHER]))


def test_the_scores_of_a_session_made_by_hand():
    assert scores(FIRST)["a#0"] == {
        "emotion_start": 5,
        "emotion_end": 2,
        "emotion_change": -3,
        "disclosed": 100.0,
        "taken_up": 50.0,  # of the occupation and the problem; the emotion was told after the last answer
        "wrong": 100 / 3,
        "invented": 100 / 3,
        "repetition": 0.0,
        "words": pytest.approx((9 + 9 + 7) / 3),
        "exchanges": 3,
        "gave_up": 0,
    }


def test_a_card_without_facts_has_no_scores_of_them_and_a_level_may_be_unknown():
    found = scores(
        session("a#0", ("Hi.", None, None), "Yes.", ("Hm.", 3, None), "No.", ("Hm.", None, None), facts=None)
    )["a#0"]
    assert [found[name] for name in ("disclosed", "taken_up", "wrong", "invented")] == [None] * 4
    assert (found["emotion_start"], found["emotion_end"], found["emotion_change"]) == (3, 3, 0)


def test_repetition_is_the_share_of_trigrams_that_this_supporter_used_before():
    assert repetition(["a b c d", "A b c x"]) == 50.0  # "a b c" again, "b c x" new
    assert repetition(["a b c", "x y z", "a b c"]) == 50.0  # mean of 0 and 100
    assert repetition(["a b c", "a b"]) is None
    assert repetition(["a b c a b c"]) is None  # within one turn nothing counts


def test_intervals_are_those_of_cards_and_not_of_sessions():
    changes = {"a#0": -3, "a#1": -3, "a#2": -3, "b#0": 0, "c#0": -1, "d#0": 1}
    sessions = [
        session(i, ("Hi.", 4, []), "Yes.", ("Hm.", 4 + change, []), resistant=i == "d#0")
        for i, change in changes.items()
    ]
    found = report(sessions, Phrases.of(sessions), HOW)
    expected = cluster_bootstrap(list(changes.values()), [i[0] for i in changes], seed=1, resamples=1000)
    score = found["all"]["emotion_change"]
    assert (score["value"], score["low"], score["high"]) == pytest.approx(expected)
    assert score["dialogues"] == found["cards"] == 4
    assert found["resistant"]["emotion_change"] == {"value": 1.0, "dialogues": 1}
    assert found["open"]["emotion_change"]["dialogues"] == 3
    assert found["ended"] == {"length": 6}


def test_the_path_says_of_how_many_sessions_each_mean_is():
    short = session("b#0", ("Hi.", 3, []), "Yes.", ended="lost")
    assert emotion_path([FIRST, short]) == {
        "1": {"mean": 4.0, "sessions": 2},
        "2": {"mean": 4.0, "sessions": 1},
        "3": {"mean": 4.0, "sessions": 1},
        "4": {"mean": 2.0, "sessions": 1},
    }
