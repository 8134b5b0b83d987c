"""Messages to token ids, and prompts that fit the model's window.

LLaMA-Factory provides the chat templates, so that a model is asked as it was trained. It keeps the head of
what is too long and so loses the last turns; here the oldest exchanges go, and callers count them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from selfevolve.policies.policy import Policy, load_tokenizer
from selfevolve.records.schema import Message
from selfevolve.runtime.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

REMEMBERED = 8192  # texts whose ids are kept: instructions and turns come again and again


class ChatTemplate:
    """A tokenizer with the chat template that LLaMA-Factory trains it with."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, name: str):
        """Take a tokenizer and LLaMA-Factory's name of a template; raise InputError if there is none."""
        os.environ.setdefault("LLAMAFACTORY_VERBOSITY", "WARN")  # read when it is imported
        from llamafactory.data.template import TEMPLATES, get_template_and_fix_tokenizer
        from llamafactory.hparams import DataArguments

        if name not in TEMPLATES:
            raise InputError(f"LLaMA-Factory has no chat template named {name!r}")
        self.tokenizer = tokenizer
        self.name = name
        self._template = get_template_and_fix_tokenizer(tokenizer, DataArguments(template=name))
        self.stop_ids: list[int] = sorted(self._template.get_stop_token_ids(tokenizer))
        self._remembering: Any = _Remembering(tokenizer)

    @classmethod
    def of(cls, policy: Policy) -> ChatTemplate:
        """Load the tokenizer and template of a policy."""
        return cls(load_tokenizer(policy), policy.backbone.template)

    def encode(self, messages: Sequence[Message], answer: str = "") -> list[int]:
        """Return the token ids of a prompt, up to where the assistant's answer begins.

        There may be a system message, first; then user and assistant in turn, user last. Of an `answer`, its
        ids and the end-of-turn token follow.
        """
        system = messages[0].content if messages[0].role == "system" else None
        turns = [{"role": m.role, "content": m.content} for m in messages if m.role != "system"]
        turns.append({"role": "assistant", "content": answer})
        prompt, response = self._template.encode_oneturn(self._remembering, turns, system)
        return prompt + response if answer else prompt

    def count(self, text: str) -> int:
        """Return the number of tokens of a text by itself."""
        return len(self.tokenizer.encode(text, add_special_tokens=False))

    def jinja(self) -> str:
        """Return the template in Jinja, as servers take it; InputError if LLaMA-Factory has none."""
        try:
            return self._template._get_jinja_template(self.tokenizer)
        except ValueError as error:
            message = f"LLaMA-Factory cannot give the chat template {self.name!r} to a server: {error}"
            raise InputError(message) from None

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of generated ids without special tokens and outer white space."""
        return self.decode_all([ids])[0]

    def decode_all(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """Return the texts of many rows of ids, as `decode` does of one."""
        texts = self.tokenizer.batch_decode([list(row) for row in rows], skip_special_tokens=True)
        return [text.strip() for text in texts]


class _Remembering:
    """A tokenizer that remembers the ids of texts, each of which stands in the prompt by itself."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase):
        self._tokenizer = tokenizer
        self._ids = lru_cache(REMEMBERED)(
            lambda text: tuple(tokenizer.encode(text, add_special_tokens=False))
        )

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        assert not add_special_tokens
        return list(self._ids(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)


@dataclass(frozen=True)
class Fitted:
    """What is left of a dialogue, the prompt made of it, and how many exchanges were dropped.

    Where not even the last turn fits, that turn is left and `fits` is False.
    """

    turns: list[Message]
    prompt: list[Message]
    dropped: int
    fits: bool


@dataclass(frozen=True)
class Window:
    """How many tokens a policy can take, and the chat template that counts them."""

    template: ChatTemplate
    tokens: int

    @classmethod
    def of(cls, policy: Policy) -> Window:
        """Load the tokenizer of a policy."""
        return cls(ChatTemplate.of(policy), policy.backbone.window)

    def fit(
        self, turns: Sequence[Message], build: Callable[[list[Message]], list[Message]], reserved: int
    ) -> Fitted:
        """Drop the oldest exchanges of a dialogue until the prompt made of it leaves room for the answer.

        In `turns` user and assistant speak in turn, user first and last; `build` makes the whole prompt of
        them. `reserved` are the tokens of the window that the prompt may not take.
        """
        first = 0
        while True:
            left = list(turns[first:])
            prompt = build(left)
            fits = len(self.template.encode(prompt)) <= self.tokens - reserved
            if fits or len(left) == 1:
                return Fitted(left, prompt, first // 2, fits)
            first += 2


def split_conversation(
    messages: Sequence[Message], system: str, template: ChatTemplate, budget: int
) -> tuple[list[list[Message]], int]:
    """Cut a conversation into pieces that fit, so that every assistant turn is in exactly one of them.

    User and assistant speak in turn, the user first. `budget` is the most tokens of a piece, its system
    message and answers included. Returned with the pieces is the number of exchanges that do not fit alone.
    """
    pieces: list[list[Message]] = []
    piece: list[Message] = []
    lost = 0
    for first in range(0, len(messages), 2):
        exchange = list(messages[first : first + 2])
        if piece and _length(piece + exchange, system, template) <= budget:
            piece += exchange
            continue
        if piece:
            pieces.append(piece)
        fits = _length(exchange, system, template) <= budget
        lost += not fits
        piece = exchange if fits else []
    return [*pieces, piece] if piece else pieces, lost


def _length(messages: list[Message], system: str, template: ChatTemplate) -> int:
    head = [Message(role="system", content=system)] if system else []
    return len(template.encode([*head, *messages[:-1]], answer=messages[-1].content))
