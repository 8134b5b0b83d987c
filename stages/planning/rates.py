"""How long stages take: by rates that were measured, or no shorter than a data sheet allows."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from stages.planning.memory import BYTES
from stages.planning.shapes import Shape
from stages.planning.work import Work

FILE = Path(__file__).with_name("rates.yaml")
# Operations a matrix's number and token: 2 forward, 2 back to the adapter's inputs, for frozen weights have
# no gradient; DPO has a forward of the reference besides. What checkpointing repeats is not necessary.
_TRAINING = {"sft": 4, "dpo": 6}


@dataclass(frozen=True)
class Card:
    """Bytes and floating point operations a second of one graphics card, and where they are said."""

    name: str
    bandwidth: float
    flops: float
    memory: float
    source: str


def measured(backbone: str, hardware: str) -> Mapping[str, Any] | None:
    """Return what was measured of this backbone on this hardware: `kinds`, `others` and `how`; or None."""
    rates = yaml.safe_load(FILE.read_text(encoding="utf-8"))["measured"]
    return rates.get(backbone, {}).get(hardware)


def card(hardware: str) -> Card | None:
    """Return the graphics card whose data sheet bounds this hardware, or None for CPUs."""
    sheets = yaml.safe_load(FILE.read_text(encoding="utf-8"))["sheets"]
    name = sheets["of"].get(hardware)
    return Card(**sheets["cards"][name]) if name else None


def seconds(work: Work, rates: Mapping[str, Any]) -> float | None:
    """Return what a stage takes: as many seconds a token as the same kind of stage took when measured."""
    rate = rates["kinds"].get(work.kind)
    return work.tokens * rate["seconds"] / rate["tokens"] if rate else None


def least_seconds(work: Work, shape: Shape, dtype: str, rows: int, card: Card, processes: int) -> float:
    """Return the seconds below which these cards cannot get the tokens of `work` done: no estimate.

    Training: 4 (SFT) or 6 (DPO) operations a number of the layers' matrices and a token, over all cards.
    Generation, on one card: 2 operations, and no less than reading the matrices once for every token of a
    batch of `rows` texts. Attention's scores and the output layer are left out.
    """
    if work.kind in _TRAINING:
        return _TRAINING[work.kind] * shape.matrices * work.tokens / card.flops / processes
    reading = work.new / rows * shape.matrices * BYTES[dtype] / card.bandwidth
    return max(2 * shape.matrices * work.tokens / card.flops, reading)
