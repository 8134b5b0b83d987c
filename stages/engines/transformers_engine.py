"""The default engine: transformers in this process, on a GPU where there is one."""

from __future__ import annotations

import sys
from collections.abc import Collection, Generator, Iterator, Sequence
from typing import Any

import torch

from stages.engines.batches import plan, rows_at_once
from stages.engines.decoding import Decoder, Work
from stages.engines.policy import LoadedPolicy
from stages.engines.request import Request, Sampling
from stages.engines.sharing import shared_prefix
from stages.engines.template import ChatTemplate
from stages.records.errors import InputError
from stages.records.schema import Message, Response

DECODING = 3  # raised whenever texts could change in the last bits of what they are drawn from
NO_MEMORY = ("not enough memory", "can't allocate memory", "bad_alloc")  # how torch says it of a CPU


class TransformersEngine:
    """Generates in batches of similar length under a token budget.

    The batches follow from the whole list of requests, whatever is done already: floating point sums
    differ in the last bits with the shape of a batch, and a resumed run must be the undisturbed one.
    """

    def __init__(self, loaded: LoadedPolicy, batch_tokens: int):
        """Take a policy in memory; `batch_tokens` bounds rows x (prompt + new tokens) run at once."""
        if batch_tokens < 1:
            raise InputError(f"must be at least 1, got {batch_tokens}", field="engine.batch_tokens")
        self.model = loaded.digest
        self.template = ChatTemplate(loaded.tokenizer, loaded.template)
        self.halvings = 0
        """How often memory did not suffice for the rows that ran at once."""
        self._decoder = Decoder(loaded.model, self.template.stop_ids)
        self._window = loaded.policy.backbone.window
        self._batch_tokens = batch_tokens
        self._fits: int | None = None  # rows, once memory has run out

    def describe(self) -> dict[str, Any]:
        """Return the engine's kind, number format, batch budget and way of decoding."""
        dtype = str(self._decoder.model.dtype).removeprefix("torch.")
        return {
            "kind": "transformers",
            "dtype": dtype,
            "batch_tokens": self._batch_tokens,
            "decoding": DECODING,
        }

    def batches(self, requests: Sequence[Request], sampling: Sampling) -> list[list[Request]]:
        """Return the plan, longest prompts first: if memory does not suffice, it shows at once.

        Raises:
            InputError: a prompt leaves no room in the window for `max_new_tokens`.
        """
        lengths = {request.id: len(self._prompt(request, sampling)) for request in requests}
        return plan(requests, lengths, sampling.max_new_tokens, self._batch_tokens)

    def answer(self, batch: Sequence[Request], sampling: Sampling) -> list[Response]:
        """Write one batch; one response a request, in their order.

        Raises:
            InputError: as for `batches`, or memory does not suffice for a single one.
        """
        prompts = [self._prompt(request, sampling) for request in batch]
        written: list[list[int]] = [[] for _ in batch]
        waiting = list(range(len(batch)))
        while waiting:
            rows = self._rows([prompts[number] for number in waiting], sampling)
            try:
                for numbered in self._write(
                    [batch[n] for n in waiting], [prompts[n] for n in waiting], rows, sampling
                ):
                    for number, token in numbered:
                        written[waiting[number]].append(token)
                break
            except (RuntimeError, MemoryError) as error:
                if not _is_out_of_memory(error):
                    raise
            waiting = [number for number in waiting if not self._is_whole(written[number], sampling)]
            for number in waiting:
                written[number].clear()
            self._halve(rows, batch[waiting[0]])
        return self._responses(batch, written)

    def complete(
        self, requests: Sequence[Request], sampling: Sampling, done: Collection[str]
    ) -> Generator[list[Response], None, None]:
        """Yield the answers of every batch of the plan that is not wholly in `done` (ids).

        Raises:
            InputError: as for `answer`.
        """
        for batch in self.batches(requests, sampling):
            if not all(request.id in done for request in batch):
                yield self.answer(batch, sampling)

    def stream(self, request: Request, sampling: Sampling) -> Generator[str, None, None]:
        """Yield the text of one request in pieces, as they are made; closing the generator ends the work.

        Raises:
            InputError: as for `batches`, when the first piece is asked for.
        """
        prompt = self._prompt(request, sampling)
        pieces = Pieces(self.template)
        for numbered in self._write([request], [prompt], 1, sampling):
            ((_, token),) = numbered
            if token not in self._decoder.stop_ids and (piece := pieces.add(token)):
                yield piece
        if piece := pieces.rest():
            yield piece

    def _write(
        self, batch: Sequence[Request], prompts: Sequence[list[int]], rows: int, sampling: Sampling
    ) -> Iterator[list[tuple[int, int]]]:
        first = batch[0].messages[0]
        system = [first] if first.role == "system" else []
        opening = self.template.encode([*system, Message(role="user", content=".")])
        prefix = shared_prefix(prompts, opening)
        seeds = [request.seed for request in batch]
        return self._decoder.write(Work(prompts, seeds, prefix, sampling), rows)

    def _rows(self, prompts: Sequence[list[int]], sampling: Sampling) -> int:
        rows = rows_at_once(max(map(len, prompts)) + sampling.max_new_tokens, self._batch_tokens)
        return min(rows, len(prompts), self._fits or rows)

    def _halve(self, rows: int, request: Request) -> None:
        if rows == 1:
            raise InputError("memory does not suffice for this request alone", record=request.id)
        if not self.halvings:
            print(f"memory does not suffice for {rows} rows: going on with half of them", file=sys.stderr)
        self.halvings += 1
        self._fits = rows // 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _is_whole(self, tokens: list[int], sampling: Sampling) -> bool:
        return len(tokens) == sampling.max_new_tokens or bool(tokens and tokens[-1] in self._decoder.stop_ids)

    def _prompt(self, request: Request, sampling: Sampling) -> list[int]:
        prompt = self.template.encode(request.messages)
        if len(prompt) + sampling.max_new_tokens > self._window:
            message = (
                f"{len(prompt)} prompt tokens and {sampling.max_new_tokens} new ones exceed {self._window}"
            )
            raise InputError(message, record=request.id, field="messages")
        return prompt

    def _responses(self, batch: Sequence[Request], written: Sequence[list[int]]) -> list[Response]:
        stopped = [tokens[-1] in self._decoder.stop_ids for tokens in written]
        ended = zip(written, stopped, strict=True)
        texts = self.template.decode_all([tokens[:-1] if stop else tokens for tokens, stop in ended])
        return [
            Response(
                id=request.id,
                text=text,
                finish_reason="stop" if stop else "length",
                attempt=request.attempt,
                model=self.model,
            )
            for request, text, stop in zip(batch, texts, stopped, strict=True)
        ]


class Pieces:
    """Tokens to pieces of text that end with whole characters; together they are the decoded text."""

    def __init__(self, template: ChatTemplate):
        """Take the template that decodes."""
        self._template = template
        self._tokens: list[int] = []
        self._given = 0

    def add(self, token: int) -> str:
        """Return what one more token makes certain: not half a character, nor space that may be the last."""
        self._tokens.append(token)
        text = self._template.decode(self._tokens).rstrip("\ufffd").rstrip()
        return self._next(text)

    def rest(self) -> str:
        """Return what has been held back."""
        return self._next(self._template.decode(self._tokens))

    def _next(self, text: str) -> str:
        piece = text[self._given :]
        self._given += len(piece)
        return piece


def _is_out_of_memory(error: BaseException) -> bool:
    kinds = (MemoryError, torch.OutOfMemoryError)
    return isinstance(error, kinds) or any(words in str(error) for words in NO_MEMORY)
