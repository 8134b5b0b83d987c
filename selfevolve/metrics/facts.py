"""Personalisation: which facts of a seeker's gold profile a text mentions.

A corpus can carry a gold profile of every seeker, as the mini world does: `meta.profile` holds a phrase for
each fact and says in which seeker turn the fact is disclosed. A text mentions a fact if it has the fact's
phrase, as whole words and whatever the case. All phrases of all gold profiles of the prepared dialogues are
the vocabulary (`data/dialogues/facts.json`). A mention is wrong if its phrase is in the vocabulary and not in
the profile of this seeker: somebody else in these dialogues has that fact. The seeker's name, once disclosed,
is neither asked for nor held against a text: to call somebody by name is not yet personal. A text that
mentions no fact may still hold a fragment of one, a word that supporters say in facts alone ("the farewell of
a close bakery"): it is garbled then, and not generic.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from selfevolve.records.jsonl import dialogue_of, read_records, seeker_turn_of, write_records
from selfevolve.records.schema import Dialogue, FactMentions, NonEmpty, Response
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import read_json
from selfevolve.runtime.parameters import Params, validate

# A gold profile's facts, in the order of its record. All but `name` are always there.
FACTS = ("name", "occupation", "person", "trait", "problem", "cause", "emotion", "support")


def disclosed(facts: Mapping[str, str], disclosure: Mapping[str, int], turn: int) -> dict[str, str]:
    """Return the facts disclosed in the seeker turns 0 to `turn` (inclusive), in the order of `FACTS`.

    `facts` may be a whole profile record. `disclosure` maps a fact to the seeker turn that discloses it.
    """
    return {key: facts[key] for key in FACTS if key in disclosure and disclosure[key] <= turn}


def gold_profile(meta: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the gold profile in a dialogue's meta data; None if it has none of this shape."""
    profile = meta.get("profile")
    disclosure = profile.get("disclosure") if isinstance(profile, Mapping) else None
    if not isinstance(disclosure, Mapping) or not all(isinstance(at, int) for at in disclosure.values()):
        return None
    there = {key for key in FACTS if isinstance(profile.get(key), str)}
    return profile if there >= set(FACTS) - {"name"} and there >= disclosure.keys() else None


class GoldFacts(Params):
    """The file of the vocabulary: the phrases of all gold profiles by fact, and the words of facts alone."""

    phrases: dict[str, list[NonEmpty]]
    words: list[NonEmpty]


def gold_facts(dialogues: Sequence[Dialogue]) -> GoldFacts:
    """Collect the vocabulary of dialogues; it is empty if none has a gold profile.

    `words` are those that stand in phrases and that no supporter of these dialogues says outside of a phrase.
    """
    profiles = [profile for dialogue in dialogues if (profile := gold_profile(dialogue.meta)) is not None]
    phrases = {fact: sorted({profile[fact] for profile in profiles if profile.get(fact)}) for fact in FACTS}
    phrases = {fact: found for fact, found in phrases.items() if found}
    vocabulary = Vocabulary(phrase for found in phrases.values() for phrase in found)
    said = {
        word
        for dialogue in (dialogues if phrases else ())
        for turn in dialogue.turns
        if turn.role == "supporter"
        for word in vocabulary.words_outside(turn.text)
    }
    inside = {word for found in phrases.values() for phrase in found for word in _words(phrase)}
    return GoldFacts(phrases=phrases, words=sorted(inside - said))


class Vocabulary:
    """Phrases to look for in texts: whole words, whatever the case, the longest one at each place."""

    def __init__(self, phrases: Iterable[str], words: Iterable[str] = ()):
        """Take the phrases, and the words that stand in facts alone, in lower case.

        Where two phrases differ by case only, the last one's spelling is reported.
        """
        self._spelling = {phrase.lower(): phrase for phrase in phrases}
        self._own_words = frozenset(words)
        longest_first = sorted(self._spelling, key=len, reverse=True)
        any_phrase = "|".join(map(re.escape, longest_first))
        # The lookahead consumes nothing: the end of one phrase may be the beginning of another.
        self._pattern = re.compile(rf"(?<!\w)(?=({any_phrase})(?!\w))" if longest_first else r"(?!)")
        self._whole = re.compile(rf"(?<!\w)(?:{any_phrase})(?!\w)" if longest_first else r"(?!)")

    def __contains__(self, phrase: str) -> bool:
        return phrase.lower() in self._spelling

    def __bool__(self) -> bool:
        return bool(self._spelling)

    def mentioned(self, text: str) -> list[str]:
        """Return the phrases that occur in a text, each once, in order."""
        return list(dict.fromkeys(self._spelling[found] for found in self._pattern.findall(text.lower())))

    def words_outside(self, text: str) -> list[str]:
        """Return the words of a text that stand in none of its phrases: lower case, each once, in order."""
        return _words(self._whole.sub(" ", text.lower()))

    def fragments(self, text: str) -> list[str]:
        """Return the words of facts alone that a text has outside of phrases, each once, in order."""
        return [word for word in self.words_outside(text) if word in self._own_words]


