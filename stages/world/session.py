"""One dialogue: a seeker who reveals a profile turn by turn, and a supporter who answers."""

import random
from collections.abc import Mapping
from dataclasses import dataclass

from stages.world import seeker, supporter
from stages.world.grammar import Picker
from stages.world.profile import FACTS, Profile, disclosure_schedule
from stages.world.supporter import Register


@dataclass(frozen=True)
class Utterance:
    """One raw utterance; `strategy` is ESConv's name for a supporter's, None for a seeker's."""

    role: str
    text: str
    strategy: str | None = None


@dataclass(frozen=True)
class Style:
    """How the sessions of one corpus look.

    `turns`: least and greatest number of seeker turns. `personal`: least and greatest share of supporter
    turns in the personal register (one share is drawn a session). The others are chances: a turn given
    as two utterances in a row, a supporter's second sentence, a leading supporter turn, a trailing
    seeker turn, a session without a greeting.
    """

    turns: tuple[int, int]
    personal: tuple[float, float]
    split: float
    wordy: float
    leading: float
    trailing: float
    abrupt: float
    most_utterances: int


@dataclass(frozen=True)
class Session:
    """One raw dialogue with its profile; `disclosure` counts seeker turns as `Profile.as_meta` says."""

    profile: Profile
    situation: str
    utterances: list[Utterance]
    disclosure: dict[str, int]


# Strategy -> weight, while the supporter still explores and once the wanted support is on the table.
_EXPLORING = {
    "Question": 30,
    "Reflection of feelings": 20,
    "Restatement or Paraphrasing": 16,
    "Affirmation and Reassurance": 15,
    "Self-disclosure": 8,
    "Others": 7,
    "Information": 4,
}
_HELPING = {
    "Providing Suggestions": 50,
    "Affirmation and Reassurance": 16,
    "Information": 16,
    "Self-disclosure": 10,
    "Others": 8,
}


def make_session(profile: Profile, style: Style, rng: random.Random) -> Session:
    """Return one dialogue of `profile` in `style`; it is decided by the state of `rng` alone."""
    return _Talk(profile, style, rng).run()


