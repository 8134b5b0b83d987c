"""What the benchmarks ask: the pipeline's own requests, of dialogues of the mini world."""

import random
from typing import NamedTuple

from stages.dialogue.contexts import contexts
from stages.engines.request import Request
from stages.prompts.requests import refine_messages, response_messages
from stages.prompts.templates import load_prompts
from stages.records.schema import Dialogue, Turn
from stages.world import lessons

PROMPTS = "backbones/prompts"


class Work(NamedTuple):
    """How much is written: requests, the most new tokens of each, and whether JSON is asked for.

    `scattered`: every request is of a dialogue of its own.
    """

    count: int
    new_tokens: int
    reflect: bool = False
    scattered: bool = False


WORK = {
    "respond": Work(128, 96),
    "scattered": Work(64, 96, scattered=True),
    "reflect": Work(24, 256, reflect=True),
    "small": Work(14, 24),
    "programs": Work(48, 96),
    "overhead": Work(128, 96),
}


def requests_of(work: Work, seed: int = 42) -> list[Request]:
    """Return what the pipeline would ask of dialogues of the mini world, in the order of their files.

    Of a dialogue come all contexts that a part of the training dialogues has of it, or one drawn of them.
    Responses: a task prompt and the history. Reflections: the instructions, the history and the response to
    refine.
    """
    prompts = load_prompts(PROMPTS)
    made: list[Request] = []
    number = 0
    while len(made) < work.count:
        draw = random.Random(f"{seed}/{number}")
        said = lessons.session(lessons.MIXED, draw, held_out=True).utterances
        turns = [Turn(role=u.role, text=u.text) for u in said]
        found = contexts(Dialogue(id=f"r{number}", source="mini", turns=turns), 1, 2)
        for context in draw.sample(found, 1) if work.scattered else found:
            if work.reflect:
                asked = refine_messages(prompts, context.messages, context.golden)
            else:
                asked = response_messages(prompts, "task", context.messages)
            made.append(Request.make(context.id, asked, seed))
        number += 1
    return made[: work.count]
