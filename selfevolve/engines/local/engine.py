"""The default engine: transformers in this process, on a GPU where there is one (see README.md)."""

from __future__ import annotations

import sys
from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field

from selfevolve.engines.local.batches import plan, rows_at_once
from selfevolve.engines.local.decoder import Decoder, Work
from selfevolve.engines.local.prefix_index import shared_prefix
from selfevolve.generation.request import Request, Sampling
from selfevolve.policies.policy import LoadedPolicy, load_policy
from selfevolve.policies.window import ChatTemplate, Window
from selfevolve.records.schema import Message, Response
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.parameters import Params

DECODING = 5  # raised whenever texts could change in the last bits of what they are drawn from
NO_MEMORY = ("not enough memory", "can't allocate memory", "bad_alloc")  # how torch says it of a CPU


class Options(Params):
    """Section `engine` for `kind: transformers`; `batch_tokens` bounds rows x (prompt + new tokens)."""

    kind: Literal["transformers"]
    batch_tokens: int = Field(ge=1)


@contextmanager
def open(policy: Path, options: Options) -> Iterator[tuple[TransformersEngine, Window]]:
    """Load a policy folder and give an engine for it, and its window."""
    engine = load(policy, options)
    yield engine, engine.window


def load(policy: Path, options: Options) -> TransformersEngine:
    """Load a policy folder and return an engine for it; nothing has to be closed."""
    return TransformersEngine(load_policy(policy), options.batch_tokens)


class TransformersEngine:
    """Generates in batches of similar length under a token budget.

    The batches follow from the whole list of requests, whatever is done already: floating point sums
    differ in the last bits with the shape of a batch, and a resumed run must be the undisturbed one.
    """

    def __init__(self, loaded: LoadedPolicy, batch_tokens: int):
        """Take a policy in memory; `batch_tokens` bounds rows x (prompt + new tokens) run at once.

        A text ends at the template's end tokens and at those that the model itself names. A template can lack
        one: `llama3` ends at <|eot_id|>, and the model may also write <|end_of_text|>.
        """
        self.model = loaded.digest
        self.settings: dict[str, Any] = {
            "kind": "transformers",
            "dtype": str(loaded.model.dtype).removeprefix("torch."),
            "batch_tokens": batch_tokens,
            "decoding": DECODING,
        }
        self.template = ChatTemplate(loaded.tokenizer, loaded.template)
        more = sorted(set(loaded.end_ids).difference(self.template.stop_ids))
        if more:
            self.settings["more_ends"] = more  # a journal of other ends is not continued
        self.window = Window(self.template, loaded.policy.backbone.window)
        self.halvings = 0
        """How often memory did not suffice for the rows that ran at once."""
        self._decoder = Decoder(loaded.model, [*self.template.stop_ids, *more])
        self._batch_tokens = batch_tokens
        self._fits: int | None = None  # rows, once memory has run out

    def plan(
        self, requests: Sequence[Request], sampling: Sampling, done: Collection[str] = ()
    ) -> list[list[Request]]:
        """Return the batches that are not wholly done, longest prompts first: a lack of memory shows at once.

        Raises:
            InputError: a prompt leaves no room in the window for `max_new_tokens`.
        """
        lengths = {request.id: len(self._prompt(request, sampling)) for request in requests}
        batches = plan(requests, lengths, sampling.max_new_tokens, self._batch_tokens)
        return [batch for batch in batches if not all(request.id in done for request in batch)]

    def answer(
        self, batches: Iterable[Sequence[Request]], sampling: Sampling
    ) -> Generator[list[Response], None, None]:
        """Yield the responses of each batch, in the order of its requests.

        Raises:
            InputError: as for `plan`, or memory does not suffice for a single request.
        """
        for batch in batches:
            yield self._responses(batch, self._write_batch(batch, sampling))

    def stream(self, request: Request, sampling: Sampling) -> Generator[str, None, None]:
        """Yield the text of one request in pieces, as they are made; closing the generator ends the work.

        Raises:
            InputError: as for `plan`, when the first piece is asked for.
        """
        passes = self._write([request], [self._prompt(request, sampling)], 1, sampling)
        tokens = (token for ((_, token),) in passes if token not in self._decoder.stop_ids)
        yield from pieces_of(tokens, self.template)

    def _write_batch(self, batch: Sequence[Request], sampling: Sampling) -> list[list[int]]:
        """Return the tokens of each request; where memory runs out, go on with half as many rows."""
        prompts = [self._prompt(request, sampling) for request in batch]
        written: list[list[int]] = [[] for _ in batch]
        waiting = list(range(len(batch)))
        while waiting:
            asked, read = [batch[n] for n in waiting], [prompts[n] for n in waiting]
            rows = rows_at_once(max(map(len, read)) + sampling.max_new_tokens, self._batch_tokens)
            rows = min(rows, len(read), self._fits or rows)
            try:
                for numbered in self._write(asked, read, rows, sampling):
                    for number, token in numbered:
                        written[waiting[number]].append(token)
                break
            except (RuntimeError, MemoryError) as error:
                if not _is_out_of_memory(error):
                    raise
            waiting = [n for n in waiting if not self._is_whole(written[n], sampling)]
            for number in waiting:
                written[number].clear()
            self._halve(rows, batch[waiting[0]])
        return written

    def _write(
        self, batch: Sequence[Request], prompts: Sequence[list[int]], rows: int, sampling: Sampling
    ) -> Iterator[list[tuple[int, int]]]:
        first = batch[0].messages[0]
        system = [first] if first.role == "system" else []
        opening = self.template.encode([*system, Message(role="user", content=".")])
        seeds = [request.seed for request in batch]
        return self._decoder.write(Work(prompts, seeds, shared_prefix(prompts, opening), sampling), rows)

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
        if len(prompt) + sampling.max_new_tokens > self.window.tokens:
            asked = f"{len(prompt)} prompt tokens and {sampling.max_new_tokens} new ones"
            raise InputError(f"{asked} exceed {self.window.tokens}", record=request.id, field="messages")
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


def pieces_of(tokens: Iterable[int], template: ChatTemplate) -> Iterator[str]:
    """Yield pieces of text as tokens come: together the decoded text, and none ends within a character.

    Half a character is held back, and so is white space, which may be the last.
    """
    seen: list[int] = []
    given = 0
    for token in tokens:
        seen.append(token)
        text = template.decode(seen).rstrip("\ufffd").rstrip()
        if len(text) > given:
            yield text[given:]
            given = len(text)
    if rest := template.decode(seen)[given:]:
        yield rest


def _is_out_of_memory(error: BaseException) -> bool:
    kinds = (MemoryError, torch.OutOfMemoryError)
    return isinstance(error, kinds) or any(words in str(error) for words in NO_MEMORY)
