"""One dialogue: a seeker who reveals a profile turn by turn, and a supporter who answers.

A supporter says one of ESConv's eight strategies in one of three registers.
"""

import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from selfevolve.metrics.facts import FACTS
from testbed.world.data import Style, world
from testbed.world.grammar import Picker, fitting, slots
from testbed.world.profile import Profile, disclosure_schedule

Register = Literal["generic", "personal", "wrong"]
_PADDING = ("Affirmation and Reassurance", "Information", "Reflection of feelings")
_NOT_COMFORT = ("Providing Suggestions", "Others")


@dataclass(frozen=True)
class Utterance:
    """One raw utterance; `strategy` is ESConv's name for a supporter's, None for a seeker's."""

    role: str
    text: str
    strategy: str | None = None


@dataclass(frozen=True)
class Session:
    """One raw dialogue with its profile; `disclosure` counts seeker turns as `Profile.as_meta` says."""

    profile: Profile
    situation: str
    utterances: list[Utterance]
    disclosure: dict[str, int]


def make_session(profile: Profile, style: str, rng: random.Random) -> Session:
    """Return one dialogue of a profile in a style of styles.yaml; the state of `rng` alone decides it."""
    return _Talk(profile, world().styles[style], rng).run()


def elaborate(asked: str, profile: Mapping[str, str], picker: Picker) -> str:
    """Return a line without a new fact; `asked` is `detail` or a key of seeker.yaml such as `take_up`."""
    if asked == "detail":
        return picker.say(world().problems[profile["problem"]].details, {})
    return picker.say(getattr(world().seeker, asked), {})


def respond(
    strategy: str,
    register: Register,
    facts: Mapping[str, str],
    picker: Picker,
    *,
    ask: str = "detail",
    focus: Collection[str] = (),
) -> str:
    """Return a supporter's line; a Question asks for `ask`, a key of `ask` in supporter.yaml.

    A personal line names at least one of `facts`, if possible one in `focus`; so does a wrong line, of
    somebody else's facts. A ValueError says that no line fits so few facts.
    """
    if register == "generic":
        lines = world().supporter
        text = picker.say(lines.acknowledge if strategy == "Question" else lines.generic[strategy], {})
    else:
        text = _mention(_personal_lines(strategy), facts, picker, focus)
    return f"{text} {question(ask, picker)}".strip() if strategy == "Question" else text


def can_mention(strategy: str, facts: Collection[str]) -> bool:
    """Tell whether `respond` has a personal line of `strategy` for these facts (or names of facts)."""
    return bool(fitting(_personal_lines(strategy), _with_derived(facts)))


def question(ask: str, picker: Picker) -> str:
    """Return a question that names no fact; `ask` is a key of `ask` in supporter.yaml."""
    return picker.say(world().supporter.ask[ask], {})


def take_leave(register: Register, facts: Mapping[str, str], picker: Picker) -> str:
    """Return a supporter's farewell; `facts` as in `respond`."""
    if register == "generic":
        return picker.say(world().supporter.farewell, {})
    return _mention(world().supporter.personal_farewell, facts, picker, ())


def _personal_lines(strategy: str) -> list[str]:
    lines = world().supporter
    return lines.leads if strategy == "Question" else lines.personal[strategy]


def _mention(lines: Collection[str], facts: Mapping[str, str], picker: Picker, focus: Collection[str]) -> str:
    possible = fitting(lines, _with_derived(facts))
    if not possible:
        raise ValueError(f"no line fits the facts {sorted(facts)}")
    in_focus = [line for line in possible if slots(line) & set(focus)]
    values = dict(facts)
    if "problem" in facts:
        values["advice"] = picker.pick(world().problems[facts["problem"]].advice)
    if "support" in facts:
        values["offer"] = picker.pick(world().vocabulary.supports[facts["support"]])
    return picker.say(in_focus or possible, values)


