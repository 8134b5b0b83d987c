"""The loop that writes texts: rows that end make room for others, and one forward pass a token serves all.

Every request draws from its own random stream (see `sampler`), so that its tokens do not depend on who runs
beside it, but for rounding: the sums of a matrix product differ in the last bits with its shape.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from selfevolve.engines.local.attention import (
    Pair,
    Place,
    SlotCache,
    masks_of,
    use_grouped_attention,
    windows_of,
)
from selfevolve.engines.local.packed_linear import pack_linear_layers
from selfevolve.engines.local.prefix_index import PrefixIndex
from selfevolve.engines.local.sampler import Sampler, uniforms

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from selfevolve.generation.request import Sampling

PROMPT_TOKENS = 1024  # tokens of new prompts in one forward pass, if they are not all of one row
REFILL = 8  # new rows are begun when one in so many is free: a pass for each alone would be dear
PREFIXES = 4  # how many shared prefixes are kept


@dataclass(frozen=True)
class Work:
    """Prompts to continue, a seed for each; `prefix` tokens are the same in all of them."""

    prompts: Sequence[Sequence[int]]
    seeds: Sequence[int]
    prefix: int
    sampling: Sampling


class Decoder:
    """Runs a model; keeps the keys and values of the prefixes that were used last."""

    def __init__(self, model: PreTrainedModel, stop_ids: Sequence[int]):
        """Take a model in eval mode; raise InputError if it has layers that cannot be run."""
        self.model = model
        self.stop_ids = frozenset(stop_ids)
        self._windows = windows_of(model.config)
        self._like = torch.empty(0, dtype=model.dtype, device=model.device)
        use_grouped_attention(model)
        pack_linear_layers(model)
        self._prefixes: OrderedDict[tuple[int, ...], list[Pair]] = OrderedDict()
        self._spare: SlotCache | None = None

    def write(self, work: Work, rows: int) -> Iterator[list[tuple[int, int]]]:
        """Yield (number of the prompt, token) for all tokens of each forward pass, stop tokens included.

        A prompt is done when its token is a stop token, or the last of `max_new_tokens`.

        Args:
            work: what to write.
            rows: how many run at once at most.
        """
        prefix = self.prefix(work.prompts[0][: work.prefix]) if work.prefix else None
        # a run that another one interrupts has the spare cache to itself; where one fails, it is let go
        cache, self._spare = SlotCache() if self._spare is None else self._spare, None
        scheduler = Scheduler(self, work, min(rows, len(work.prompts)), cache, prefix)
        while scheduler.waiting or scheduler.running:
            yield scheduler.advance()
        self._spare = cache

    @torch.inference_mode()
    def prefix(self, tokens: Sequence[int]) -> list[Pair]:
        """Return every layer's keys and values of these tokens at the beginning of a row."""
        key = tuple(tokens)
        if key not in self._prefixes:
            cache = SlotCache()
            cache.begin(1, len(tokens))
            self.read(cache, [tokens], 0, [0])
            self._prefixes[key] = cache.stored
            if len(self._prefixes) > PREFIXES:
                self._prefixes.popitem(last=False)
        self._prefixes.move_to_end(key)
        return self._prefixes[key]

    def read(
        self, cache: SlotCache, prompts: Sequence[Sequence[int]], first: int, starts: Sequence[int]
    ) -> torch.Tensor:
        """Read prompts into the slots from `first` on; return the logits after each, (rows, vocabulary).

        Of each prompt the first tokens, as many as `starts` says, are in its slot already.
        """
        device = self.model.device
        own = [prompt[start:] for prompt, start in zip(prompts, starts, strict=True)]
        longest = max(map(len, own))
        ids = torch.tensor([[0] * (longest - len(tokens)) + list(tokens) for tokens in own], device=device)
        ends = torch.tensor([len(prompt) for prompt in prompts], device=device)[:, None]
        columns = ends - longest + torch.arange(longest, device=device)
        real = columns >= torch.tensor(starts, device=device)[:, None]
        slots = first + torch.arange(len(prompts), device=device)[:, None].expand_as(columns)
        width = max(map(len, prompts))
        cache.at = Place(slots[real], columns[real], real, first, len(prompts), width)
        # Padding gets position 0: what attends to nothing would be NaN.
        return self.forward(cache, ids, columns.clamp(min=0))

    def forward(self, cache: SlotCache, ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Run the model once; return the logits of every row's last token, shape (rows, vocabulary).

        Args:
            cache: knows where these tokens go.
            ids: shape (rows, tokens).
            positions: of the tokens, same shape.
        """
        assert cache.at is not None
        output = self.model(
            input_ids=ids,
            position_ids=positions,
            attention_mask=masks_of(self._windows, positions, cache.at.width, self._like),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return output.logits[:, -1]


class Scheduler:
    """Decides which rows run: they stand in the first slots without gaps, and other prompts wait."""

    def __init__(self, decoder: Decoder, work: Work, rows: int, cache: SlotCache, prefix: list[Pair] | None):
        """Let all prompts wait for `rows` slots of the cache, which begin with the prefix."""
        width = max(map(len, work.prompts)) + work.sampling.max_new_tokens
        self.waiting = list(range(len(work.prompts)))
        self.running: list[int] = []
        self._decoder, self._work, self._rows = decoder, work, rows
        self._index = PrefixIndex(work.prompts, work.prefix)
        self._cache = cache
        cache.begin(rows, width, prefix)
        self._sampler = Sampler(work.sampling, rows, decoder.model.device)
        self._uniforms = [uniforms(seed, work.sampling.max_new_tokens) for seed in work.seeds]
        self._written = [0] * len(work.prompts)
        self._last: list[int] = []
        self._beginning = False  # others are to begin before the rows that run go on

    @torch.inference_mode()
    def advance(self) -> list[tuple[int, int]]:
        """Write one token of every row, or the first ones of rows that begin."""
        begun = len(self.running)
        free = self._rows - begun
        if self._beginning or (self.waiting and (not begun or free * REFILL >= self._rows)):
            written = self._draw(self._begin(free), begun)
        else:
            written = self._draw(self._step(), 0)
        if not self._beginning:  # else others may have the beginnings of their prompts from rows that ended
            self._remove_ended()
        return written

    def _begin(self, free: int) -> torch.Tensor:
        """Read the prompts of some rows that begin, what they share with running ones excepted."""
        prompts, first = self._work.prompts, len(self.running)
        nearest = self._choose(free)
        chosen, shared = list(nearest), list(nearest.values())
        starts = [self._work.prefix if near is None else near[1] for near in shared]
        slots = {number: slot for slot, number in enumerate(self.running)}
        for slot, near in enumerate(shared, first):
            if near:
                columns = slice(self._work.prefix, near[1])
                self._cache.copy_columns(slots[near[0]], slot, columns)
        logits = self._decoder.read(self._cache, [prompts[number] for number in chosen], first, starts)
        for slot, number in enumerate(chosen, first):
            self._sampler.begin(slot, prompts[number])
        self.waiting = [number for number in self.waiting if number not in nearest]
        self.running += chosen
        return logits

    def _choose(self, free: int) -> dict[int, tuple[int, int] | None]:
        """Choose who begins in one forward pass, and whom each has its first tokens from (see `nearest`).

        They are prompts with about as many tokens to read. One that shares more with another that waits than
        with those that run begins after that one.
        """
        running, ahead = self._index.places(self.running), self._index.places([])
        longest, looked = 0, 0
        ready: list[tuple[int, int, tuple[int, int] | None]] = []
        for number in self.waiting[:free]:
            looked += 1
            near, before = self._index.nearest(number, running), self._index.nearest(number, ahead)
            start = near[1] if near else self._work.prefix
            if before is None or before[1] <= start:
                own = len(self._work.prompts[number]) - start
                self._index.insert(number, ahead)
                ready.append((own, number, near))
                longest = max(longest, own)
            if len(ready) * longest >= PROMPT_TOKENS:
                break
        ready.sort(key=lambda entry: -entry[0])
        chosen = {
            number: near
            for count, (own, number, near) in enumerate(ready, 1)
            if count == 1 or (count * longest <= PROMPT_TOKENS and 2 * own >= longest)
        }
        self._beginning = looked > len(chosen)
        return chosen

    def _step(self) -> torch.Tensor:
        device = self._decoder.model.device
        rows = torch.arange(len(self.running), device=device)
        at = [len(self._work.prompts[number]) + self._written[number] - 1 for number in self.running]
        columns, width = torch.tensor(at, device=device), max(at) + 1
        self._cache.at = Place(rows, columns, None, 0, len(rows), width)
        ids = torch.tensor(self._last, device=device)[:, None]
        return self._decoder.forward(self._cache, ids, columns[:, None])

    def _draw(self, logits: torch.Tensor, first: int) -> list[tuple[int, int]]:
        """Draw the tokens of the rows from slot `first` on."""
        numbers = self.running[first:]
        drawn = [self._uniforms[number][self._written[number]] for number in numbers]
        tokens = self._sampler.next_tokens(logits, drawn, first)
        self._last[first:] = tokens
        for number in numbers:
            self._written[number] += 1
        return list(zip(numbers, tokens, strict=True))

    def _remove_ended(self) -> None:
        """Let the rows that have ended go; the last row takes the place of each."""
        for slot in range(len(self.running) - 1, -1, -1):
            whole = self._written[self.running[slot]] == self._work.sampling.max_new_tokens
            if not whole and self._last[slot] not in self._decoder.stop_ids:
                continue
            last = len(self.running) - 1
            number, token = self.running.pop(), self._last.pop()
            if slot < last:
                end = len(self._work.prompts[number]) + self._written[number]
                self._cache.copy_columns(last, slot, slice(self._work.prefix, end))
                self._sampler.move(last, slot)
                self.running[slot], self._last[slot] = number, token
