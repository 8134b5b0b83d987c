"""A seeker's hidden profile, when it is revealed, and which facts a text names."""

import hashlib
import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from stages.world.problems import BY_PHRASE, PROBLEMS
from stages.world.vocabulary import EMOTIONS, NAMES, OCCUPATIONS, SUPPORTS, TRAITS

# A profile's facts, in the order of its record. All but `name` are always there.
FACTS = ("name", "occupation", "person", "trait", "problem", "cause", "emotion", "support")
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
        """Whether this profile's combination is kept out of training (see `is_held_out`)."""
        return is_held_out(self.occupation, self.problem, self.cause, self.emotion)

    def as_meta(self, disclosure: Mapping[str, int]) -> dict[str, Any]:
        """Return the record kept with a session: facts, labels, `held_out` and `disclosure`.

        `disclosure` maps every fact that is revealed to the number of the seeker turn that reveals it,
        counted from 0 in the cleaned dialogue (consecutive turns joined).
        """
        return {
            **self.facts,
            "emotion_type": EMOTIONS[self.emotion],
            "problem_type": BY_PHRASE[self.problem].problem_type,
            "held_out": self.held_out,
            "disclosure": dict(disclosure),
        }

    @classmethod
    def from_meta(cls, meta: Mapping[str, Any]) -> "Profile":
        """Return the profile that `as_meta` recorded."""
        return cls(**{key: meta.get(key) for key in FACTS})


def draw_profile(rng: random.Random, *, held_out: bool | None = None) -> Profile:
    """Draw a profile whose parts fit each other; with `held_out` given, one that is or is not so."""
    while True:
        problem = rng.choice(PROBLEMS)
        profile = Profile(
            name=rng.choice(NAMES) if rng.random() < 0.5 else None,
            occupation=rng.choice(OCCUPATIONS[problem.who]),
            person=rng.choice(problem.persons),
            trait=rng.choice(TRAITS),
            problem=problem.phrase,
            cause=rng.choice(problem.causes),
            emotion=rng.choice([emotion for emotion in EMOTIONS if emotion not in problem.unfitting]),
            support=rng.choice(tuple(SUPPORTS)),
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
    """Tell whether a combination belongs to the tenth or so that no training set shall contain.

    The answer depends on the four phrases alone, so that it is the same in every set and at every seed.
    """
    combination = "|".join((occupation, problem, cause, emotion))
    return hashlib.sha256(combination.encode("utf-8")).digest()[0] < _HELD_OUT_OF_256


def disclosure_schedule(
    profile: Profile, rng: random.Random, turns: int, *, greeting: bool = True
) -> list[tuple[str, ...]]:
    """Plan which facts each of `turns` seeker turns reveals; an empty tuple is a turn without a new fact.

    The problem and the emotion come first, then the cause, then person, occupation and trait in any
    order, then the support wanted. The first turn is a greeting (it may give the name) if `greeting`,
    and the last turn is thanks; neither reveals more. Where there are fewer turns than facts, two facts
    share a turn, and what still finds no place stays hidden.

    Raises:
        ValueError: `turns` is less than 3.
    """
    if turns < 3:
        raise ValueError("a dialogue needs at least 3 seeker turns")
    middle = ["person", "occupation", "trait"]
    rng.shuffle(middle)
    groups: list[tuple[str, ...]] = [(fact,) for fact in ("problem", "emotion", "cause", *middle, "support")]
    room = turns - 1 - greeting
    if rng.random() < 0.5:
        groups[0:2] = [("problem", "emotion")]
    after = rng.choice((0, 1, 1, 2))  # turns kept free behind the facts, to answer to suggestions
    capacity = max(room - after, min(room, 4))
    while len(groups) > capacity and (at := _mergeable(groups)):
        chosen = rng.choice(at)
        groups[chosen : chosen + 2] = [groups[chosen] + groups[chosen + 1]]
    groups = groups[:room]
    groups += [()] * min(after, room - len(groups))
    while len(groups) < room:  # the other turns without a new fact, never before the problem is named
        groups.insert(rng.randint(1, len(groups)), ())
    first: list[tuple[str, ...]] = [("name",) if profile.name else ()] if greeting else []
    return [*first, *groups, ()]


def disclosed(facts: Mapping[str, str], disclosure: Mapping[str, int], turn: int) -> dict[str, str]:
    """Return the facts revealed in the seeker turns 0 to `turn` (inclusive), in the order of `FACTS`.

    `facts` may be a whole profile record as `Profile.as_meta` gives it.
    """
    return {key: facts[key] for key in FACTS if key in disclosure and disclosure[key] <= turn}


def facts_named(text: str, facts: Mapping[str, str]) -> set[str]:
    """Return the keys of the facts whose phrase occurs in `text` as whole words, whatever the case.

    No phrase of the vocabulary is part of another one, so that no fact is found inside another fact.
    `facts` may be a whole profile record; its labels are not looked for.
    """
    return {key for key in FACTS if facts.get(key) and _pattern(facts[key]).search(text)}


def all_facts() -> dict[str, list[str]]:
    """Return every phrase of the vocabulary by fact name; a phrase may occur with several problems."""
    return {
        "name": list(NAMES),
        "occupation": list(OCCUPATIONS["any"]),
        "person": _unique(person for problem in PROBLEMS for person in problem.persons),
        "trait": list(TRAITS),
        "problem": [problem.phrase for problem in PROBLEMS],
        "cause": _unique(cause for problem in PROBLEMS for cause in problem.causes),
        "emotion": list(EMOTIONS),
        "support": list(SUPPORTS),
    }


@cache
def _pattern(phrase: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(phrase)}(?!\w)", re.IGNORECASE)


def _mergeable(groups: list[tuple[str, ...]]) -> list[int]:
    return [i for i in range(len(groups) - 1) if len(groups[i]) + len(groups[i + 1]) <= 2]


def _unique(phrases: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(phrases))
