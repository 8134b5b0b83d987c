"""Messages to token ids, with LLaMA-Factory's own chat templates, so that what a model is asked with is
what it was trained with."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from stages.engines.policy import Policy, load_tokenizer
from stages.records.errors import InputError
from stages.records.schema import Message

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

        Args:
            messages: at most one system message, first; then user and assistant in turn, user last.
            answer: when given, its ids and the end-of-turn token follow.
        """
        system = messages[0].content if messages[0].role == "system" else None
        turns = [{"role": m.role, "content": m.content} for m in messages if m.role != "system"]
        turns.append({"role": "assistant", "content": answer})
        prompt, response = self._template.encode_oneturn(self._remembering, turns, system)
        return prompt + response if answer else prompt

    def jinja(self) -> str:
        """Return the template in Jinja, as servers take it; what it makes ends where the answer begins.

        Raises:
            InputError: LLaMA-Factory has no Jinja for a template of this kind.
        """
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
