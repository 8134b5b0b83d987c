"""Replay: part of an iteration's training pairs give way to pairs of earlier iterations.

Each iteration learns from what the model says to new contexts alone, and nothing holds what earlier ones
taught. Replayed pairs do, at the price of as many new ones: the number of pairs, and with it the training,
stays as long.
"""

from collections.abc import Sequence

from selfevolve.data.split import seeded_order
from selfevolve.records.jsonl import dialogue_of
from selfevolve.records.schema import Preference


def replay(
    train: Sequence[Preference],
    valid: Sequence[Preference],
    earlier: Sequence[Sequence[Preference]],
    share: float,
    seed: int,
) -> tuple[list[Preference], dict[str, int]]:
    """Put pairs that earlier iterations were trained on in the place of a share of this iteration's.

    A context occurs once. Pairs of dialogues that this iteration holds back are not replayed, nor are those
    that an earlier one held back, which are none of `earlier`.

    Args:
        train: this iteration's pairs for training.
        valid: those that it holds back.
        earlier: the training pairs of each earlier iteration, the oldest first. Of a context that occurs in
            several of them the last one counts.
        share: of the training pairs, from 0 to below 1.
        seed: of the draws.

    Returns:
        the training pairs, as many as before; and `wanted`, how many replayed pairs the share asks for,
        `available`, how many there are, and `replayed`, how many were taken.
    """
    held_back = {dialogue_of(pair.id) for pair in valid}
    pool = {pair.id: pair for pairs in earlier for pair in pairs if dialogue_of(pair.id) not in held_back}
    own = {pair.id: pair for pair in train}
    wanted = round(share * len(own))
    order = seeded_order(own, seed, "kept beside replayed pairs")
    kept = order[: len(own) - wanted]
    drawn = seeded_order(pool.keys() - set(kept), seed, "replayed pairs")[:wanted]
    # Where too few are there, this iteration's own fill the rest.
    kept += [identity for identity in order[len(kept) :] if identity not in drawn][: wanted - len(drawn)]
    mixed = [own[identity] for identity in kept] + [pool[identity] for identity in drawn]
    return mixed, {"wanted": wanted, "available": len(pool), "replayed": len(drawn)}
