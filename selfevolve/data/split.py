"""Which dialogues are for training, test and early stopping, and which part of them an iteration gets.

Everything here depends on the ids and the seed alone.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from selfevolve.records.schema import Dialogue
from selfevolve.runtime.errors import InputError


def seeded_order(ids: Iterable[str], seed: int, purpose: str) -> list[str]:
    """Return distinct ids in an order that depends on seed, purpose and the ids alone.

    It is by SHA-256: a dialogue more or less leaves the others in their order.
    """

    def rank(identity: str) -> bytes:
        return hashlib.sha256(f"{purpose}\n{seed}\n{identity}".encode()).digest()

    return sorted(set(ids), key=rank)


@dataclass(frozen=True)
class Split:
    """Training and test dialogues, each sorted by id, and the name of the rule that split them."""

    rule: str
    train: list[Dialogue]
    test: list[Dialogue]


def split_dialogues(dialogues: Sequence[Dialogue], test_share: float, seed: int) -> Split:
    """Split dialogues into training and test; raises InputError for fewer than two.

    Generated dialogues may say in `meta["profile"]["held_out"]` that their combination of facts is kept
    out of training. Then exactly these are the test set, rule "held-out profiles". Where none or all are
    held out, the test set is a seeded share (paper, section 3.1), rule "seeded share", rounded half up, but
    neither set is empty.
    """
    rule, test = "held-out profiles", {dialogue.id for dialogue in dialogues if _is_held_out(dialogue)}
    if not 0 < len(test) < len(dialogues):
        if len(dialogues) < 2:
            message = "a training and a test split need at least two usable ESConv dialogues"
            raise InputError(f"{message}, got {len(dialogues)}")
        rule = "seeded share"
        test = _share(seeded_order((d.id for d in dialogues), seed, "test split"), test_share)
    ordered = sorted(dialogues, key=lambda dialogue: dialogue.id)
    return Split(rule, [d for d in ordered if d.id not in test], [d for d in ordered if d.id in test])


def hold_out(ids: Iterable[str], share: float, seed: int) -> set[str]:
    """Return the ids held back from training for early stopping: a share below 1, but at least one."""
    order = seeded_order(ids, seed, "held back")
    if len(order) < 2:
        raise InputError(f"at least two dialogues are needed to hold one back, got {len(order)}")
    return _share(order, share)


def split_parts(ids: Iterable[str], parts: int, seed: int, file: object = None) -> list[list[str]]:
    """Return `parts` disjoint lists of ids, one an iteration, each sorted; sizes differ by one at most.

    Parts are of dialogues, so that no two iterations see contexts of the same one (appendix B.1 splits the
    data in two parts). `file` is where the dialogues come from, for the error.
    """
    order = seeded_order(ids, seed, "parts")
    if len(order) < parts:
        message = f"{len(order)} dialogues cannot be split into {parts} parts, one an iteration"
        raise InputError(message, file=file)
    return [sorted(order[part::parts]) for part in range(parts)]


def _is_held_out(dialogue: Dialogue) -> bool:
    profile = dialogue.meta.get("profile")
    return isinstance(profile, dict) and profile.get("held_out") is True


def _share(order: Sequence[str], share: float) -> set[str]:
    """Return the first ids: a share, rounded half up, that takes at least one and leaves at least one."""
    return set(order[: min(max(int(len(order) * share + 0.5), 1), len(order) - 1)])
