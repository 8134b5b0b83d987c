"""Supporters who follow a script, for seekers who follow rules to tell apart, and sessions made by hand."""

import random
from collections import Counter
from collections.abc import Callable, Sequence

from selfevolve.sessions.session import Session, SessionTurn
from selfevolve.sessions.talk import ConverseParams, Talk, as_sessions, hold, plan_talks
from testbed.cards import CardsParams, make_cards
from testbed.sessions.seeker import WorldSeeker
from testbed.world.grammar import Picker
from testbed.world.session import can_mention, question, respond

SAMPLING = {
    "temperature": 0.9,
    "top_p": 0.8,
    "top_k": 50,
    "repetition_penalty": 1.0,
    "max_new_tokens": 24,
}
NEXT = ("problem", "emotion", "cause", "person", "occupation", "trait", "support")


def params(**changes: object) -> ConverseParams:
    """The parameters of a few sessions."""
    given = {
        "seed": 3,
        "sessions": 40,
        "turns": [8, 12],
        "resistant": 0.0,
        "cards": "cards.jsonl",
        "attempts": 2,
        "sampling": SAMPLING,
        "prompts": "prompts/seeker",
        "seeker": {},
    }
    return ConverseParams.model_validate(given | changes)


class Scripted:
    """A supporter who says in each turn what a function makes of the talk."""

    def __init__(self, name: str, say: Callable[[Talk, Picker], str]):
        self.name, self._say = name, say
        self.counts: Counter[str] = Counter()

    def reply(self, talks: Sequence[Talk]) -> list[str]:
        return [self._say(talk, Picker(random.Random(f"{self.name}/{talk.turn_id}"))) for talk in talks]


def listens(talk: Talk, picker: Picker) -> str:
    """Take up what was told last, and ask for what comes next."""
    order = [name for turn in talk.turns for name in turn.disclosed or [] if name != "name"]
    told = {name: talk.card.facts[name] for name in order}
    upcoming = next((name for name in NEXT if name not in told), "detail")
    if not can_mention("Reflection of feelings", told):
        return question(upcoming, picker)
    said = respond("Reflection of feelings", "personal", told, picker, focus=order[-1:])
    return f"{said} {question(upcoming, picker)}"


def is_generic(talk: Talk, picker: Picker) -> str:
    """Say what fits anybody; ask every second time."""
    said = respond("Affirmation and Reassurance", "generic", {}, picker)
    return f"{said} {question('feeling', picker)}" if len(talk.answers) % 2 == 0 else said


def is_withdrawn(talk: Talk, picker: Picker) -> str:
    """Say next to nothing."""
    return picker.rng.choice(["Okay.", "Hm.", "I see.", "Right.", "Mhm."])


def world_sessions(supporter: object, **changes: object) -> list[Session]:
    """The sessions of a supporter with seekers of the mini world."""
    given = params(**changes)
    talks = plan_talks(make_cards(CardsParams(seed=5, count=30)), given)
    hold(talks, WorldSeeker(), supporter)
    return as_sessions(talks, WorldSeeker.name, supporter.name)


def session(identity: str, *turns: tuple[str, int | None, list[str]] | str, **changes: object) -> Session:
    """A session of seeker turns (text, emotion, disclosed) and supporter turns (text) in turn."""
    made = [
        SessionTurn(role="supporter", text=turn)
        if isinstance(turn, str)
        else SessionTurn(role="seeker", text=turn[0], emotion=turn[1], disclosed=turn[2])
        for turn in turns
    ]
    given = {
        "id": identity,
        "supporter": "m",
        "seeker": "s",
        "seed": 1,
        "length": 3,
        "resistant": False,
        "ended": "length",
        "turns": made,
        "facts": {"name": "Ada", "occupation": "nurse", "problem": "exam pressure", "emotion": "anxious"},
    }
    return Session(**given | changes)
