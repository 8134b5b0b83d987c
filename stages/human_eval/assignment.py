"""Who gets what: balanced by counting, everything else by hashes of the study's seed."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from stages.human_eval.study import Study

Condition = tuple[str, ...]
"""The models of a session or item: one, or two in the study's order."""

_BLOCK = 4  # turns in which either model stands on side a equally often


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
    """Return the condition a new session gets: the one this rater has had least often, then all raters.

    Among equals the one least often at this place of a plan, then by the seed. Sessions that were discarded
    or ended do not count, so that who drops out leaves no gap.

    Args:
        conditions: to choose among.
        own: sessions of this rater, by condition.
        placed: sessions of all raters at this place of their plans.
        total: sessions of all raters.
        seed: of the study.
        words: what tells this draw from others.
    """
    return min(
        conditions,
        key=lambda c: (
            own.get(c, 0),
            total.get(c, 0),
            placed.get(c, 0),
            seeded(seed, "condition", *words, *c),
        ),
    )


def item_order(items: Sequence[str], conditions: Sequence[Condition]) -> list[tuple[str, Condition]]:
    """Return all (context, condition), so that any run of them has the conditions about equally often.

    Neighbours are of different contexts where there are several: a rater who gets some in a row sees few
    answers to the same context.
    """
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
    """Return the item for a rater: one that others have begun before one that is new.

    So units are whole (`wanted` raters) as early as can be, and those who drop out leave few unfinished.
    None when all that this rater has not seen have enough raters.
    """
    open_ones = [unit for unit in order if unit not in own and taken.get(unit, 0) < wanted]
    if not open_ones:
        return None
    place = {unit: number for number, unit in enumerate(order)}
    return min(open_ones, key=lambda unit: (-taken.get(unit, 0), place[unit]))


def swapped(study: Study, task_id: str, turn: int = 0) -> bool:
    """Whether the second model stands on side a in this turn (from 1 on; 0: the task as a whole).

    In every block of four turns of a session it does so twice, in a seeded order.
    """
    if turn == 0:
        return bool(seeded(study.seed, "side", task_id) % 2)
    block, place = divmod(turn - 1, _BLOCK)
    order = sorted(range(_BLOCK), key=lambda number: seeded(study.seed, "side", task_id, block, number))
    return order.index(place) % 2 == 1
