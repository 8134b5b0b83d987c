"""The shape of a backbone and what follows from it: parameters, adapter, cache of keys and values."""

from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field

from stages.records.errors import InputError

FILE = Path(__file__).with_name("shapes.yaml")


class Shape(BaseModel):
    """Sizes of a decoder of Llama's kind: `heads` of `head` numbers, `inner` of the gated layer.

    `tied`: embedding and output share their weights; `bias`: queries, keys and values have one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    layers: int = Field(ge=1)
    hidden: int = Field(ge=1)
    heads: int = Field(ge=1)
    kv_heads: int = Field(ge=1)
    head: int = Field(ge=1)
    inner: int = Field(ge=1)
    vocabulary: int = Field(ge=1)
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
        """Parameters of the matrices of all layers: what every token is multiplied with."""
        return self.layers * sum(inputs * outputs for inputs, outputs in self.linear)

    @property
    def embedding(self) -> int:
        """Parameters of the embedding and of the output, if that is another."""
        return self.vocabulary * self.hidden * (1 if self.tied else 2)

    @property
    def parameters(self) -> int:
        """Matrices, biases, two norms a layer and the last one, embedding and output."""
        biases = (self.heads + 2 * self.kv_heads) * self.head if self.bias else 0
        layer = sum(inputs * outputs for inputs, outputs in self.linear) + biases + 2 * self.hidden
        return self.layers * layer + self.hidden + self.embedding

    def lora(self, rank: int) -> int:
        """Parameters of a LoRA adapter on all matrices: rank x (inputs + outputs) each."""
        return self.layers * sum(rank * (inputs + outputs) for inputs, outputs in self.linear)

    def cache_bytes(self, tokens: int, number_bytes: int) -> int:
        """Bytes of keys and values of so many tokens: 2 x layers x kv_heads x head numbers each."""
        return tokens * 2 * self.layers * self.kv_heads * self.head * number_bytes


def shape_of(backbone: str) -> tuple[Shape, str]:
    """Return the shape of a backbone of conf/backbone/ and where it is from.

    Raises:
        InputError: its shape is not written down.
    """
    known = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    if backbone not in known:
        raise InputError(
            f"no shape of {backbone}; there are {', '.join(known)}", file="stages/planning/shapes.yaml"
        )
    return Shape.model_validate(known[backbone]["shape"]), known[backbone]["source"]
