"""From dialogues to contexts: what each supporter turn answers to (paper, section 2.1.1, C_n)."""

from collections.abc import Collection, Iterable, Sequence
from itertools import zip_longest

from stages.dialogue.split import seeded_order
from stages.records.errors import InputError
from stages.records.schema import Context, Dialogue, Message

CHAT_ROLES = {"seeker": "user", "supporter": "assistant"}


def contexts(dialogue: Dialogue, skip_first_exchanges: int = 0, skip_last_turns: int = 0) -> list[Context]:
    """Return one context for every supporter turn, in order, without those among the greetings.

    Supporter turns in the first `skip_first_exchanges` exchanges (a seeker turn and its answer) and in
    the last `skip_last_turns` turns give no context. For SynESC the paper removes the first turn and
    the last two turns as greetings (appendix A): 1 and 2 here. They stay in the history of later
    contexts: the aim is not to learn preferences from greetings, and a conversation without its opening
    would be unlike those that the model meets in use and in the test.

    The id is `<dialogue>#<index of the supporter turn from 0>`. A dialogue may be too short to give any.
    """
    first = 2 * skip_first_exchanges
    end = len(dialogue.turns) - skip_last_turns
    messages = chat_messages(dialogue)
    return [
        Context(
            id=f"{dialogue.id}#{index}",
            messages=messages[:index],
            golden=dialogue.turns[index].text,
            strategies=dialogue.turns[index].strategies,
        )
        for index in range(first, end)
        if dialogue.turns[index].role == "supporter"
    ]


def contexts_at(dialogue: Dialogue, seeker_turns: Collection[int], *, all_turns: bool) -> list[Context]:
    """Return the contexts in which exactly so many seeker turns have been said, in order.

    Args:
        dialogue: may be too short to have all of them.
        seeker_turns: numbers of turns, from 1 on.
        all_turns: whether the context with all of the seeker's turns is wanted as well.
    """
    found = contexts(dialogue)
    last = found[-1].id if all_turns else None
    return [c for number, c in enumerate(found, start=1) if number in seeker_turns or c.id == last]


def draw_evenly(found: Sequence[Context], limit: int, seed: int) -> list[Context]:
    """Draw `limit` contexts (or all, if there are fewer) so that dialogues are covered evenly.

    First comes one context of every dialogue, then a second of every dialogue that has one, and so on
    until there are enough. Which of a dialogue's contexts comes when, and which dialogue comes first, is
    seeded and does not depend on the order of `found`; a greater limit draws the same ones and more.
    """
    by_id = {context.id: context for context in found}
    by_dialogue: dict[str, list[str]] = {}
    for identity in seeded_order(by_id, seed, "contexts"):
        by_dialogue.setdefault(identity.rpartition("#")[0], []).append(identity)
    dialogues = [by_dialogue[name] for name in seeded_order(by_dialogue, seed, "dialogues")]
    order = [identity for turn in zip_longest(*dialogues) for identity in turn if identity is not None]
    return [by_id[identity] for identity in order[:limit]]


def chat_messages(dialogue: Dialogue) -> list[Message]:
    """Return a dialogue's turns as chat messages: seeker = user, supporter = assistant."""
    return [Message(role=CHAT_ROLES[turn.role], content=turn.text) for turn in dialogue.turns]


def split_parts(dialogue_ids: Iterable[str], parts: int, seed: int) -> list[list[str]]:
    """Return `parts` disjoint lists of ids, one an iteration, whose sizes differ by one at most.

    Each list is sorted; the assignment depends on the ids and the seed alone. By dialogue, so that no
    two iterations see contexts of the same dialogue (appendix B.1 splits the data in two parts).

    Raises:
        InputError: fewer than one part, or fewer dialogues than parts.
    """
    order = seeded_order(dialogue_ids, seed, "parts")
    if parts < 1:
        raise InputError(f"must be at least 1, got {parts}", field="parts")
    if len(order) < parts:
        raise InputError(f"{len(order)} dialogues cannot be split into {parts} parts, one an iteration")
    return [sorted(order[part::parts]) for part in range(parts)]