def _words(text: str) -> list[str]:
    return list(dict.fromkeys(re.findall(r"\w+", text.lower())))


def read_vocabulary(path: Path) -> Vocabulary:
    """Return the vocabulary in a file as stages.prepare writes it."""
    facts = validate(GoldFacts, read_json(path), file=path)
    return Vocabulary((phrase for phrases in facts.phrases.values() for phrase in phrases), facts.words)


@dataclass(frozen=True)
class Seeker:
    """A seeker with a gold profile, who has spoken the turns 0 to `turn`."""

    profile: Mapping[str, Any]
    turn: int
    vocabulary: Vocabulary

    def mentions(self, identity: str, text: str) -> FactMentions:
        """Return what a text mentions of the vocabulary; `identity` becomes the record's id."""
        mentioned = self.vocabulary.mentioned(text)
        found = {phrase.lower() for phrase in mentioned}
        facts = {key: self.profile[key].lower() for key in FACTS if self.profile.get(key)}
        told = disclosed(facts, self.profile["disclosure"], self.turn)
        known = [key for key in told if key != "name"]
        return FactMentions(
            id=identity,
            known=known,
            own=[key for key in known if facts[key] in found],
            early=[key for key in facts if key not in told and facts[key] in found],
            wrong=[phrase for phrase in mentioned if phrase.lower() not in facts.values()],
            fragments=self.vocabulary.fragments(text),
            words=len(text.split()),
        )


class Seekers:
    """The seekers of a file of Dialogue records, found by the ids of contexts that were cut from it."""

    def __init__(self, dialogues: Path, vocabulary: Path):
        """Read both files; a profile with a phrase that the vocabulary lacks is an InputError."""
        self.path = dialogues
        self.vocabulary = read_vocabulary(vocabulary)
        records = read_records(dialogues, Dialogue)
        self._turns = {dialogue.id: len(dialogue.turns) for dialogue in records}
        self._profiles = {dialogue.id: gold_profile(dialogue.meta) for dialogue in records}
        for identity, profile in self._profiles.items():
            for fact in FACTS if profile else ():
                if profile.get(fact) and profile[fact] not in self.vocabulary:
                    message = f"{profile[fact]!r} is not in the vocabulary {vocabulary}"
                    raise InputError(message, file=dialogues, record=identity, field=f"meta.profile.{fact}")

    def find(self, identity: str, file: Path) -> Seeker | None:
        """Return the seeker of a context, or None if the dialogue has no gold profile.

        `file` is where the context's id stands; raises as `seeker_turn_of`.
        """
        turn = seeker_turn_of(identity, self._turns, file, self.path)
        profile = self._profiles[dialogue_of(identity)]
        return None if profile is None else Seeker(profile, turn, self.vocabulary)

    def with_profile(self, identities: Iterable[str], file: Path) -> dict[str, Seeker]:
        """Return the seekers of these contexts that have a gold profile, by id; raises as `find`."""
        found = {identity: self.find(identity, file) for identity in identities}
        return {identity: seeker for identity, seeker in found.items() if seeker is not None}


def measure_facts(responses: Path, seekers: Seekers, details: Path) -> dict[str, float]:
    """Write FactMentions of the responses whose seeker has a gold profile to `details`; return the summary.

    The summary has the numbers `responses` and `with_profile`, and `summarize` of the mentions if any.
    """
    records = read_records(responses, Response)
    if not records:
        raise InputError("has no responses", file=responses)
    found = [(record, seekers.find(record.id, responses)) for record in records]
    mentions = [seeker.mentions(record.id, record.text) for record, seeker in found if seeker is not None]
    write_records(details, mentions)
    counts = {"responses": len(records), "with_profile": len(mentions)}
    return counts | (summarize(mentions) if mentions else {})


def columns(mentions: Sequence[FactMentions]) -> dict[str, list[float | None]]:
    """Return the scores of texts by name, one value a text; `own_share` only if a fact is known anywhere.

    `own_share`: percent of the known facts that the text mentions, None where none is known. `own_count`: own
    facts. `personal`, `generic`, `garbled`, `wrong`: 100 if the text is so, else 0. `words`: its length.
    """
    values: dict[str, list[float | None]] = {
        "own_share": [one.share for one in mentions],
        "own_count": [len(one.own) for one in mentions],
        "personal": [100 * one.personal for one in mentions],
        "generic": [100 * one.generic for one in mentions],
        "garbled": [100 * one.garbled for one in mentions],
        "wrong": [100 * bool(one.wrong) for one in mentions],
        "words": [one.words for one in mentions],
    }
    if not any(one.known for one in mentions):
        del values["own_share"]
    return values


def summarize(mentions: Sequence[FactMentions]) -> dict[str, float]:
    """Return the mean of each of the `columns` of texts (at least one), over the texts that have a value."""
    return {
        name: fmean(value for value in values if value is not None)
        for name, values in columns(mentions).items()
    }
