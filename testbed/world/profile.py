"""A seeker's gold profile, and when it is disclosed."""

import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from selfevolve.metrics.facts import FACTS
from testbed.world.data import world

_HELD_OUT_OF_256 = 26


@dataclass(frozen=True)
class Profile:
    """What is true of a seeker; every field is a phrase of the vocabulary (`name` is None if not given)."""

    name: str | None
    occupation: str
    person: str
    trait: str
    problem: str
    cause: str
    emotion: str
    support: str

    @property
    def facts(self) -> dict[str, str]:
        """The facts by their names in `FACTS`, without a name that is not given."""
        return {key: value for key in FACTS if (value := getattr(self, key)) is not None}

    @property
    def held_out(self) -> bool:
        """Whether no training set may contain this combination (see `is_held_out`)."""
        return is_held_out(self.occupation, self.problem, self.cause, self.emotion)

    def as_meta(self, disclosure: Mapping[str, int]) -> dict[str, Any]:
        """Return the record kept with a session.

        `disclosure` maps a fact to the seeker turn that reveals it, from 0 in the cleaned dialogue.
        """
        return {
            **self.facts,
            "emotion_type": world().vocabulary.emotions[self.emotion],
            "problem_type": world().problems[self.problem].problem_type,
            "held_out": self.held_out,
            "disclosure": dict(disclosure),
        }


def draw_profile(rng: random.Random, *, held_out: bool | None = None) -> Profile:
    """Draw a profile whose parts fit each other; with `held_out` given, one that is or is not so."""
    words = world().vocabulary
    while True:
        phrase, problem = rng.choice(list(world().problems.items()))
        profile = Profile(
            name=rng.choice(words.names) if rng.random() < 0.5 else None,
            occupation=rng.choice(words.occupations(problem.who)),
            person=rng.choice(problem.persons),
            trait=rng.choice(words.traits),
            problem=phrase,
            cause=rng.choice(problem.causes),
            emotion=rng.choice([emotion for emotion in words.emotions if emotion not in problem.unfitting]),
            support=rng.choice(list(words.supports)),
        )
        if held_out is None or profile.held_out == held_out:
            return profile


def draw_stranger(profile: Profile, rng: random.Random) -> Profile:
    """Draw the profile of somebody else, who shares no fact at all with `profile`."""
    own = set(profile.facts.values())
    while True:
        stranger = draw_profile(rng)
        if own.isdisjoint(stranger.facts.values()):
            return stranger


def is_held_out(occupation: str, problem: str, cause: str, emotion: str) -> bool:
    """Tell whether a combination is in the tenth that no training set contains, the same at every seed."""
    combination = "|".join((occupation, problem, cause, emotion))
    return hashlib.sha256(combination.encode("utf-8")).digest()[0] < _HELD_OUT_OF_256


def disclosure_schedule(
    profile: Profile, rng: random.Random, turns: int, *, greeting: bool = True
) -> list[tuple[str, ...]]:
    """Plan which facts each of `turns` seeker turns reveals; an empty tuple is a turn without a new fact.

    Problem and emotion come first, then the cause, then person, occupation and trait in any order, then the
    support wanted. Facts for which turns are lacking share one, two at most, or stay hidden.
    """
    middle = ["person", "occupation", "trait"]
    rng.shuffle(middle)
    groups: list[tuple[str, ...]] = [(fact,) for fact in ("problem", "emotion", "cause", *middle, "support")]
    room = turns - 1 - greeting
    if rng.random() < 0.5:
        groups[0:2] = [("problem", "emotion")]
    after = rng.choice((0, 1, 1, 2))  # turns kept free behind the facts, to answer to suggestions
    capacity = max(room - after, min(room, 4))
    while len(groups) > capacity:
        single = [i for i in range(len(groups) - 1) if len(groups[i]) + len(groups[i + 1]) <= 2]
        if not single:
            break
        chosen = rng.choice(single)
        groups[chosen : chosen + 2] = [groups[chosen] + groups[chosen + 1]]
    groups = groups[:room]
    groups += [()] * min(after, room - len(groups))
    while len(groups) < room:  # the other turns without a new fact, never before the problem is named
        groups.insert(rng.randint(1, len(groups)), ())
    first: list[tuple[str, ...]] = [("name",) if profile.name else ()] if greeting else []
    return [*first, *groups, ()]


def all_facts() -> dict[str, list[str]]:
    """Return every phrase of the vocabulary by fact name; a phrase may occur with several problems."""
    words, problems = world().vocabulary, world().problems
    return {
        "name": words.names,
        "occupation": words.occupations("any"),
        "person": list(dict.fromkeys(p for problem in problems.values() for p in problem.persons)),
        "trait": words.traits,
        "problem": list(problems),
        "cause": list(dict.fromkeys(c for problem in problems.values() for c in problem.causes)),
        "emotion": list(words.emotions),
        "support": list(words.supports),
    }
