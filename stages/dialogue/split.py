"""The split of ESConv into training and test dialogues: held-out profiles where there are any, else 9:1."""

import hashlib
from collections.abc import Iterable, Sequence

from stages.records.errors import InputError
from stages.records.schema import Dialogue


def seeded_order(ids: Iterable[str], seed: int, purpose: str) -> list[str]:
    """Return distinct ids in an order that depends on seed, purpose and the ids alone.

    The order is by SHA-256, so it is the same for any order of the input and any Python version, and a
    dialogue more or less leaves the others in their order.
    """

    def rank(identity: str) -> bytes:
        return hashlib.sha256(f"{purpose}\n{seed}\n{identity}".encode()).digest()

    return sorted(set(ids), key=rank)


def split_by_profile(
    dialogues: Sequence[Dialogue], test_share: float, seed: int
) -> tuple[str, list[Dialogue], list[Dialogue]]:
    """Return (rule, training, test), each side sorted by id.

    Generated dialogues may say in `meta["profile"]["held_out"]` that their combination of facts is kept
    out of training. Then exactly these are the test set, rule "held-out profiles". Where none or all are
    held out it is `split_train_test` (paper, section 3.1), rule "seeded share".

    Raises:
        InputError: as `split_train_test`.
    """
    ordered = sorted(dialogues, key=lambda dialogue: dialogue.id)
    test = [dialogue for dialogue in ordered if _is_held_out(dialogue)]
    if 0 < len(test) < len(ordered):
        return "held-out profiles", [d for d in ordered if not _is_held_out(d)], test
    return "seeded share", *split_train_test(dialogues, test_share, seed)


def _is_held_out(dialogue: Dialogue) -> bool:
    profile = dialogue.meta.get("profile")
    return isinstance(profile, dict) and profile.get("held_out") is True


def split_train_test(
    dialogues: Sequence[Dialogue], test_share: float, seed: int
) -> tuple[list[Dialogue], list[Dialogue]]:
    """Return (training, test) dialogues, each sorted by id.

    The test side gets `test_share` (between 0 and 1) of the dialogues, rounded half up, but each side
    gets at least one.

    Raises:
        InputError: fewer than two dialogues, or a share that is not between 0 and 1.
    """
    if not 0 < test_share < 1:
        raise InputError(f"must lie between 0 and 1, got {test_share}", field="test_share")
    if len(dialogues) < 2:
        raise InputError(
            f"a training and a test split need at least two usable ESConv dialogues, got {len(dialogues)}"
        )
    size = min(max(int(len(dialogues) * test_share + 0.5), 1), len(dialogues) - 1)
    chosen = set(seeded_order((dialogue.id for dialogue in dialogues), seed, "test split")[:size])
    ordered = sorted(dialogues, key=lambda dialogue: dialogue.id)
    return [d for d in ordered if d.id not in chosen], [d for d in ordered if d.id in chosen]


def hold_out(ids: Iterable[str], share: float, seed: int) -> set[str]:
    """Return the ids held back from training for early stopping: `share` of them, but at least one.

    Raises:
        InputError: fewer than two ids, or a share that is not between 0 and 1.
    """
    order = seeded_order(ids, seed, "held back")
    if not 0 < share < 1:
        raise InputError(f"must lie between 0 and 1, got {share}", field="valid_share")
    if len(order) < 2:
        raise InputError(f"at least two dialogues are needed to hold one back, got {len(order)}")
    return set(order[: min(max(int(len(order) * share + 0.5), 1), len(order) - 1)])
