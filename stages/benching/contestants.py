"""Who is compared in one process: the engine, `model.generate` one by one, and in batches of a fixed size.

All of them sample by stages.engines.sampler with the request's own seed, so they write the same tokens: the
comparison is of how the work is organised. This room imports `engines`, since that is what it measures.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stages.benching.rounds import Contestant
from stages.engines.generate import generate
from stages.engines.policy import LoadedPolicy
from stages.engines.request import Request, Sampling
from stages.engines.sampler import SeededSampler
from stages.engines.template import ChatTemplate
from stages.engines.transformers_engine import TransformersEngine


def engine_of(loaded: LoadedPolicy, batch_tokens: int) -> TransformersEngine:
    """Return the engine that is measured, fresh: nothing of an earlier round is remembered."""
    return TransformersEngine(loaded, batch_tokens)


def ours(
    loaded: LoadedPolicy, requests: Sequence[Request], sampling: Sampling, batch_tokens: int
) -> Contestant:
    """Return the engine as a contestant, tokenisation and planning included."""

    def write() -> Mapping[str, int]:
        engine = engine_of(loaded, batch_tokens)
        texts = {r.id: r.text for batch in engine.complete(requests, sampling, ()) for r in batch}
        return lengths(loaded, texts)

    return write


def in_batches(
    loaded: LoadedPolicy, requests: Sequence[Request], sampling: Sampling, size: int
) -> Contestant:
    """Return `model.generate` on `size` requests at a time, in the order of the list."""

    def write() -> Mapping[str, int]:
        template = ChatTemplate(loaded.tokenizer, loaded.template)
        texts: dict[str, str] = {}
        for start in range(0, len(requests), size):
            texts |= _generate(loaded, template, requests[start : start + size], sampling)
        return lengths(loaded, texts)

    return write


def lengths(loaded: LoadedPolicy, texts: Mapping[str, str]) -> dict[str, int]:
    """Return how many tokens each text has; the same count for all contestants, whoever wrote it."""
    encoded = loaded.tokenizer(list(texts.values()), add_special_tokens=False)["input_ids"]
    return {key: len(row) for key, row in zip(texts, encoded, strict=True)}


def overhead(
    loaded: LoadedPolicy, requests: Sequence[Request], sampling: Sampling, batch_tokens: int, scratch: Path
) -> dict[str, float]:
    """Return seconds of a whole generation with its journal, of the forward passes in it, and the difference.

    A forward pass is a call of the model. What is not in one: tokenisation, planning, masks, sampling,
    moving rows, texts, and the journal with its fsync. `percent` is of the forward passes.
    """
    spent = 0.0
    forward = loaded.model.forward

    def timed(*arguments: Any, **named: Any) -> Any:
        nonlocal spent
        begin = time.perf_counter()
        try:
            return forward(*arguments, **named)
        finally:
            spent += time.perf_counter() - begin

    loaded.model.forward = timed
    try:
        begin = time.perf_counter()
        generate(engine_of(loaded, batch_tokens), requests, sampling, "bench", scratch)
        whole = time.perf_counter() - begin
    finally:
        del loaded.model.forward
    return {"whole_s": whole, "forward_s": spent, "percent": 100 * (whole - spent) / spent}


def _generate(
    loaded: LoadedPolicy, template: ChatTemplate, batch: Sequence[Request], sampling: Sampling
) -> dict[str, str]:
    import torch

    rows = [template.encode(request.messages) for request in batch]
    longest, pad, device = max(map(len, rows)), loaded.tokenizer.pad_token_id, loaded.model.device
    ids = torch.tensor([[pad] * (longest - len(row)) + row for row in rows], device=device)
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows], device=device)
    seeds = [request.seed for request in batch]
    sampler = SeededSampler(sampling, seeds, ids, mask, loaded.model.config.vocab_size)
    with torch.inference_mode():
        output = loaded.model.generate(
            input_ids=ids,
            attention_mask=mask,
            do_sample=False,
            max_new_tokens=sampling.max_new_tokens,
            eos_token_id=template.stop_ids,
            pad_token_id=pad,
            logits_processor=[sampler],
        )
    texts = {}
    for request, row in zip(batch, output[:, longest:].tolist(), strict=True):
        stop = next((at for at, token in enumerate(row) if token in template.stop_ids), len(row))
        texts[request.id] = template.decode(row[:stop])
    return texts
