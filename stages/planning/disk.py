"""Bytes on disk that a run leaves or needs: DVC's outputs and cache, scratch, weights."""

from collections.abc import Mapping, Sequence
from typing import Any

from stages.planning.counts import Counts
from stages.planning.memory import BYTES
from stages.planning.shapes import Shape
from stages.planning.work import Work

_WORD_BYTES = 6  # an English word and its space
_ADAPTER_BYTES = 4  # LLaMA-Factory keeps adapters in float32
_CHECKPOINT_BYTES = 12  # a parameter in a checkpoint: float32 adapter and Adam's two moments


def disk_bytes(
    params: Mapping[str, Any], works: Sequence[Work], counts: Counts, shape: Shape, rank: int
) -> dict[str, float]:
    """Return bytes by what they are for.

    - weights: the backbone as it is downloaded, parameters x bytes of its precision;
    - models: one adapter a training, `lora` x 4 bytes, twice, since DVC's cache keeps a copy;
    - data: contexts, answers and pairs as text: (prompt + new tokens) / tokens a word x 6 bytes, twice;
    - scratch: three checkpoints a training (two and the best), `lora` x 12 bytes, and the journals, again the
      text of the answers; with `hardware.training.merge` a merged backbone for every training on adapters.
    """
    adapters = shape.lora(rank)
    trained = [work for work in works if work.kind in ("sft", "dpo")]
    asked = [work for work in works if work.kind not in ("sft", "dpo")]
    text = sum(work.tokens for work in asked) / counts.tokens_a_word * _WORD_BYTES
    new = sum(work.new for work in asked) / counts.tokens_a_word * _WORD_BYTES
    backbone = shape.parameters * BYTES[params["backbone"]["dtype"]]
    on_adapters = [work for work in trained if work.kind == "dpo"]
    merged = len(on_adapters) * backbone if params["hardware"]["training"]["merge"] else 0
    return {
        "weights": backbone,
        "models": 2 * len(trained) * adapters * _ADAPTER_BYTES,
        "data": 2 * text,
        "scratch": 3 * len(trained) * adapters * _CHECKPOINT_BYTES + new + merged,
    }
