"""Phase 1's samples: dialogues and replayed Alpaca items, cut where they are longer than a sample may be."""

import random
from collections.abc import Callable, Sequence
from typing import TypeVar

from selfevolve.data.contexts import chat_messages
from selfevolve.data.corpus import AlpacaItem
from selfevolve.records.schema import Conversation, Dialogue, Message, sharegpt

T = TypeVar("T")

# Cuts a conversation, given its system message, into pieces that fit; counts exchanges that fit in none.
Cut = Callable[[Sequence[Message], str], tuple[list[list[Message]], int]]


def draw(found: Sequence[T], count: int | None, seed: int) -> list[T]:
    """Return `count` of the values, or all if there are fewer; None means all, in their order."""
    return list(found) if count is None else random.Random(seed).sample(found, min(count, len(found)))


def sft_samples(
    dialogues: Sequence[Dialogue], held_back: set[str], items: Sequence[AlpacaItem], system: str, cut: Cut
) -> tuple[dict[str, list[Conversation]], dict[str, int]]:
    """Make the samples of phase 1, `train` and `valid`, and count them and what was cut.

    Every supporter turn is in exactly one of them (L_SFT, equation 2). Dialogues of the ids `held_back` are
    for early stopping; Alpaca's items are for training alone, without a system message.
    """
    samples: dict[str, list[Conversation]] = {"train": [], "valid": []}
    counts = {"continued_samples": 0, "exchanges_too_long": 0}
    sources = [
        ("valid" if dialogue.id in held_back else "train", dialogue.id, chat_messages(dialogue), system)
        for dialogue in dialogues
    ]
    sources += [("train", item.id, item.messages(), "") for item in items]
    for part, identity, messages, instruction in sources:
        pieces, too_long = cut(messages, instruction)
        counts["exchanges_too_long"] += too_long
        counts["continued_samples"] += max(0, len(pieces) - 1)
        samples[part] += [
            Conversation(id=f"{identity}#{number}", system=instruction, conversations=sharegpt(piece))
            for number, piece in enumerate(pieces)
        ]
    return samples, counts | {name: len(records) for name, records in samples.items()}
