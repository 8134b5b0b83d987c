"""Write what the tiny backbone is taught: `python -m stages.lessons --out backbones/lessons.jsonl ...`.

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
from pathlib import Path

from pydantic import Field

from stages.benchmarks.catalogue import smoke_questions
from stages.command import Params, load_params, read_params, run
from stages.dialogue.alpaca import AlpacaItem, item_messages
from stages.dialogue.contexts import CHAT_ROLES
from stages.prompts.requests import refine_messages, response_messages
from stages.prompts.templates import Prompts, load_prompts
from stages.records.jsonl import write_records
from stages.records.publish import publish_json
from stages.records.schema import Conversation, Message
from stages.training.datasets import sharegpt
from stages.world import lessons
from stages.world.session import Utterance
from stages.world.tasks import draw_task


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
    prompts = load_prompts(load_params("prompts", args.params)["dir"])
    makers: dict[str, Callable[[random.Random], list[Message]]] = {
        "drills": lambda rng: _pair(*lessons.copying(rng, most=10)),
        "talks": lambda rng: talk(prompts, rng),
        "personal": personal_talk,
        "reflections": lambda rng: reflection(prompts, rng),
        "recalls": recall,
        "copies": lambda rng: _pair(*lessons.copying(rng)),
        "tasks": task,
    }
    forbidden = smoke_questions()
    counts: Counter[str] = Counter(drawn_again=0)
    rows: list[Conversation] = []
    for kind, make in makers.items():
        for number in range(getattr(params, kind)):
            rng = random.Random(f"{params.seed}/{kind}/{number}")
            messages = make(rng)
            while messages[-2].content.strip() in forbidden:
                messages = make(rng)
                counts["drawn_again"] += 1
            rows.append(_row(f"{kind}-{number:05d}", messages))
            counts[kind] += 1
    write_records(args.out, rows)
    publish_json(args.metrics, counts)


def talk(prompts: Prompts, rng: random.Random) -> list[Message]:
    """A generic talk, half of them with the plain prompt and half with the task prompt."""
    prompt = rng.choice(("plain", "task"))
    return response_messages(prompts, prompt, _messages(lessons.talk(rng)))


def personal_talk(rng: random.Random) -> list[Message]:
    """A talk whose system message asks for personal answers, which are given."""
    asked, utterances = lessons.personal_talk(rng)
    return [Message(role="system", content=asked), *_messages(utterances)]


def reflection(prompts: Prompts, rng: random.Random) -> list[Message]:
    """The reflection prompt on a response, and the JSON that it asks for."""
    lesson = lessons.reflection(rng)
    answer = {
        "understanding": lesson.understanding,
        "evaluation_score": lesson.score,
        "feedback": lesson.feedback,
        "refined_response": lesson.refined,
    }
    asked = refine_messages(prompts, _messages(lesson.dialogue), lesson.response)
    return [*asked, Message(role="assistant", content=json.dumps(answer))]


def recall(rng: random.Random) -> list[Message]:
    """A talk that ends with the seeker's question about what they said."""
    dialogue, question, answer = lessons.recall(rng)
    return [*_messages(dialogue), *_pair(question, answer)]


def task(rng: random.Random) -> list[Message]:
    """A small task in the layout of Alpaca's items."""
    drawn = draw_task(rng)
    return list(item_messages(AlpacaItem("task", drawn.instruction, drawn.input, drawn.output)))


def _messages(utterances: list[Utterance]) -> list[Message]:
    return [Message(role=CHAT_ROLES[u.role], content=u.text) for u in utterances]


def _pair(instruction: str, answer: str) -> list[Message]:
    return [Message(role="user", content=instruction), Message(role="assistant", content=answer)]


def _row(identity: str, messages: list[Message]) -> Conversation:
    system = messages[0].content if messages[0].role == "system" else ""
    turns = messages[1:] if system else messages
    return Conversation(id=identity, system=system, conversations=sharegpt(turns))


if __name__ == "__main__":
    run(main)
