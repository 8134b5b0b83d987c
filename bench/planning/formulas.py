"""Bytes and seconds: what generation and disk need, and how long a run takes at least.

What a training needs is in selfevolve/training/memory.py.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.planning.tokens import Work
from selfevolve.policies.gguf import gguf_file, read_header
from selfevolve.runtime.files import read_text
from selfevolve.runtime.run_record import FILE, RunRecord, read_run_records
from selfevolve.training.memory import BYTES, Shape, ShapeNotKnown, read_shape, shape_of, weight_bytes

_CHECKPOINT = 12  # bytes an adapter's parameter in a checkpoint: float32, and Adam's two moments
_WORD = 6  # bytes of an English word and its space
# Operations a number of the matrices and a token: 2 forward, and 2 back to the adapter's inputs, since frozen
# weights have no gradient. A reference adds a forward pass. Checkpointing's repeats do not count.
_TRAINING, _REFERENCE = 4, 2


def planned_shape(weights: str, revision: str | None) -> Shape:
    """Return the shape of a backbone as `read_shape` does, or that of a GGUF file that the run will read."""
    file = gguf_file(weights)
    return _shape_in_gguf(file) if file else read_shape(weights, revision)


def _shape_in_gguf(file: Path) -> Shape:
    from transformers import AutoConfig

    if not file.is_file():
        raise ShapeNotKnown(f"{file}: there is no such file")
    read_header(file)  # its messages are those of the stage that will read the file
    return shape_of(AutoConfig.from_pretrained(str(file.parent), gguf_file=file.name).to_dict())


def generation_bytes(shape: Shape, dtype: str, rows: int, tokens: int) -> float:
    """Return the bytes of generating `rows` texts at once that have `tokens` tokens in all, prompts included.

    Weights, keys and values of all tokens, and two float32 copies of the logits of a row's last token.
    """
    cache = shape.cache_bytes(tokens, BYTES[dtype])
    return weight_bytes(shape, dtype) + cache + rows * shape.vocabulary * 2 * 4


def disk_bytes(
    works: Sequence[Work], tokens_a_word: float, shape: Shape, dtype: str, rank: int, merge: bool
) -> dict[str, float]:
    """Return the bytes on disk by what they are for.

    - weights: the backbone as it is downloaded;
    - models, data: float32 adapters; contexts, answers and pairs as text; twice each, since DVC keeps a copy;
    - scratch: three checkpoints a training (two and the best), the answers once more in the journals, and
      with `merge` a merged backbone for every training on adapters.
    """
    kinds = [work.kind for work in works]
    trained, on_adapters = kinds.count("sft") + kinds.count("dpo"), kinds.count("dpo")
    asked = [work for work in works if work.kind in ("respond", "refine")]
    text = sum(work.tokens for work in asked) / tokens_a_word * _WORD
    answers = sum(work.new for work in asked) / tokens_a_word * _WORD
    weights, adapter = weight_bytes(shape, dtype), shape.lora(rank)
    scratch = 3 * trained * adapter * _CHECKPOINT + answers + merge * on_adapters * weights
    return {"weights": weights, "models": 2 * trained * adapter * 4, "data": 2 * text, "scratch": scratch}


def least_seconds(
    work: Work, shape: Shape, dtype: str, rows: int, card: Mapping[str, Any], processes: int
) -> float:
    """Return the seconds below which these cards cannot get the tokens of `work` done; it is no estimate.

    Training: 4 operations a number of the layers' matrices and a token, 6 with a reference, over all cards.
    Generation, on one card: 2 operations, and no less than reading the matrices once for every token of a
    batch of `rows` texts. Attention's scores and the output layer are left out.
    """
    if work.kind in ("sft", "dpo"):
        operations = _TRAINING + _REFERENCE * work.reference
        return operations * shape.matrices * work.tokens / card["flops"] / processes
    reading = work.new / rows * shape.matrices * BYTES[dtype] / card["bandwidth"]
    return max(2 * shape.matrices * work.tokens / card["flops"], reading)


def actual_seconds(metrics: Path) -> dict[str, float]:
    """Return the seconds of every stage's last run, by DVC's name of it, if its files still lie there."""
    file = metrics / FILE
    records = read_run_records(read_text(file), str(file)) if file.is_file() else []
    last = {record.stage: record for record in records}
    return {stage: record.seconds for stage, record in last.items() if _lies_there(record, metrics.parent)}


def _lies_there(record: RunRecord, root: Path) -> bool:
    return all(
        (root / path).is_file()
        and hashlib.md5((root / path).read_bytes(), usedforsecurity=False).hexdigest() == digest
        for path, digest in record.outputs.items()
    )
