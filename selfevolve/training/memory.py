"""What a training needs of a machine's memory, by the backbone's sizes, and whether a machine has it.

A test compares the formulas with a real model on a CPU; they were compared with no GPU.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfevolve.policies.policy import Policy
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import read_json
from selfevolve.training.configuration import Hardware

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
_NF4 = 0.5 + 0.127 / 8  # bytes a weight: 4 bits, and double quantisation's 0.127 bits (QLoRA, section 3)
_ADAM = 16  # bytes a trained parameter: float32 weight, gradient and Adam's two moments
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
    """Return the shape of a backbone, from its folder or the Hub's cache, never the network.

    Raises:
        ShapeNotKnown: nothing of that is there, or it lacks one of Llama's sizes.
    """
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


def step_bytes(
    shape: Shape, dtype: str, arguments: Mapping[str, Any], hardware: Hardware, longest: int
) -> float:
    """Return the bytes that one process of a training needs where all samples of a step are the longest.

    Args:
        shape: of the backbone.
        dtype: of its weights.
        arguments: LLaMA-Factory's, as `method_arguments` makes them.
        hardware: that they were made for.
        longest: tokens of a sample; of a pair, of one of its two answers with the prompt.
    """
    zero, processes = str(arguments.get("deepspeed", "")), hardware.training.processes
    spread = hardware.launch.accelerate_config is not None or "zero3" in zero
    sequences = arguments["per_device_train_batch_size"] * (2 if arguments["stage"] in ("dpo", "rm") else 1)
    return training_bytes(
        shape,
        dtype,
        sequences * longest,
        arguments["lora_rank"],
        bits=arguments.get("quantization_bit"),
        checkpointing=not arguments.get("disable_gradient_checkpointing", False),
        share_states=processes if spread or "zero2" in zero else 1,
        share_weights=processes if spread else 1,
    )


def require_memory(policy: Policy, arguments: Mapping[str, Any], hardware: Hardware, longest: int) -> None:
    """Refuse a training that this machine cannot hold; nothing is said of a backbone of unknown sizes.

    The arguments are those of `step_bytes`.

    Raises:
        InputError: the first GPU, or the machine where there is none, has less memory; with the largest
            `hardware.training.batch` that fits.
    """
    try:
        shape = read_shape(policy.weights, policy.backbone.revision)
    except ShapeNotKnown:
        return
    where, there = memory_there(arguments)
    beside = hardware.training.processes // hardware.launch.nodes if where == "this machine" else 1

    def needed(batch: int) -> float:
        of_batch = {**arguments, "per_device_train_batch_size": batch}
        return beside * step_bytes(shape, policy.backbone.dtype, of_batch, hardware, longest)

    batch = arguments["per_device_train_batch_size"]
    if needed(batch) <= there:
        return
    fits = [smaller for smaller in range(1, batch) if batch % smaller == 0 and needed(smaller) <= there]
    what = f"make it {fits[-1]} (a step keeps its samples)" if fits else "one at a time does not fit either"
    needs = f"{batch} samples of {longest} tokens at once need some {needed(batch) / 1e9:.1f} GB"
    raise InputError(f"{needs}, and {where} has {there / 1e9:.1f}: {what}", field="hardware.training.batch")


def memory_there(arguments: Mapping[str, Any]) -> tuple[str, float]:
    """Return where such a training runs, the first GPU or this machine, and the bytes of memory there."""
    import torch

    if torch.cuda.is_available() and not arguments.get("use_cpu"):
        return "the GPU", float(torch.cuda.get_device_properties(0).total_memory)
    there = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    limit = Path("/sys/fs/cgroup/memory.max")  # of a container
    text = limit.read_text().strip() if limit.is_file() else ""
    return "this machine", min(there, float(text)) if text.isdecimal() else there
