"""Write what the tiny backbone is taught: `python -m testbed.lessons --out testbed/lessons.jsonl ...`.

Drills in copying, talks with a supporter who is never personal (plain and task prompt), talks with one who
was told to be, reflections on a response as the reflection prompt asks for them, questions about what was
said, longer copying, and small tasks; one lesson a row, in LLaMA-Factory's layout. No lesson has a held-out
profile, and none is an item of the smoke benchmarks (what would be one is drawn again, counted).
"""

import argparse
import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import ascii_lowercase
from typing import Any

from pydantic import Field

from selfevolve.benchmarks.catalogue import smoke_questions
from selfevolve.data.contexts import CHAT_ROLES
from selfevolve.metrics.facts import disclosed
from selfevolve.prompts.requests import refine_messages, response_messages
from selfevolve.prompts.templates import Prompts, load_prompts
from selfevolve.records.jsonl import write_records
from selfevolve.records.schema import Conversation, Message, sharegpt
from selfevolve.runtime.command import run
from selfevolve.runtime.files import publish_json
from selfevolve.runtime.parameters import Params, load_params, read_params
from testbed.world.data import world
from testbed.world.grammar import Picker, with_article
from testbed.world.profile import all_facts, draw_profile, draw_stranger
from testbed.world.session import Register, Session, Utterance, can_mention, make_session, question, respond
from testbed.world.tasks import draw_task

UNKNOWN = "not said yet"
_QUALITY = {"generic": 60, "personal": 25, "wrong": 15}
_PADDING = ("Affirmation and Reassurance", "Information", "Reflection of feelings", "Self-disclosure")
_SCORES = {"generic": (2, 3), "personal": (4, 5), "wrong": (1, 1)}


class LessonsParams(Params):
    """Section `lessons`: rows of each kind."""

    seed: int
    drills: int = Field(ge=0)
    talks: int = Field(ge=0)
    personal: int = Field(ge=0)
    reflections: int = Field(ge=0)
    recalls: int = Field(ge=0)
    copies: int = Field(ge=0)
    tasks: int = Field(ge=0)


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line and write the lessons and their counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--metrics", type=Path, required=True)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    params = read_params("lessons", LessonsParams, args.params)
    prompts = load_prompts(load_params("lesson_prompts", args.params))
    makers: dict[str, Callable[[random.Random], list[Message]]] = {
        "drills": lambda rng: copying(rng, most=10),
        "talks": lambda rng: response_messages(
            prompts, rng.choice(("plain", "task")), messages(session("talk", rng).utterances)
        ),
        "personal": personal_talk,
        "reflections": lambda rng: reflection(rng).messages(prompts),
        "recalls": recall,
        "copies": copying,
        "tasks": lambda rng: draw_task(rng).messages(),
    }
    forbidden = smoke_questions()
    counts: Counter[str] = Counter(drawn_again=0)
    rows: list[Conversation] = []
    for kind, make in makers.items():
        for number in range(getattr(params, kind)):
            rng = random.Random(f"{params.seed}/{kind}/{number}")
            lesson = make(rng)
            while lesson[-2].content.strip() in forbidden:
                lesson = make(rng)
                counts["drawn_again"] += 1
            system = lesson.pop(0).content if lesson[0].role == "system" else ""
            row = Conversation(id=f"{kind}-{number:05d}", system=system, conversations=sharegpt(lesson))
            rows.append(row)
            counts[kind] += 1
    write_records(args.out, rows)
    publish_json(args.metrics, counts)


@dataclass(frozen=True)
class Reflection:
    """A response in its dialogue, which ends with a seeker turn, and the JSON of a good reflection on it."""

    dialogue: list[Message]
    response: str
    answer: dict[str, Any]

    def messages(self, prompts: Prompts) -> list[Message]:
        """Return the reflection prompt on the response, and the JSON that it asks for."""
        asked = refine_messages(prompts, self.dialogue, self.response)
        answer = json.dumps(self.answer, ensure_ascii=False)  # what JSON's escapes would teach, M2 writes
        return [*asked, Message(role="assistant", content=answer)]


def session(style: str, rng: random.Random, *, held_out: bool = False) -> Session:
    """Return a dialogue in a style of styles.yaml; only an examination asks for held-out profiles."""
    return make_session(draw_profile(rng, held_out=held_out), style, rng)


def messages(utterances: Sequence[Utterance]) -> list[Message]:
    """Return the turns of a dialogue as chat messages."""
    return [Message(role=CHAT_ROLES[u.role], content=u.text) for u in utterances]


def personal_talk(rng: random.Random) -> list[Message]:
    """Return a system message that asks for personal answers, and a whole dialogue that has them."""
    asked = Picker(rng).say(world().lessons.personal, {})
    return [Message(role="system", content=asked), *messages(session("personal", rng).utterances)]


