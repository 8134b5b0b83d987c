"""What reflections name of a seeker's gold profile whose fields are free, such as `Occupation` and `Age`.

The mini world's profiles have facts of their own (selfevolve.metrics.facts); others bring theirs in
`meta.profile`, a text a field. A value of at most SHORT words is looked for in the whole understanding by its
words, whatever their case and punctuation. Of longer values, such as a description of the situation, an
encoder says how near the understanding is to them.

A value that only other seekers of the set have in a field, and that nobody said in the conversation, is
*wrong* in a reflection if the seeker has told the own value by then, and *invented* if not.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from selfevolve.metrics.facts import Vocabulary
from selfevolve.metrics.statistics import mean_and_interval
from selfevolve.records.jsonl import dialogue_of
from selfevolve.records.schema import Context, NonEmpty, Record, Refinement

SHORT = 4  # words of the longest value that is looked for
SEED = 42  # of the intervals


class Named(Record):
    """What a reflection names of one field: the own value or not, and values of others.

    `told`: the seeker has said the own value by then. `others` were said by nobody in the conversation.
    """

    own: NonEmpty
    told: bool
    named: bool
    others: list[str]


class ProfileInference(Record):
    """One reflection, whether it parsed, and what it names of each field of the seeker's profile."""

    id: NonEmpty
    valid: bool
    fields: dict[str, Named]


class Reflection(NamedTuple):
    """A reflection with its context and the seeker's gold profile, of which the fields are texts."""

    refinement: Refinement
    context: Context
    profile: Mapping[str, str]

    @property
    def understanding(self) -> str:
        """All that the reflection says of the seeker; empty if it did not parse."""
        found = self.refinement.understanding
        return "\n".join(found.model_dump().values()) if found else ""


def free_profile(meta: Mapping[str, Any]) -> dict[str, str]:
    """Return the fields of a dialogue's profile that are texts with words in them, numbers included."""
    profile = meta.get("profile")
    fields = profile.items() if isinstance(profile, Mapping) else ()
    texts = {name: str(value) for name, value in fields if type(value) in (str, int, float)}  # true is none
    return {name: text for name, text in texts.items() if plain(text)}


def plain(text: str) -> str:
    """Return the words of a text, in lower case, a space between two."""
    return " ".join(re.findall(r"\w+", text.casefold()))


def infer_profiles(reflections: Sequence[Reflection]) -> list[ProfileInference]:
    """Look for the short values of all profiles in every reflection of a set, field by field."""
    values: dict[str, set[str]] = {}
    for one in reflections:
        for name, text in one.profile.items():
            if len(plain(text).split()) <= SHORT:
                values.setdefault(name, set()).add(plain(text))
    vocabularies = {name: Vocabulary(sorted(found)) for name, found in values.items()}
    return [_infer(one, vocabularies) for one in reflections]


def _infer(one: Reflection, vocabularies: Mapping[str, Vocabulary]) -> ProfileInference:
    messages = one.context.messages
    understanding = plain(one.understanding)
    told = plain("\n".join(message.content for message in messages if message.role == "user"))
    said = plain("\n".join(message.content for message in messages))
    fields = {}
    for name, vocabulary in vocabularies.items():
        own = plain(one.profile.get(name, ""))
        if own in vocabulary:
            found = _whole(vocabulary.mentioned(understanding))
            spoken = {own, *vocabulary.mentioned(said)}
            fields[name] = Named(
                own=own,
                told=own in vocabulary.mentioned(told),
                named=own in found,
                others=[value for value in found if value not in spoken],
            )
    valid = one.refinement.understanding is not None
    return ProfileInference(id=one.refinement.id, valid=valid, fields=fields)


def _whole(values: Sequence[str]) -> list[str]:
    """Return the values that are no part of another one, as `manager` is of `sales manager`."""
    return [
        value for value in values if not any(f" {value} " in f" {one} " for one in values if one != value)
    ]


def profile_report(inferences: Sequence[ProfileInference]) -> dict[str, Any]:
    """Return percentages of the reflections, by field, with intervals over dialogues.

    `asked` is the number of reflections on seekers whose value of the field is short, `told` how many of them
    have said it. `named`, `wrong` and `invented` are of all asked, `named_of_told` of those told. `by_chance`
    is how often a reflection names another seeker's value that nobody said, over all pairs that differ in it.
    Reflections that did not parse name nothing.
    """
    report = {}
    for name in sorted({name for one in inferences for name in one.fields}):
        asked = [one for one in inferences if name in one.fields]
        found = [one.fields[name] for one in asked]
        told = [at for at, one in enumerate(found) if one.told]
        named = [one.named for one in found]
        report[name] = {
            "asked": len(asked),
            "told": len(told),
            "named": _percent(named, asked),
            **(
                {"named_of_told": _percent([named[n] for n in told], [asked[n] for n in told])}
                if told
                else {}
            ),
            "wrong": _percent([bool(one.others) and one.told for one in found], asked),
            "invented": _percent([bool(one.others) and not one.told for one in found], asked),
            "by_chance": _by_chance(found),
        }
    return report


def similarity_report(reflections: Sequence[Reflection], vectors: Mapping[str, Any]) -> dict[str, Any]:
    """Return how near the understanding is to the gold value of each field, as the mean of cosines.

    Args:
        reflections: those that did not parse are left out.
        vectors: a unit vector [size] for each understanding and each value.

    Returns:
        for each field `asked`, the mean `own` with its interval, and `others`, the mean over the values that
        other seekers have: what the distance from them says is left when chance is taken away.
    """
    there = [one for one in reflections if one.understanding]
    report = {}
    for name in sorted({name for one in there for name in one.profile}):
        asked = [one for one in there if name in one.profile]
        values = Counter(one.profile[name] for one in asked)
        texts, weights = list(values), np.array(list(values.values()), dtype=np.float64)
        cosines = np.stack([vectors[one.understanding] for one in asked]) @ np.stack(
            [vectors[text] for text in texts]
        ).T.astype(np.float64)
        own = [texts.index(one.profile[name]) for one in asked]
        chosen = cosines[np.arange(len(asked)), own]
        others = weights.sum() - weights[own]
        report[name] = {
            "asked": len(asked),
            "own": mean_and_interval(chosen.tolist(), _dialogues(asked), seed=SEED),
        }
        if others.all():
            rest = (cosines @ weights - chosen * weights[own]) / others
            report[name]["others"] = mean_and_interval(rest.tolist(), _dialogues(asked), seed=SEED)
    return report


def _by_chance(found: Sequence[Named]) -> float | str:
    having = Counter(one.own for one in found)
    pairs = sum(len(found) - having[one.own] for one in found)
    hits = sum(having[value] for one in found for value in one.others)
    return 100 * hits / pairs if pairs else "not available"


def _percent(flags: Sequence[bool], inferences: Sequence[ProfileInference]) -> dict[str, float]:
    dialogues = [dialogue_of(one.id) for one in inferences]
    return mean_and_interval([100.0 * flag for flag in flags], dialogues, seed=SEED)


def _dialogues(reflections: Sequence[Reflection]) -> list[str]:
    return [dialogue_of(one.refinement.id) for one in reflections]