def _with_derived(facts: Collection[str]) -> set[str]:
    """Add the slots that are no facts to those that they depend on."""
    return {*facts, *(["advice"] if "problem" in facts else []), *(["offer"] if "support" in facts else [])}


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
        situation = self.picker.say(world().seeker.situation, self.profile.facts)
        leading = greeting and self.rng.random() < self.style.leading
        if leading:
            self._say("supporter", self.picker.say(world().supporter.greeting, {}), "Others")
        trailing = self.rng.random() < self.style.trailing
        # What is left when every turn is one utterance may go into turns of two.
        self.spare = self.style.most_utterances - 2 * turns - leading - trailing
        for number, facts in enumerate(plan):
            self._seeker_turn(asks[number], facts)
            upcoming = asks[number + 1] if number + 1 < turns else None
            self._supporter_turn(asks[number], facts, upcoming)
        if trailing:
            self._say("seeker", elaborate("goodbye", {}, self.picker))
        disclosure = {fact: number for number, facts in enumerate(plan) for fact in facts}
        ordered = {fact: disclosure[fact] for fact in FACTS if fact in disclosure}
        return Session(self.profile, situation, self.utterances, ordered)

    def _seeker_turn(self, asked: str, facts: tuple[str, ...]) -> None:
        if asked == "greeting":
            greetings = world().seeker.greeting_with_name if facts else world().seeker.greeting
            lines = [self.picker.say(greetings, self.profile.facts)]
        elif facts:
            lines = [self.picker.say(world().seeker.reveal[fact], self.profile.facts) for fact in facts]
            if len(lines) == 1 and self.rng.random() < 0.35:
                asked = self.rng.choice(("detail", "feeling"))
                lines.append(elaborate(asked, self.profile.facts, self.picker))
        else:
            lines = [elaborate(asked, self.profile.facts, self.picker)]
        self.known |= {fact: self.profile.facts[fact] for fact in facts}
        self._say_lines("seeker", [(line, None) for line in lines])

    def _supporter_turn(self, asked: str, facts: tuple[str, ...], upcoming: str | None) -> None:
        if upcoming is None:
            register = self._register(bool(set(self.known) - {"name"}))
            self._say("supporter", take_leave(register, self.known, self.picker), "Others")
        elif asked == "greeting":
            hello = self.picker.say(world().supporter.greeting, {})
            asked = question(upcoming, self.picker)
            self._say_lines("supporter", [(hello, "Others"), (asked, "Question")])
        else:
            self._say_lines("supporter", self._answer(facts, upcoming))

    def _answer(self, facts: tuple[str, ...], upcoming: str) -> list[tuple[str, str]]:
        strategy = self._strategy(upcoming)
        register = self._register(can_mention(strategy, self.known))
        ask = upcoming if upcoming != "thanks" else "feeling"
        text = respond(strategy, register, self.known, self.picker, ask=ask, focus=facts)
        lines = [(text, strategy)]
        if strategy != "Question" and self.rng.random() < self.style.wordy:
            more = self.rng.choice([other for other in _PADDING if other != strategy])
            lines[0] = (f"{text} {respond(more, 'generic', {}, self.picker)}", strategy)
        if strategy != "Question" and upcoming != "thanks" and self.rng.random() < 0.5:
            lines.append((question(upcoming, self.picker), "Question"))
        return lines

    def _strategy(self, upcoming: str) -> str:
        """Draw a strategy to which the seeker's next turn is an answer."""
        if upcoming == "take_up":
            return "Providing Suggestions"
        lines = world().supporter
        weights = lines.helping if upcoming == "thanks" and "support" in self.known else lines.exploring
        if upcoming == "take_in":
            weights = {key: weight for key, weight in lines.helping.items() if key not in _NOT_COMFORT}
        return self.rng.choices(list(weights), list(weights.values()))[0]

    def _register(self, possible: bool) -> Register:
        return "personal" if possible and self.rng.random() < self.personal else "generic"

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