class _Talk:
    """A dialogue in the making."""

    def __init__(self, profile: Profile, style: Style, rng: random.Random):
        self.profile = profile
        self.style = style
        self.rng = rng
        self.picker = Picker(rng)
        self.personal = rng.uniform(*style.personal)
        self.utterances: list[Utterance] = []
        self.known: dict[str, str] = {}

    def run(self) -> Session:
        """Play all turns of the schedule."""
        greeting = self.rng.random() >= self.style.abrupt
        turns = self.rng.randint(*self.style.turns)
        plan = disclosure_schedule(self.profile, self.rng, turns, greeting=greeting)
        asks = _asks(plan, greeting, self.rng)
        situation = seeker.situation(self.profile.facts, self.picker)
        leading = greeting and self.rng.random() < self.style.leading
        if leading:
            self._say("supporter", supporter.greet(self.picker), "Others")
        trailing = self.rng.random() < self.style.trailing
        # What is left when every turn is one utterance may go into turns of two.
        self.spare = self.style.most_utterances - 2 * turns - leading - trailing
        for number, facts in enumerate(plan):
            self._seeker_turn(asks[number], facts)
            upcoming = asks[number + 1] if number + 1 < turns else None
            self._supporter_turn(asks[number], facts, upcoming)
        if trailing:
            self._say("seeker", seeker.elaborate("goodbye", {}, self.picker))
        disclosure = {fact: number for number, facts in enumerate(plan) for fact in facts}
        ordered = {fact: disclosure[fact] for fact in FACTS if fact in disclosure}
        return Session(self.profile, situation, self.utterances, ordered)

    def _seeker_turn(self, asked: str, facts: tuple[str, ...]) -> None:
        if asked == "greeting":
            lines = [seeker.greet(facts, self.profile.facts, self.picker)]
        elif facts:
            lines = seeker.reveal(facts, self.profile.facts, self.picker)
            if len(lines) == 1 and self.rng.random() < 0.35:
                lines.append(seeker.elaborate(self.rng.choice(("detail", "feeling")), self._all, self.picker))
        else:
            lines = [seeker.elaborate(asked, self._all, self.picker)]
        self.known |= {fact: self.profile.facts[fact] for fact in facts}
        self._say_lines("seeker", [(line, None) for line in lines])

    def _supporter_turn(self, asked: str, facts: tuple[str, ...], upcoming: str | None) -> None:
        if upcoming is None:
            register = self._register(bool(set(self.known) - {"name"}))
            self._say("supporter", supporter.take_leave(register, self.known, self.picker), "Others")
        elif asked == "greeting":
            hello = supporter.greet(self.picker)
            self._say_lines("supporter", [(hello, "Others"), (self._question(upcoming), "Question")])
        else:
            self._say_lines("supporter", self._answer(facts, upcoming))

    def _answer(self, facts: tuple[str, ...], upcoming: str) -> list[tuple[str, str]]:
        strategy = self._strategy(upcoming)
        register = self._register(supporter.can_take_up(strategy, self.known))
        ask = upcoming if upcoming != "thanks" else "feeling"
        text = supporter.respond(strategy, register, self.known, self.picker, ask=ask, focus=facts)
        lines = [(text, strategy)]
        if strategy != "Question" and self.rng.random() < self.style.wordy:
            more = self.rng.choice([other for other in _PADDING if other != strategy])
            lines[0] = (f"{text} {supporter.respond(more, 'generic', {}, self.picker)}", strategy)
        if strategy != "Question" and upcoming != "thanks" and self.rng.random() < 0.5:
            lines.append((self._question(upcoming), "Question"))
        return lines

    def _strategy(self, upcoming: str) -> str:
        """Draw a strategy to which the seeker's next turn is an answer."""
        if upcoming == "take_up":
            return "Providing Suggestions"
        weights = _HELPING if "support" in self.known else _EXPLORING
        if upcoming == "take_in":
            weights = {key: weight for key, weight in _HELPING.items() if key not in _NOT_COMFORT}
        elif upcoming != "thanks" and weights is _HELPING:
            weights = _EXPLORING
        return self.rng.choices(list(weights), list(weights.values()))[0]

    def _register(self, possible: bool) -> Register:
        return "personal" if possible and self.rng.random() < self.personal else "generic"

    def _question(self, upcoming: str) -> str:
        return supporter.question(upcoming, self.picker)

    @property
    def _all(self) -> Mapping[str, str]:
        return self.profile.facts

    def _say_lines(self, role: str, lines: list[tuple[str, str | None]]) -> None:
        """Say the lines as one utterance, or now and then as one each."""
        if len(lines) > 1 and self.spare >= len(lines) - 1 and self.rng.random() < self.style.split:
            self.spare -= len(lines) - 1
            for text, strategy in lines:
                self._say(role, text, strategy)
        else:
            self._say(role, " ".join(text for text, _ in lines), lines[0][1])

    def _say(self, role: str, text: str, strategy: str | None = None) -> None:
        self.utterances.append(Utterance(role, text, strategy))


_PADDING = ("Affirmation and Reassurance", "Information", "Reflection of feelings")
_NOT_COMFORT = ("Providing Suggestions", "Others")


def _asks(plan: list[tuple[str, ...]], greeting: bool, rng: random.Random) -> list[str]:
    """Name what each seeker turn answers to: its first fact, or what a turn without a fact is about."""
    asks: list[str] = []
    helped = False
    for number, facts in enumerate(plan):
        if number == 0 and greeting:
            asks.append("greeting")
        elif number == len(plan) - 1:
            asks.append("thanks")
        elif facts:
            asks.append(facts[0])
        elif helped:
            asks.append(rng.choice(("take_up", "take_up", "take_in")))
        else:
            asks.append(rng.choice(("detail", "feeling", "take_in")))
        helped = helped or "support" in facts
    return asks
