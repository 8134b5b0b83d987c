"""From dialogues to contexts: what each supporter turn answers to (paper, section 2.1.1, C_n)."""

from collections.abc import Callable, Collection, Sequence
from itertools import zip_longest

from selfevolve.data.split import seeded_order
from selfevolve.records.jsonl import dialogue_of, natural_key
from selfevolve.records.schema import Context, Dialogue, Message

CHAT_ROLES = {"seeker": "user", "supporter": "assistant"}


def contexts(dialogue: Dialogue, skip_first_exchanges: int = 0, skip_last_turns: int = 0) -> list[Context]:
    """Return one context for every supporter turn, in order, without those among the greetings.

    Supporter turns in the first `skip_first_exchanges` exchanges (a seeker turn and its answer) and in the
    last `skip_last_turns` turns give none: for SynESC the paper removes the first turn and the last two as
    greetings (appendix A), 1 and 2 here. They stay in the history of later contexts, as in the test.

    The id is `<dialogue>#<index of the supporter turn from 0>`.
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


def contexts_at(dialogue: Dialogue, seeker_turns: Collection[int | str]) -> list[Context]:
    """Return the contexts in which the seeker has spoken a wanted number of turns, in order.

    The numbers count from 1 on, and `all` stands for the last context; a dialogue may have fewer turns.
    """
    found = contexts(dialogue)
    wanted = {len(found) if turn == "all" else turn for turn in seeker_turns}
    return [context for number, context in enumerate(found, start=1) if number in wanted]


def draw_evenly(found: Sequence[Context], limit: int, seed: int) -> list[Context]:
    """Draw `limit` contexts (or all, if there are fewer) so that dialogues are covered evenly.

    First comes one context of every dialogue, then a second of every dialogue that has one, and so on. The
    order is seeded and does not depend on that of `found`; a greater limit draws the same ones and more.
    """
    by_id = {context.id: context for context in found}
    by_dialogue: dict[str, list[str]] = {}
    for identity in seeded_order(by_id, seed, "contexts"):
        by_dialogue.setdefault(dialogue_of(identity), []).append(identity)
    dialogues = [by_dialogue[name] for name in seeded_order(by_dialogue, seed, "dialogues")]
    order = [identity for turn in zip_longest(*dialogues) for identity in turn if identity is not None]
    return [by_id[identity] for identity in order[:limit]]


# Gives what is left of a context's messages (nothing where not even the last turn fits), and the number of
# exchanges that were dropped.
Shorten = Callable[[Context], tuple[list[Message], int]]


def draw_fitting(
    found: Sequence[Context], limit: int | None, seed: int, shorten: Shorten
) -> tuple[list[Context], dict[str, int]]:
    """Draw contexts evenly (None: all), and let `shorten` drop the oldest exchanges of each until it fits.

    Returns:
        the contexts that fit, and the counts of what was found, drawn, shortened and dropped.
    """
    drawn = list(found) if limit is None else draw_evenly(found, limit, seed)
    kept: list[Context] = []
    counts = {
        "found": len(found),
        "sampled": len(drawn),
        "dialogues_sampled": len({dialogue_of(context.id) for context in drawn}),
        "shortened": 0,
        "exchanges_dropped": 0,
    }
    for context in sorted(drawn, key=lambda context: natural_key(context.id)):
        left, dropped = shorten(context)
        counts["shortened"] += dropped > 0
        counts["exchanges_dropped"] += dropped
        if left:
            kept.append(context.model_copy(update={"messages": left}))
    return kept, counts | {"too_long": len(drawn) - len(kept), "written": len(kept)}


def chat_messages(dialogue: Dialogue) -> list[Message]:
    """Return a dialogue's turns as chat messages: seeker = user, supporter = assistant."""
    return [Message(role=CHAT_ROLES[turn.role], content=turn.text) for turn in dialogue.turns]
