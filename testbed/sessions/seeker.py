"""A seeker of the mini world as a state machine: listened to, it tells more and calms down.

Not listened to, it withdraws. What it hears in a turn, by the phrases of the world and a question mark:

    mistaken    it names a fact of somebody else: worse by a step, nothing told
    taken up    it names a fact that this seeker has told: one fact told, better by a step where that fact is
                named for the first time
    asked       it asks: one fact told, and one more than that where it also takes up. After PATIENCE turns in
                a row that ask and take up nothing, asking alone opens nothing any more
    passed by   none of these: short words, the emotion once more, and worse by a step from the second such
                turn in a row on

Words that the supporter has said before as they stand count as passed by. Two steps are one level of the
emotion. A resistant seeker tells one fact less, once the problem is told. A seeker leaves when calm with all
told, or when passed by or mistaken LEAVES_AFTER times in a row.

What a seeker says depends on the card, the seed and what the supporter said, and on nothing else.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

from selfevolve.metrics.facts import FACTS, Vocabulary
from selfevolve.prompts.response_text import folded
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import read_yaml
from selfevolve.runtime.parameters import Params, validate
from selfevolve.sessions.cards import Card
from selfevolve.sessions.session import CALM, DISTRESSED
from selfevolve.sessions.talk import Said, Talk
from testbed.world.data import FactLines, Lines, world
from testbed.world.grammar import Picker
from testbed.world.profile import all_facts
from testbed.world.session import elaborate

PATIENCE = 2
LEAVES_AFTER = 4
STEPS = 2  # of a level

Heard = Literal["mistaken", "taken_up", "asked", "passed_by"]


class SessionLines(Params):
    """lines.yaml, which says what the fields are."""

    withdrawn: Lines
    withdrawn_feeling: FactLines
    mistaken: Lines
    leaving: Lines


@cache
def session_lines() -> SessionLines:
    """Return the lines of lines.yaml, read at the first call."""
    path = Path(__file__).with_name("lines.yaml")
    return validate(SessionLines, read_yaml(path), file=path)


@cache
def vocabulary() -> Vocabulary:
    """Return the phrases of the whole world."""
    return Vocabulary(phrase for phrases in all_facts().values() for phrase in phrases)


class WorldSeeker:
    """Plays seekers of the mini world; every turn follows from the talk so far."""

    name = "mini world"

    def __init__(self) -> None:
        """Nothing is kept between turns: a seeker is played anew from the beginning of the talk."""
        self.counts: Counter[str] = Counter()

    def speak(self, talks: Sequence[Talk]) -> list[Said]:
        """Return the next turn of every talk; InputError where a card is of no seeker of this world."""
        return [self._next(talk) for talk in talks]

    def _next(self, talk: Talk) -> Said:
        state = State.of(talk.card, f"{talk.seed}/{talk.id}", talk.resistant)
        said = state.greet()
        for answer in talk.answers:
            said = state.answer(answer)
        if talk.answers:
            self.counts[state.heard] += 1
        return said


@dataclass
class State:
    """A seeker in the middle of a session."""

    facts: dict[str, str]
    resistant: bool
    picker: Picker
    steps: int
    """Of distress; two are a level."""
    waiting: list[str]
    """Facts that are not told yet, in the order in which they will be."""
    told: list[str] = field(default_factory=list)
    named: set[str] = field(default_factory=set)
    """Facts that the supporter has taken up."""
    before: set[str] = field(default_factory=set)
    heard: Heard = "asked"
    unheard: int = 0
    """Turns in a row that took up nothing."""
    passed_by: int = 0
    """Turns in a row that were mistaken or passed by."""

    @classmethod
    def of(cls, card: Card, seed: str, resistant: bool) -> "State":
        """Begin a session; `seed` is the text that all draws follow from.

        Raises:
            InputError: the card lacks a fact of the world, or has one that is no phrase of it.
        """
        known = all_facts()
        for name in FACTS:
            if card.facts.get(name) not in [*known[name], *([None] if name == "name" else [])]:
                message = "must be a phrase of the mini world: use cards of `python -m testbed.cards`"
                raise InputError(message, record=card.id, field=f"facts.{name}")
        rng = random.Random(seed)
        middle = ["person", "occupation", "trait"]
        rng.shuffle(middle)
        order = ["problem", "emotion", "cause", *middle, "support"]
        steps = STEPS * rng.choice((DISTRESSED - 1, DISTRESSED))
        return cls(dict(card.facts), resistant, Picker(rng), steps, order)

    @property
    def level(self) -> int:
        """The emotion level, 1 to 5."""
        return min(DISTRESSED, max(CALM, -(-self.steps // STEPS)))

    def greet(self) -> Said:
        """Say the first turn, which tells the name if there is one."""
        lines, named = world().seeker, [name for name in ("name",) if name in self.facts]
        greetings = lines.greeting_with_name if named else lines.greeting
        return Said(self.picker.say(greetings, self.facts), self.level, named)

    def answer(self, text: str) -> Said:
        """Hear a supporter's turn and say the next one."""
        self.heard, opened = self._hear(text)
        self.steps = min(STEPS * DISTRESSED, max(STEPS * CALM, self.steps))
        if self.passed_by >= LEAVES_AFTER:
            return Said(self.picker.say(session_lines().leaving, {}), self.level, [], leaves="gave_up")
        if not self.waiting and self.level == CALM and not self.passed_by:
            return Said(self.picker.say(world().seeker.thanks, {}), self.level, [], leaves="relieved")
        if self.passed_by:
            return Said(self._withdrawn(), self.level, [])
        telling, self.waiting = self.waiting[:opened], self.waiting[opened:]
        self.told += telling
        if telling:
            reveal = world().seeker.reveal
            text = " ".join(self.picker.say(reveal[name], self.facts) for name in telling)
        elif self.heard == "taken_up":
            text = elaborate("take_in", self.facts, self.picker)
        else:
            text = elaborate("detail" if "problem" in self.told else "feeling", self.facts, self.picker)
        return Said(text, self.level, telling)

    def _hear(self, text: str) -> tuple[Heard, int]:
        """Return what is heard in a supporter's turn, and how many facts it opens; move the emotion."""
        repeated = folded(text) in self.before
        self.before.add(folded(text))
        own = {phrase.lower(): name for name, phrase in self.facts.items()}
        mentioned = [phrase.lower() for phrase in vocabulary().mentioned(text)]
        fresh = {own[phrase] for phrase in mentioned if phrase in own} & set(self.told)
        asked = "?" in text and not repeated
        if any(phrase not in own for phrase in mentioned):
            self.steps += 1
            self.unheard += 1
            self.passed_by += 1
            return "mistaken", 0
        if fresh and not repeated:
            self.steps -= bool(fresh - self.named)
            self.named |= fresh
            self.unheard = self.passed_by = 0
            return "taken_up", max(0, 1 + asked - self.resistant)
        self.unheard += bool(self.told)
        if asked:
            self.passed_by = 0
            opens = self.unheard <= PATIENCE and not (self.resistant and self.told)
            return "asked", int(opens)
        self.passed_by += 1
        self.steps += self.passed_by > 1
        return "passed_by", 0

    def _withdrawn(self) -> str:
        """Return short words: of a mistake, of the emotion where it is told, or of nothing."""
        lines = session_lines()
        if self.heard == "mistaken":
            return self.picker.say(lines.mistaken, {})
        if "emotion" in self.told:
            return self.picker.say(lines.withdrawn_feeling, self.facts)
        return self.picker.say(lines.withdrawn, {})
