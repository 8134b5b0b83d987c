"""What the tiny backbone is taught before it meets any corpus: lessons from the world, none of them held out.

A lesson is a conversation of its own. The skills are those that the paper's backbones bring along: to
talk (in the generic register alone), to reflect on a response and refine it, to recall what was said,
to copy, and to do small tasks.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from string import ascii_lowercase

from stages.world import lesson_lines, supporter
from stages.world.grammar import Picker, indefinite_article
from stages.world.profile import all_facts, disclosed, draw_profile, draw_stranger
from stages.world.session import Session, Style, Utterance, make_session

UNKNOWN = "not said yet"
# Alternating turns from the seeker on. A talk is all generic, or all personal where that is asked for; what
# is reflected on is mixed.
TALK = Style(
    turns=(5, 11), personal=(0.0, 0.0), split=0.0, wordy=0.3,
    leading=0.0, trailing=0.0, abrupt=0.1, most_utterances=26,
)  # fmt: skip
PERSONAL = Style(
    turns=(5, 11), personal=(1.0, 1.0), split=0.0, wordy=0.3,
    leading=0.0, trailing=0.0, abrupt=0.1, most_utterances=26,
)  # fmt: skip
MIXED = Style(
    turns=(4, 8), personal=(0.0, 0.7), split=0.0, wordy=0.4,
    leading=0.0, trailing=0.0, abrupt=0.1, most_utterances=26,
)  # fmt: skip
_QUALITY = {"generic": 60, "personal": 25, "wrong": 15}
_PADDING = ("Affirmation and Reassurance", "Information", "Reflection of feelings", "Self-disclosure")
_SCORES = {"generic": (2, 3), "personal": (4, 5), "wrong": (1, 1)}


@dataclass(frozen=True)
class Reflection:
    """A response in its dialogue, what the seeker has shown so far, and how to do better.

    `dialogue` ends with a seeker turn; `understanding` has the four keys of the paper's appendix E.
    """

    dialogue: list[Utterance]
    response: str
    understanding: dict[str, str]
    score: int
    feedback: str
    refined: str


def session(style: Style, rng: random.Random, *, held_out: bool = False) -> Session:
    """Return a dialogue in one of the styles above; only an examination asks for held-out profiles."""
    return make_session(draw_profile(rng, held_out=held_out), style, rng)


def talk(rng: random.Random) -> list[Utterance]:
    """Return a whole dialogue with a supporter who is never personal."""
    return session(TALK, rng).utterances


def personal_talk(rng: random.Random) -> tuple[str, list[Utterance]]:
    """Return a system message that asks for personal answers, and a whole dialogue that has them."""
    asked = Picker(rng).say(lesson_lines.PERSONAL, {})
    return asked, session(PERSONAL, rng).utterances


def reflection(rng: random.Random) -> Reflection:
    """Return a lesson of reflecting on a response, at a random place behind the first exchange."""
    made = session(MIXED, rng)
    at = rng.randrange(3, len(made.utterances) - 1, 2)
    turn = at // 2
    known = disclosed(made.profile.facts, made.disclosure, turn)
    new = [fact for fact, when in made.disclosure.items() if when == turn]
    picker = Picker(rng)
    strategy = made.utterances[at].strategy or "Others"
    possible = [s for s in supporter.STRATEGIES if supporter.can_take_up(s, known)]
    if strategy not in possible:
        strategy = rng.choice(possible) if possible else "Others"
    quality = rng.choices(list(_QUALITY), list(_QUALITY.values()))[0] if possible else "generic"
    stranger = draw_stranger(made.profile, rng)
    facts = {fact: stranger.facts[fact] for fact in known if fact in stranger.facts}
    if quality == "wrong" and not supporter.can_take_up(strategy, facts):
        quality = "generic"
    named = known if quality == "personal" else facts
    response = _say(strategy, quality, named, picker, new, asking=0.4, padding=0.4)
    refined = _say(strategy, "personal" if possible else "generic", known, picker, new, asking=0.15)
    if possible and rng.random() < 0.3:
        refined = (
            _say(rng.choice([s for s in possible if s != "Question"]), "personal", known, picker)
            + " "
            + refined
        )
    if rng.random() < 0.08:  # as models do, it runs on now and then
        refined += "".join(f" {_say(s, 'generic', {}, picker)}" for s in rng.sample(_PADDING, 3))
    return Reflection(
        dialogue=made.utterances[:at],
        response=response,
        understanding=understanding(known),
        score=rng.choice(_SCORES[quality]),
        feedback=_feedback(quality, known, response, picker),
        refined=refined,
    )


def understanding(known: dict[str, str]) -> dict[str, str]:
    """Return what the disclosed facts say of a seeker, under the four keys of the reflection's JSON."""
    parts = []
    if "occupation" in known:
        parts.append(f"{indefinite_article(known['occupation'])} {known['occupation']}")
    if "name" in known:
        parts.append(f"called {known['name']}")
    if "problem" in known:
        parts.append(f"facing {known['problem']}")
    if "cause" in known:
        parts.append(f"because of {known['cause']}")
    if "person" in known:
        parts.append(f"with a part for the {known['person']}")
    return {
        "user_profile": ", ".join(parts) or UNKNOWN,
        "user_emotion": known.get("emotion", UNKNOWN),
        "user_personality": known.get("trait", UNKNOWN),
        "user_intention": f"wants {known['support']}" if "support" in known else UNKNOWN,
    }


