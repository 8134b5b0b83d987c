"""Which of a seeker's own facts a text takes up, and what a reflection has understood of the seeker.

Facts are phrases of the vocabulary, found as `profile.facts_named` finds them, all in one search. The
seeker's name, once given, is neither asked for nor held against a text: to be called by name is not yet to
be understood.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from stages.records.errors import InputError
from stages.records.jsonl import read_records
from stages.records.schema import Dialogue, Takeup
from stages.world.profile import FACTS, all_facts, disclosed

# Field of a reflection's understanding (the paper's appendix E) -> the facts that belong in it.
FIELDS = {
    "user_profile": ("occupation", "problem", "cause", "person"),
    "user_emotion": ("emotion",),
    "user_personality": ("trait",),
    "user_intention": ("support",),
}


class Seen(NamedTuple):
    """The profile record of a context's seeker, and the number of the last seeker turn, from 0."""

    profile: Mapping[str, Any]
    turn: int


class Seekers:
    """The seekers of a file of Dialogue records, found by the ids of contexts that were cut from it."""

    def __init__(self, path: Path):
        self.path = path
        dialogues = read_records(path, Dialogue)
        self._turns = {dialogue.id: len(dialogue.turns) for dialogue in dialogues}
        self._profiles = {dialogue.id: profile_of(dialogue.meta) for dialogue in dialogues}

    def find(self, identity: str, file: Path) -> Seen | None:
        """Return the seeker of a context, or None where the dialogue has no hidden profile.

        `identity` is the context's id, `<dialogue>#<index of the supporter turn>`, as it stands in `file`.

        Raises:
            InputError: the id names no supporter turn of these dialogues.
        """
        dialogue, _, index = identity.partition("#")
        if dialogue not in self._turns:
            raise InputError(f"no such dialogue in {self.path}", file=file, record=identity)
        if not (index.isdecimal() and int(index) % 2 and int(index) < self._turns[dialogue]):
            raise InputError("is no supporter turn of its dialogue", file=file, record=identity)
        profile = self._profiles[dialogue]
        return None if profile is None else Seen(profile, int(index) // 2)


def profile_of(meta: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the profile record of a dialogue's meta data as `Profile.as_meta` makes it, else None."""
    profile = meta.get("profile")
    disclosure = profile.get("disclosure") if isinstance(profile, Mapping) else None
    if not isinstance(disclosure, Mapping) or not all(isinstance(at, int) for at in disclosure.values()):
        return None
    there = {key for key in FACTS if isinstance(profile.get(key), str)}
    return profile if there >= set(FACTS) - {"name"} and there >= disclosure.keys() else None


@dataclass(frozen=True)
class Taken:
    """What one text names of the vocabulary.

    `known`: names of the facts disclosed so far, without `name`. `own`: those of them that the text names.
    `early`: names of the profile's facts that it names though they are not disclosed yet. `wrong`: phrases
    it names that are not of this profile. `words`: its length.
    """

    known: tuple[str, ...]
    own: tuple[str, ...]
    early: tuple[str, ...]
    wrong: tuple[str, ...]
    words: int

    @property
    def share(self) -> float | None:
        """Percent of the known facts that the text names; None where none is known."""
        return 100 * len(self.own) / len(self.known) if self.known else None

    @property
    def personal(self) -> bool:
        """Whether it names at least one own fact and no wrong one."""
        return bool(self.own) and not self.wrong

    @property
    def generic(self) -> bool:
        """Whether it names no fact at all (but for the name that the seeker gave)."""
        return not (self.own or self.early or self.wrong)

    def record(self, identity: str) -> Takeup:
        """Return this as the record of the response `identity`."""
        return Takeup(
            id=identity,
            known=list(self.known),
            own=list(self.own),
            early=list(self.early),
            wrong=list(self.wrong),
            words=self.words,
        )


def take_up(text: str, profile: Mapping[str, Any], turn: int) -> Taken:
    """Return what `text` names, where the seeker of `profile` has spoken the turns 0 to `turn`."""
    named = phrases_named(text)
    facts = {key: profile[key] for key in FACTS if profile.get(key)}
    told = disclosed(profile, profile["disclosure"], turn)
    known = tuple(key for key in told if key != "name")
    return Taken(
        known=known,
        own=tuple(key for key in known if facts[key] in named),
        early=tuple(key for key in facts if key not in told and facts[key] in named),
        wrong=tuple(phrase for phrase in named if phrase not in facts.values()),
        words=len(text.split()),
    )


def phrases_named(text: str) -> list[str]:
    """Return the phrases of the whole vocabulary that occur in `text`, each once, in order.

    They are whole words, whatever the case.
    """
    pattern, phrases = _vocabulary()
    return list(dict.fromkeys(phrases[found] for found in pattern.findall(text.lower())))


def own_share(taken: Sequence[Taken]) -> float | None:
    """Return the mean `share` of the texts before which a fact was known; None where there is none."""
    shares = [one.share for one in taken if one.share is not None]
    return fmean(shares) if shares else None


def summarize(taken: Sequence[Taken]) -> dict[str, float]:
    """Return what texts (at least one) take up on average.

    `own_share` (percent of the known facts, absent where none was known), `own_count` (facts a text),
    `personal`, `generic` and `wrong` (percent of the texts), `words` (a text).
    """
    share = own_share(taken)
    return {
        **({} if share is None else {"own_share": share}),
        "own_count": fmean(len(one.own) for one in taken),
        "personal": _percent([one.personal for one in taken]),
        "generic": _percent([one.generic for one in taken]),
        "wrong": _percent([bool(one.wrong) for one in taken]),
        "words": fmean(one.words for one in taken),
    }


def field_checks(understanding: Mapping[str, str], profile: Mapping[str, Any], turn: int) -> dict[str, bool]:
    """Tell which of the four fields of a reflection's understanding are right.

    A field is right when it names every fact that belongs in it (`FIELDS`) and has been disclosed in the
    seeker turns 0 to `turn`, and no phrase that is not this profile's. A field of which nothing has been
    disclosed is right when it names no fact.
    """
    checks = {}
    for field, facts in FIELDS.items():
        taken = take_up(understanding[field], profile, turn)
        due = set(facts).intersection(taken.known)
        checks[field] = due <= set(taken.own) and not taken.wrong if due else taken.generic
    return checks


@dataclass(frozen=True)
class Understood:
    """How much of one seeker a reflection got right; all zero where there was no reflection to read.

    `fields_right`: of the four fields. `known`: facts disclosed so far, without the name. `named`: how many
    of them the understanding names, in any field. `facts`: facts of the profile, without the name.
    `wrong`: whether it names a phrase that is not of this profile.
    """

    fields_right: int
    known: int
    named: int
    facts: int
    wrong: bool


def check_understanding(
    understanding: Mapping[str, str] | None, profile: Mapping[str, Any], turn: int
) -> Understood:
    """Check a reflection's understanding, or None where the model's answer could not be read."""
    fields = understanding or {}
    taken = take_up("\n".join(fields.values()), profile, turn)
    return Understood(
        fields_right=sum(field_checks(fields, profile, turn).values()) if fields else 0,
        known=len(taken.known),
        named=len(taken.own),
        facts=sum(bool(profile.get(key)) for key in FACTS if key != "name"),
        wrong=bool(taken.wrong),
    )


def summarize_understanding(checks: Sequence[Understood]) -> dict[str, float]:
    """Return how much was understood over contexts (at least one), in percent.

    `contexts` (their number), `fields_right` (of all fields), `said_named` (of all facts disclosed so far,
    absent where there is none), `profile_named` (of all facts of the profiles: what is still hidden counts
    as missing), `wrong` (of the contexts).
    """
    named, known = sum(check.named for check in checks), sum(check.known for check in checks)
    return {
        "contexts": len(checks),
        "fields_right": 100 * sum(check.fields_right for check in checks) / (len(FIELDS) * len(checks)),
        **({"said_named": 100 * named / known} if known else {}),
        "profile_named": 100 * named / sum(check.facts for check in checks),
        "wrong": _percent([check.wrong for check in checks]),
    }


@cache
def _vocabulary() -> tuple[re.Pattern[str], dict[str, str]]:
    """A pattern for lower-cased text, and each lower-cased phrase's own spelling.

    Matches are looked ahead to, not consumed: the end of one phrase may be the beginning of another.
    """
    phrases = {phrase.lower(): phrase for group in all_facts().values() for phrase in group}
    return re.compile(rf"(?<!\w)(?=({'|'.join(map(re.escape, phrases))})(?!\w))"), phrases


def _percent(flags: Sequence[bool]) -> float:
    return 100 * sum(flags) / len(flags)
