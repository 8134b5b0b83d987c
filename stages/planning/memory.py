"""Bytes that training and generation need at most, from the shape; none of it was compared with a GPU."""

from dataclasses import dataclass

from stages.planning.shapes import Shape

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
_NF4 = 0.5 + 0.127 / 8  # bytes a weight: 4 bits, and double quantisation's 0.127 bits (QLoRA, section 3)
_ADAM = 16  # bytes a trained parameter: float32 weight, gradient and Adam's two moments


@dataclass(frozen=True)
class Sharing:
    """What several processes share: gradients and moments (ZeRO-2), the weights as well (ZeRO-3, FSDP)."""

    processes: int = 1
    states: bool = False
    weights: bool = False


ALONE = Sharing()


def weight_bytes(shape: Shape, dtype: str, bits: int | None = None) -> float:
    """Bytes of the backbone; with `bits` 4 the layers' matrices are NF4 and the rest stays in `dtype`."""
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
    sharing: Sharing = ALONE,
) -> float:
    """Bytes of a process that trains a LoRA adapter on `tokens` tokens at once (padding included).

    The sum of
    - the weights (`weight_bytes`), shared by the processes with ZeRO-3 and FSDP;
    - 16 bytes a parameter of the adapter, of which 12 (gradient, moments) are shared with ZeRO-2 and 3;
    - activations: with checkpointing the input of every layer, hidden numbers a token and layer, and all of
      one layer; else all of every layer. All of a layer is taken as 8 hidden + 4 inner numbers a token and
      the queries, keys and values (attention's scores are not kept by SDPA);
    - logits: vocabulary numbers a token in `dtype`, once more in float32, their log-softmax and its gradient.
    Not in it: what CUDA, its allocator and the libraries take.
    """
    size = BYTES[dtype]
    weights = weight_bytes(shape, dtype, bits) / (sharing.processes if sharing.weights else 1)
    shared = sharing.processes if sharing.states else 1
    adapter = shape.lora(rank) * (4 + (_ADAM - 4) / shared)
    layer = 8 * shape.hidden + 4 * shape.inner + (shape.heads + 2 * shape.kv_heads) * shape.head
    kept = shape.layers * shape.hidden + layer if checkpointing else shape.layers * layer
    return weights + adapter + tokens * (kept * size + shape.vocabulary * (size + 3 * 4))


def generation_bytes(shape: Shape, dtype: str, rows: int, tokens: int) -> float:
    """Bytes of generating `rows` texts at once with `tokens` tokens, prompt and new ones, in all.

    Weights, keys and values of all tokens, and two float32 copies of the logits of a row's last token.
    """
    cache = shape.cache_bytes(tokens, BYTES[dtype])
    return weight_bytes(shape, dtype) + cache + rows * shape.vocabulary * 2 * 4
