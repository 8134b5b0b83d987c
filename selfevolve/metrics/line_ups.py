"""Whom a response is compared with, to see whether it tells its seeker: other seekers, other responses."""

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from pydantic import Field

from selfevolve.data.split import seeded_order
from selfevolve.records.jsonl import dialogue_of, natural_key
from selfevolve.records.schema import Dialogue
from selfevolve.runtime.errors import Unavailable
from selfevolve.runtime.parameters import Params

POOL = 4  # as many seekers, and responses on each side, as are wanted: some are too short, or one's own


class Said(NamedTuple):
    """The first `turns` turns of a dialogue's seeker, at least one."""

    dialogue: str
    turns: int


class PersonalisationParams(Params):
    """Section `personalisation` of params.yaml: how many others each response is compared with.

    `control_responses`: how many human responses show what the scores say of human ones and of controls.
    `likelihood_words`: how much of what a seeker said last a policy reads, in words.
    """

    seed: int = Field(ge=0)
    others: int = Field(ge=1)
    control_responses: int = Field(default=400, ge=2)
    likelihood_words: int = Field(default=120, ge=1)


class LineUp(NamedTuple):
    """One response's comparisons: its own seeker, other seekers, and the responses that others were given."""

    identity: str
    own: Said
    others: list[Said]
    matched: list[str]
    same_problem: int


def line_up(
    responses: Mapping[str, str], dialogues: Mapping[str, Dialogue], params: PersonalisationParams
) -> list[LineUp]:
    """Draw whom every response is compared with.

    Other seekers are drawn once for each dialogue, those with the same annotated problem (`meta.problem`)
    first, and of some more than are wanted the ones who have as many turns. Other responses are those with
    the nearest numbers of words.

    Args:
        responses: texts by context id.
        dialogues: by id, those that the contexts were cut from; the others are drawn from all of them.
        params: how many others; all that there are where there are fewer.

    Returns:
        one line-up for each response, in the order of the ids.

    Raises:
        Unavailable: there is but one dialogue.
    """
    if len(dialogues) < 2:
        raise Unavailable("there is but one seeker")
    turns = {name: len(dialogue.turns) // 2 for name, dialogue in dialogues.items()}
    problems = {name: dialogue.meta.get("problem") for name, dialogue in dialogues.items()}

    def alike(one: str, other: str) -> bool:
        return problems[one] is not None and problems[one] == problems[other]

    @cache
    def drawn(own: str) -> list[str]:
        order = seeded_order(dialogues.keys() - {own}, params.seed, f"other seekers\n{own}")
        return sorted(order, key=lambda other: not alike(own, other))[: POOL * params.others]

    def chosen(own: Said) -> list[str]:
        def unlike(other: str) -> tuple[bool, bool]:
            return not alike(own.dialogue, other), turns[other] < own.turns

        return sorted(drawn(own.dialogue), key=unlike)[: params.others]

    near = _nearest_in_length(responses, params.others)
    found = []
    for identity in sorted(responses, key=natural_key):
        own = Said(dialogue_of(identity), int(identity.partition("#")[2]) // 2 + 1)
        names = chosen(own)
        others = [Said(name, min(own.turns, turns[name])) for name in names]
        same = sum(alike(own.dialogue, name) for name in names)
        found.append(LineUp(identity, own, others, near[identity], same))
    return found


def _nearest_in_length(responses: Mapping[str, str], count: int) -> dict[str, list[str]]:
    """Return for each response those of other dialogues with the nearest numbers of words, by id."""
    words = {identity: len(text.split()) for identity, text in responses.items()}
    order = sorted(responses, key=lambda identity: (words[identity], natural_key(identity)))
    found = {}
    for at, identity in enumerate(order):
        around = order[max(0, at - POOL * count) : at + POOL * count + 1]
        others = [other for other in around if dialogue_of(other) != dialogue_of(identity)]
        others.sort(key=lambda other, own=words[identity]: abs(words[other] - own))
        found[identity] = others[:count]
    return found
