"""Bytes and seconds: the shape of a backbone, what training, generation and disk need, and how long it takes.

The formulas of bytes are compared with a real model on a CPU in a test, and with no GPU.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.planning.tokens import Work
from selfevolve.policies.gguf import gguf_file, read_header
from selfevolve.runtime.files import read_json, read_text
from selfevolve.runtime.run_record import FILE, RunRecord, read_run_records

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
_NF4 = 0.5 + 0.127 / 8  # bytes a weight: 4 bits, and double quantisation's 0.127 bits (QLoRA, section 3)
_ADAM = 16  # bytes a trained parameter: float32 weight, gradient and Adam's two moments
_CHECKPOINT = 12  # bytes an adapter's parameter in a checkpoint: float32, and Adam's two moments
_WORD = 6  # bytes of an English word and its space
# Operations a number of the matrices and a token: 2 forward, and 2 back to the adapter's inputs, since frozen
# weights have no gradient. DPO adds the reference's forward pass. Checkpointing's repeats do not count.
_TRAINING = {"sft": 4, "dpo": 6}
_SIZES = {
    "layers": "num_hidden_layers",
    "hidden": "hidden_size",
    "heads": "num_attention_heads",
    "inner": "intermediate_size",
    "vocabulary": "vocab_size",
}


class ShapeNotKnown(Exception):  # noqa: N818 - an absence to report, not an error of the program
    """The config.json of a backbone is not at hand, or not like Llama's; the message says which."""


@dataclass(frozen=True)
class Shape:
    """Sizes of a decoder like Llama's; each of its `heads` and `kv_heads` has `head` numbers.

    `inner` is the width of the gated layer; `tied`: embedding and output share weights; `bias`: queries, keys
    and values have one.
    """

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head: int
    inner: int
    vocabulary: int
    tied: bool
    bias: bool

    @property
    def linear(self) -> list[tuple[int, int]]:
        """Inputs and outputs of a layer's matrices: q, k, v, o, gate, up, down."""
        queries, keys = self.heads * self.head, self.kv_heads * self.head
        attention = [(self.hidden, queries), (self.hidden, keys), (self.hidden, keys), (queries, self.hidden)]
        return [*attention, (self.hidden, self.inner), (self.hidden, self.inner), (self.inner, self.hidden)]

    @property
    def matrices(self) -> int:
        """Parameters of the matrices of all layers: every token is multiplied with them."""
        return self.layers * sum(inputs * outputs for inputs, outputs in self.linear)

    @property
    def embedding(self) -> int:
        """Parameters of the embedding; the output has as many."""
        return self.vocabulary * self.hidden

    @property
    def parameters(self) -> int:
        """Matrices, biases, two norms a layer and the last one, embedding and output."""
        biases = (self.heads + 2 * self.kv_heads) * self.head if self.bias else 0
        embeddings = self.embedding * (1 if self.tied else 2)
        return self.matrices + self.layers * (biases + 2 * self.hidden) + self.hidden + embeddings

    def lora(self, rank: int) -> int:
        """Return the parameters of a LoRA adapter on all matrices: rank x (inputs + outputs) each."""
        return self.layers * sum(rank * (inputs + outputs) for inputs, outputs in self.linear)

    def cache_bytes(self, tokens: int, number_bytes: int) -> int:
        """Return the bytes of the keys and values of so many tokens."""
        return tokens * 2 * self.layers * self.kv_heads * self.head * number_bytes


def read_shape(weights: str, revision: str | None) -> Shape:
    """Return the shape of a backbone, from its folder, its GGUF file or the Hub's cache, never the network.

    Raises:
        ShapeNotKnown: nothing of that is there, or it lacks one of Llama's sizes.
    """
    if packed := gguf_file(weights):
        return _shape_in_gguf(packed)
    file: Any = Path(weights, "config.json")
    if not file.is_file():
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError

        try:
            file = try_to_load_from_cache(weights, "config.json", revision=revision)
        except HFValidationError:
            file = None  # a path, and no name of the Hub
        if not isinstance(file, str):
            raise ShapeNotKnown(f"{weights} is neither a folder with a config.json nor in the Hub's cache")
    config = read_json(file)
    if missing := [key for key in _SIZES.values() if not isinstance(config.get(key), int)]:
        raise ShapeNotKnown(f"the config.json of {weights} has no {missing[0]}")
    return shape_of(config)


def _shape_in_gguf(file: Path) -> Shape:
    from transformers import AutoConfig

    if not file.is_file():
        raise ShapeNotKnown(f"{file}: there is no such file")
    read_header(file)  # its messages are those of the stage that will read the file
    return shape_of(AutoConfig.from_pretrained(str(file.parent), gguf_file=file.name).to_dict())


def shape_of(config: Mapping[str, Any]) -> Shape:
    """Return the shape that a config.json with all of Llama's sizes describes."""
    sizes = {name: config[key] for name, key in _SIZES.items()}
    return Shape(
        **sizes,
        kv_heads=config.get("num_key_value_heads") or sizes["heads"],
        head=config.get("head_dim") or sizes["hidden"] // sizes["heads"],
        tied=config.get("tie_word_embeddings", False),
        bias=config.get("attention_bias", config.get("model_type") == "qwen2"),
    )


def weight_bytes(shape: Shape, dtype: str, bits: int | None = None) -> float:
    """Return the bytes of the backbone; with `bits` 4 the matrices are NF4 and the rest stays in `dtype`."""
    if bits is None:
        return shape.parameters * BYTES[dtype]
    return shape.matrices * _NF4 + (shape.parameters - shape.matrices) * BYTES[dtype]


def training_bytes(
    shape: Shape,
    dtype: str,
    tokens: int,
    rank: int,
    *,
    bits: int | None = None,
    checkpointing: bool = True,
    share_states: int = 1,
    share_weights: int = 1,
) -> float:
    """Return the bytes of a process that trains a LoRA adapter on `tokens` tokens at once, padding included.

    The sum of
    - the weights, which `share_weights` processes share (ZeRO-3, FSDP);
    - 16 bytes a parameter of the adapter, 12 of which (gradient, moments) `share_states` processes share;
    - activations: with checkpointing the input of every layer and all of one layer, else all of every layer.
      A layer has 8 hidden + 4 inner numbers a token, and queries, keys and values (SDPA keeps no scores);
    - logits: vocabulary numbers a token in `dtype`, once more in float32, their log-softmax and its gradient.
    """
    size = BYTES[dtype]
    weights = weight_bytes(shape, dtype, bits) / share_weights
    adapter = shape.lora(rank) * (4 + (_ADAM - 4) / share_states)
    layer = 8 * shape.hidden + 4 * shape.inner + (shape.heads + 2 * shape.kv_heads) * shape.head
    kept = shape.layers * shape.hidden + layer if checkpointing else shape.layers * layer
    return weights + adapter + tokens * (kept * size + shape.vocabulary * (size + 3 * 4))


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

    Training: 4 (SFT) or 6 (DPO) operations a number of the layers' matrices and a token, over all cards.
    Generation, on one card: 2 operations, and no less than reading the matrices once for every token of a
    batch of `rows` texts. Attention's scores and the output layer are left out.
    """
    if work.kind in _TRAINING:
        return _TRAINING[work.kind] * shape.matrices * work.tokens / card["flops"] / processes
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
