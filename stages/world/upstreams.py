"""The mini world in the layouts of the corpora it stands in for.

ESConv, ExTES and Alpaca: the files' own layouts. ExTES's strategies have names of their own there, so
ours are translated. ServeForEmo: no public file is known; the layout here is our assumption, a list of
`{"id", "emotion_type", "problem_type", "situation", "dialogue": [{"role": "user" | "assistant",
"content", "strategy"}]}` with ESConv's strategy names on assistant turns. Every session has one key more,
`profile`: the record of `Profile.as_meta`.
"""

import random
from collections.abc import Callable, Collection
from typing import Any

from stages.world.problems import BY_PHRASE
from stages.world.profile import draw_profile
from stages.world.session import Session, Style, make_session
from stages.world.tasks import make_tasks
from stages.world.vocabulary import EMOTIONS

# Human talk: personal and generic mixed, long, uneven. Synthetic talk: smoother, wordier, mostly generic.
ESCONV = Style(
    turns=(9, 12), personal=(0.1, 0.9), split=0.35, wordy=0.1,
    leading=0.2, trailing=0.25, abrupt=0.1, most_utterances=26,
)  # fmt: skip
SHORT_ESCONV = Style(
    turns=(3, 4), personal=(0.1, 0.9), split=0.35, wordy=0.1,
    leading=0.2, trailing=0.25, abrupt=0.0, most_utterances=12,
)  # fmt: skip
EXTES = Style(
    turns=(7, 8), personal=(0.0, 0.3), split=0.1, wordy=0.8,
    leading=0.05, trailing=0.15, abrupt=0.05, most_utterances=18,
)  # fmt: skip
SERVEFOREMO = Style(
    turns=(7, 8), personal=(0.0, 0.3), split=0.1, wordy=0.2,
    leading=0.05, trailing=0.1, abrupt=0.05, most_utterances=18,
)  # fmt: skip

_SHORT_EVERY = 25  # one ESConv-like session in so many is too short for training

_EXTES_STRATEGY = {
    "Question": "Clarification",
    "Restatement or Paraphrasing": "Reflective Statements",
    "Reflection of feelings": "Empathetic Statements",
    "Self-disclosure": "Normalize Experiences",
    "Affirmation and Reassurance": "Affirmation",
    "Providing Suggestions": "Suggest Options",
    "Information": "Share Information",
    "Others": "",
}


def esconv(sessions: int, test_sessions: int, seed: int) -> list[dict[str, Any]]:
    """Return ESConv-like sessions, those for training and those for the test mixed.

    None of the `sessions` is of a held-out profile, and one in 25 is too short for use; all of the
    `test_sessions` are of held-out profiles, and only here are there any. The order is seeded; a session
    more leaves the others as they are and in their order.
    """

    def training(number: int, rng: random.Random) -> dict[str, Any]:
        profile = draw_profile(rng, held_out=False)
        short = number % _SHORT_EVERY == _SHORT_EVERY // 2
        return _as_esconv(make_session(profile, SHORT_ESCONV if short else ESCONV, rng), rng)

    def test(_: int, rng: random.Random) -> dict[str, Any]:
        return _as_esconv(make_session(draw_profile(rng, held_out=True), ESCONV, rng), rng)

    made = [*_many(training, sessions, seed, "esconv"), *_many(test, test_sessions, seed, "esconv-test")]
    names = [*(f"train/{n}" for n in range(sessions)), *(f"test/{n}" for n in range(test_sessions))]
    places = [random.Random(f"{seed}/esconv-order/{name}").random() for name in names]
    return [made[at] for at in sorted(range(len(made)), key=places.__getitem__)]


def extes(sessions: int, seed: int) -> list[dict[str, Any]]:
    """Return `sessions` ExTES-like sessions, none of a held-out profile."""

    def one(_: int, rng: random.Random) -> dict[str, Any]:
        return _as_extes(make_session(draw_profile(rng, held_out=False), EXTES, rng))

    return _many(one, sessions, seed, "extes")


def serveforemo(sessions: int, seed: int) -> list[dict[str, Any]]:
    """Return `sessions` ServeForEmo-like sessions, none of a held-out profile."""

    def one(number: int, rng: random.Random) -> dict[str, Any]:
        session = make_session(draw_profile(rng, held_out=False), SERVEFOREMO, rng)
        return _as_serveforemo(session, f"sfe-{number:05d}")

    return _many(one, sessions, seed, "serveforemo")


def alpaca(items: int, seed: int, unwanted: Collection[str] = ()) -> list[dict[str, str]]:
    """Return `items` different instruction items in Alpaca's layout, none with an `unwanted` instruction."""
    tasks = make_tasks(items, random.Random(f"{seed}/alpaca"), unwanted)
    return [{"instruction": task.instruction, "input": task.input, "output": task.output} for task in tasks]


def _many(
    one: Callable[[int, random.Random], dict[str, Any]], count: int, seed: int, name: str
) -> list[dict[str, Any]]:
    """Make every session from a generator of its own: session 5 is the same however many follow it."""
    return [one(number, random.Random(f"{seed}/{name}/{number}")) for number in range(count)]


def _as_esconv(session: Session, rng: random.Random) -> dict[str, Any]:
    profile = session.profile
    dialog = [
        {
            "speaker": utterance.role,
            "annotation": {"strategy": utterance.strategy} if utterance.strategy else {},
            "content": utterance.text,
        }
        for utterance in session.utterances
    ]
    return {
        "experience_type": rng.choice(("Current Experience", "Current Experience", "Previous Experience")),
        "emotion_type": EMOTIONS[profile.emotion],
        "problem_type": BY_PHRASE[profile.problem].problem_type,
        "situation": session.situation,
        "survey_score": {
            "seeker": {
                "initial_emotion_intensity": str(rng.randint(3, 5)),
                "empathy": str(rng.randint(3, 5)),
                "relevance": str(rng.randint(3, 5)),
                "final_emotion_intensity": str(rng.randint(1, 3)),
            },
            "supporter": {"relevance": str(rng.randint(3, 5))},
        },
        "dialog": dialog,
        "seeker_question1": "",
        "seeker_question2": "",
        "supporter_question1": "",
        "supporter_question2": "",
        "profile": profile.as_meta(session.disclosure),
    }


def _as_extes(session: Session) -> dict[str, Any]:
    content = [
        {"User": utterance.text}
        if utterance.role == "seeker"
        else {"AI Strategy": _EXTES_STRATEGY[utterance.strategy or "Others"], "AI": utterance.text}
        for utterance in session.utterances
    ]
    return {
        "scene": BY_PHRASE[session.profile.problem].scene,
        "description": session.situation,
        "content": content,
        "profile": session.profile.as_meta(session.disclosure),
    }


def _as_serveforemo(session: Session, identity: str) -> dict[str, Any]:
    dialogue = [
        {"role": "user", "content": utterance.text}
        if utterance.role == "seeker"
        else {"role": "assistant", "content": utterance.text, "strategy": utterance.strategy}
        for utterance in session.utterances
    ]
    return {
        "id": identity,
        "emotion_type": EMOTIONS[session.profile.emotion],
        "problem_type": BY_PHRASE[session.profile.problem].problem_type,
        "situation": session.situation,
        "dialogue": dialogue,
        "profile": session.profile.as_meta(session.disclosure),
    }