def reflection(rng: random.Random) -> Reflection:
    """Return a lesson of reflecting on a response, at a random place behind the first exchange."""
    made = session("mixed", rng)
    at = rng.randrange(3, len(made.utterances) - 1, 2)
    turn = at // 2
    known = disclosed(made.profile.facts, made.disclosure, turn)
    new = [fact for fact, when in made.disclosure.items() if when == turn]
    picker = Picker(rng)
    strategy = made.utterances[at].strategy or "Others"
    possible = [s for s in world().supporter.strategies if can_mention(s, known)]
    if strategy not in possible:
        strategy = rng.choice(possible) if possible else "Others"
    quality = rng.choices(list(_QUALITY), list(_QUALITY.values()))[0] if possible else "generic"
    stranger = draw_stranger(made.profile, rng)
    facts = {fact: stranger.facts[fact] for fact in known if fact in stranger.facts}
    if quality == "wrong" and not can_mention(strategy, facts):
        quality = "generic"
    named = known if quality == "personal" else facts
    response = _say(strategy, quality, named, picker, new, asking=0.4, padding=0.4)
    refined = _say(strategy, "personal" if possible else "generic", known, picker, new, asking=0.15)
    if possible and rng.random() < 0.3:
        first = rng.choice([s for s in possible if s != "Question"])
        refined = f"{_say(first, 'personal', known, picker)} {refined}"
    if rng.random() < 0.08:  # as models do, it runs on now and then
        refined += "".join(f" {_say(s, 'generic', {}, picker)}" for s in rng.sample(_PADDING, 3))
    answer = {
        "understanding": understanding(known),
        "evaluation_score": rng.choice(_SCORES[quality]),
        "feedback": _feedback(quality, known, response, picker),
        "refined_response": refined,
    }
    return Reflection(messages(made.utterances[:at]), response, answer)


def understanding(known: dict[str, str]) -> dict[str, str]:
    """Return what the disclosed facts say of a seeker, under the four keys of the reflection's JSON."""
    told = known | ({"occupation": with_article(known["occupation"])} if "occupation" in known else {})
    parts = [words.format(told[fact]) for fact, words in world().lessons.profile.items() if fact in told]
    return {
        "user_profile": ", ".join(parts) or UNKNOWN,
        "user_emotion": known.get("emotion", UNKNOWN),
        "user_personality": known.get("trait", UNKNOWN),
        "user_intention": f"wants {known['support']}" if "support" in known else UNKNOWN,
    }


def recall(rng: random.Random, *, held_out: bool = False) -> list[Message]:
    """Return a dialogue up to a supporter's turn, a question about it, and the phrase that answers it."""
    made = session("talk", rng, held_out=held_out)
    turn = rng.randint(1, len(made.utterances) // 2 - 1)
    known = disclosed(made.profile.facts, made.disclosure, turn - 1)
    fact = rng.choice([fact for fact in world().lessons.recall if fact in known] or ["problem"])
    asked = Picker(rng).say(world().lessons.recall[fact], {})
    return [*messages(made.utterances[: 2 * turn]), *_exchange(asked, known.get(fact, UNKNOWN))]


def copying(rng: random.Random, most: int = 24) -> list[Message]:
    """Return an instruction to copy 3 to `most` words of the world and made-up ones, and the answer."""
    words = [
        rng.choice(_words())
        if rng.random() < 0.7
        else "".join(rng.choices(ascii_lowercase, k=rng.randint(2, 7)))
        for _ in range(rng.randint(3, most))
    ]
    instruction = Picker(rng).say(world().lessons.copy_, {})
    return _exchange(f"{instruction}\n{' '.join(words)}", " ".join(words))


def _exchange(question: str, answer: str) -> list[Message]:
    return [Message(role="user", content=question), Message(role="assistant", content=answer)]


@cache
def _words() -> list[str]:
    """Every word of every fact, sorted."""
    return sorted({word for phrases in all_facts().values() for phrase in phrases for word in phrase.split()})


def _say(
    strategy: str,
    register: Register,
    facts: dict[str, str],
    picker: Picker,
    focus: Sequence[str] = (),
    *,
    asking: float = 0.0,
    padding: float = 0.0,
) -> str:
    """A line; with these chances a generic line and a question behind it, unless it is a question itself."""
    ask = picker.rng.choice(world().lessons.next)
    text = respond(strategy, register, facts, picker, ask=ask, focus=focus)
    if strategy != "Question" and picker.rng.random() < padding:
        text += " " + respond(picker.rng.choice(_PADDING), "generic", {}, picker)
    if strategy != "Question" and picker.rng.random() < asking:
        text += " " + question(ask, picker)
    return text


def _feedback(quality: str, known: dict[str, str], response: str, picker: Picker) -> str:
    missing = [fact for fact in known if fact != "name" and known[fact] not in response]
    if quality == "wrong":
        return picker.say(world().lessons.feedback_wrong, {})
    if quality == "personal" or not missing:
        return picker.say(world().lessons.feedback_good, {})
    fact = picker.rng.choice(missing)
    return picker.say(world().lessons.feedback_generic, {"fact": known[fact]})


if __name__ == "__main__":
    run(main)
