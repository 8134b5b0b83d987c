"""Writing tokens on one device: how long it takes, and how long the memory alone would take."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch

from stages.benching.device import timed
from stages.records.schema import Message

WORDS = ("work", "sleep", "sister", "exam", "money", "friend", "alone", "move", "angry", "quiet", "home")

Writer = Callable[[int, int], None]
"""Writes that many tokens (second) of every prompt of a round (first), and raises if it wrote others."""


@dataclass(frozen=True)
class Texts:
    """What is written at once: `rows` texts of `new` tokens, each after `prompt` tokens."""

    rows: int
    prompt: int
    new: int


def conversations(
    encode: Callable[[list[Message]], list[int]], rows: int, tokens: int, seed: int
) -> list[list[Message]]:
    """Return prompts that are all of one length, the least from `tokens` on; another seed, other prompts."""
    words = [WORDS[0]]
    while len(encode(_message(words))) < tokens:
        words.append(WORDS[len(words) % len(WORDS)])
    draw = random.Random(seed)
    return [_message([words[0], *draw.sample(words[1:], len(words) - 1)]) for _ in range(rows)]


def bytes_read(texts: Texts, weights: int, token: int) -> int:
    """Return the least bytes that all steps but the first read: weights once a step, and the cache.

    The first token comes of reading the prompts, which arithmetic bounds. Step i of the others, from 1 on,
    attends to prompt + i tokens of each row.

    Args:
        texts: what is written.
        weights: bytes of the weights that a step reads.
        token: bytes of one token's keys and values, over all layers.
    """
    steps = texts.new - 1
    attended = steps * texts.prompt + steps * (steps + 1) // 2
    return steps * weights + texts.rows * attended * token


def read_each_step(model: Any) -> int:
    """Return the bytes of all weights, less an embedding that is not the output too: it is not read whole."""
    total = sum(p.numel() * p.element_size() for p in model.parameters())
    embedding, output = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    apart = embedding.data_ptr() != output.data_ptr()
    return total - apart * embedding.numel() * embedding.element_size()


def measure(write: Writer, texts: Texts, device: str, rounds: int) -> dict[str, Any]:
    """Time whole texts and their first tokens alone, in turn, with new prompts each round; medians.

    `median_s` is of whole texts; `decode_s` is less the first tokens, that is less reading the prompts.
    """
    whole, first = [], []
    for number in range(-1, rounds):  # the first warms up
        seconds = [
            timed(lambda n=number, new=new: write(n + 1, new), device)  # type: ignore[misc]
            for new in (1, texts.new)
        ]
        if number >= 0:
            first.append(seconds[0])
            whole.append(seconds[1])
    decode_s = median(whole) - median(first)
    tokens = texts.rows * texts.new
    return {
        "median_s": median(whole),
        "first_s": median(first),
        "decode_s": decode_s,
        "tokens": tokens,
        "tokens_s": tokens / median(whole),
        "decode_tokens_s": texts.rows * (texts.new - 1) / decode_s if decode_s > 0 else None,
        "prompt_tokens": texts.prompt,
    }


def generate(model: Any, prompts: Sequence[Sequence[int]], new: int, **sampling: Any) -> None:
    """Write with `model.generate` and nothing else, prompts of one length; raise ValueError if a text ended.

    Args:
        model: without an end-of-text token, so that nothing ends early.
        prompts: token ids, all of the same length.
        new: tokens to write.
        sampling: generate's own names.
    """
    ids = torch.tensor(prompts, device=model.device)
    with torch.inference_mode():
        output = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=new, do_sample=True, **sampling
        )
    if output.shape[1] != ids.shape[1] + new:
        raise ValueError(f"generate wrote {output.shape[1] - ids.shape[1]} tokens, not {new}")


def cache_bytes(config: Any, number: int) -> int:
    """Return the bytes of one token's keys and values in all layers, `number` bytes each number."""
    return 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * number


def _message(words: Sequence[str]) -> list[Message]:
    return [Message(role="user", content=" ".join(words))]