def recall(rng: random.Random, *, held_out: bool = False) -> tuple[list[Utterance], str, str]:
    """Return a dialogue up to a supporter's turn, a question about it, and the phrase that answers it."""
    made = session(TALK, rng, held_out=held_out)
    turn = rng.randint(1, len(made.utterances) // 2 - 1)
    known = disclosed(made.profile.facts, made.disclosure, turn - 1)
    fact = rng.choice([fact for fact in lesson_lines.RECALL if fact in known] or ["problem"])
    question = Picker(rng).say(lesson_lines.RECALL[fact], {})
    return made.utterances[: 2 * turn], question, known.get(fact, UNKNOWN)


def copying(rng: random.Random, most: int = 24) -> tuple[str, str]:
    """Return an instruction to copy words of the world and made-up ones in random order, and the answer.

    There are 3 to `most` words.
    """
    words = [
        rng.choice(_words())
        if rng.random() < 0.7
        else "".join(rng.choices(ascii_lowercase, k=rng.randint(2, 7)))
        for _ in range(rng.randint(3, most))
    ]
    instruction = Picker(rng).say(lesson_lines.COPY, {})
    return f"{instruction}\n{' '.join(words)}", " ".join(words)


@cache
def _words() -> list[str]:
    """Every word of every fact, sorted."""
    return sorted({word for phrases in all_facts().values() for phrase in phrases for word in phrase.split()})


def _say(
    strategy: str,
    register: supporter.Register,
    facts: dict[str, str],
    picker: Picker,
    focus: Sequence[str] = (),
    *,
    asking: float = 0.0,
    padding: float = 0.0,
) -> str:
    """A line; with these chances a generic line and a question behind it, unless it is a question itself."""
    ask = picker.rng.choice(lesson_lines.NEXT)
    text = supporter.respond(strategy, register, facts, picker, ask=ask, focus=focus)
    if strategy != "Question" and picker.rng.random() < padding:
        text += " " + supporter.respond(picker.rng.choice(_PADDING), "generic", {}, picker)
    if strategy != "Question" and picker.rng.random() < asking:
        text += " " + supporter.question(ask, picker)
    return text


def _feedback(quality: str, known: dict[str, str], response: str, picker: Picker) -> str:
    missing = [fact for fact in known if fact != "name" and known[fact] not in response]
    if quality == "wrong":
        return picker.say(lesson_lines.FEEDBACK_WRONG, {})
    if quality == "personal" or not missing:
        return picker.say(lesson_lines.FEEDBACK_GOOD, {})
    fact = picker.rng.choice(missing)
    return picker.say(lesson_lines.FEEDBACK_GENERIC, {"fact": known[fact]})
