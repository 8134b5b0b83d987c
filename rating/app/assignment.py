"""Who gets what: balanced by counting, everything else drawn by hashes of the study's seed."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from pydantic import Field

from rating.app.study import Overlap, Study
from selfevolve.records.jsonl import read_by_id, read_records
from selfevolve.records.schema import Context, Message, NonEmpty, Record, Response
from selfevolve.runtime.errors import InputError

Condition = tuple[str, ...]
"""The models of a session or item: one, or two in the study's order."""

_BLOCK = 4  # turns in which either model stands on side a equally often


class Item(Record):
    """An overlap item, and one line of a study's own file of items: a dialogue and each model's response."""

    id: NonEmpty = Field(max_length=200)
    messages: list[Message] = Field(min_length=1)
    responses: dict[str, str]


def seeded(seed: int, *words: object) -> int:
    """Return a number of 63 bits that depends on seed and words alone, the same on every machine."""
    text = "\n".join(map(str, (seed, *words)))
    return int.from_bytes(hashlib.sha256(text.encode("utf-8")).digest()[:8], "big") >> 1


def answer_seed(study: Study, task_id: str, turn: int, model: str) -> int:
    """Return the seed (31 bits) of a model's answer, so that a repeated generation gives the same text."""
    return seeded(study.seed, "answer", task_id, turn, model) >> 32


def plan(study: Study, rater: str) -> list[Literal["session", "item", "attention"]]:
    """Return the kinds of a rater's tasks, in order.

    The items are spread between the sessions, and the checks stand at seeded places after the first task.
    """
    sessions = study.sessions_per_rater
    items = study.overlap.per_rater if study.overlap else 0
    order: list[Literal["session", "item", "attention"]] = []
    for number in range(sessions):
        share = items * (number + 1) // sessions - items * number // sessions
        order += ["session", *["item"] * share]
    order += ["item"] * (items if not sessions else 0)
    for number in range(study.attention_checks):
        place = 1 + seeded(study.seed, "check", rater, number) % len(order)
        order.insert(place, "attention")
    return order


def least_used(
    conditions: Sequence[Condition],
    own: Mapping[Condition, int],
    placed: Mapping[Condition, int],
    total: Mapping[Condition, int],
    seed: int,
    *words: object,
) -> Condition:
    """Return the condition of a new session: the one that this rater has had least often.

    Among equals it is the one that all raters have had least often (`total`), then the one least often at
    this place of a plan (`placed`), then the seed and the `words` of this draw decide.
    """

    def order(c: Condition) -> tuple[int, ...]:
        draw = seeded(seed, "condition", *words, *c)
        return own.get(c, 0), total.get(c, 0), placed.get(c, 0), draw

    return min(conditions, key=order)


def item_order(items: Sequence[str], conditions: Sequence[Condition]) -> list[tuple[str, Condition]]:
    """Return all (context, condition) so that neighbours differ in both where there are several."""
    width = len(conditions)
    return [
        (item, conditions[(number + turn) % width])
        for turn in range(width)
        for number, item in enumerate(items)
    ]


def next_item(
    order: Sequence[tuple[str, Condition]],
    taken: Mapping[tuple[str, Condition], int],
    own: Collection[tuple[str, Condition]],
    wanted: int,
) -> tuple[str, Condition] | None:
    """Return the item for a rater: one that others have begun before a new one, so that few stay incomplete.

    None when every item that this rater has not seen has its `wanted` raters.
    """
    left = [unit for unit in order if unit not in own and taken.get(unit, 0) < wanted]
    return max(left, key=lambda unit: taken.get(unit, 0), default=None)  # the first one among equals


def swapped(study: Study, task_id: str, turn: int = 0) -> bool:
    """Whether the second model stands on side a in this turn (from 1 on; 0: the task as a whole).

    In every block of four turns of a session it does so twice, in a seeded order.
    """
    if turn == 0:
        return bool(seeded(study.seed, "side", task_id) % 2)
    block, place = divmod(turn - 1, _BLOCK)
    order = sorted(range(_BLOCK), key=lambda number: seeded(study.seed, "side", task_id, block, number))
    return order.index(place) % 2 == 1


def draw_items(study: Study) -> list[Item]:
    """Return the study's overlap items in their seeded order; none without overlap."""
    overlap = study.overlap
    if overlap is None:
        return []
    file = overlap.file or overlap.contexts_file
    found = read_records(file, Item) if overlap.file else _pipeline_items(study, overlap)
    drawn = sorted(found, key=lambda item: seeded(study.seed, "items", item.id))[: overlap.contexts]
    if len(drawn) < overlap.contexts:
        message = f"has {len(drawn)} contexts, and overlap.contexts asks for {overlap.contexts}"
        raise InputError(message, file=file)
    units = len(drawn) * len(study.conditions)
    if overlap.per_rater > units:
        message = f"a rater cannot see {overlap.per_rater} different answers, there are {units}"
        raise InputError(message, file=file, field="overlap.per_rater")
    for item in found:
        if missing := [model for model in study.models if model not in item.responses]:
            message = f"has no response of {missing[0]}"
            raise InputError(message, file=file, record=item.id, field="responses")
    return [
        Item(
            id=item.id,
            messages=[message for message in item.messages if message.role != "system"],
            responses={model: item.responses[model] for model in study.models},
        )
        for item in drawn
    ]


def _pipeline_items(study: Study, overlap: Overlap) -> list[Item]:
    """Return the pipeline's test contexts with the responses that every model gave to them."""
    contexts = read_records(overlap.contexts_file, Context)
    ids = [context.id for context in contexts]
    given = {
        model: read_by_id(overlap.responses_file.replace("{model}", model), Response, ids)
        for model in study.models
    }
    return [
        Item(id=c.id, messages=c.messages, responses={model: given[model][c.id].text for model in given})
        for c in contexts
    ]
