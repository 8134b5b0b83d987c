"""The default engine: transformers in this process, on a GPU where there is one."""

from __future__ import annotations

from collections.abc import Collection, Generator, Sequence
from typing import Any

from stages.engines.policy import LoadedPolicy
from stages.engines.request import Request, Sampling
from stages.engines.template import ChatTemplate
from stages.records.errors import InputError
from stages.records.schema import Response


class TransformersEngine:
    """Generates in batches of similar length under a token budget.

    The batches follow from the whole list of requests, whatever is done already: floating point sums
    differ in the last bits with the shape of a batch, and a resumed run must be the undisturbed one.
    """

    def __init__(self, loaded: LoadedPolicy, batch_tokens: int):
        """Take a policy in memory; `batch_tokens` bounds rows x (prompt + new tokens) of a batch."""
        if batch_tokens < 1:
            raise InputError(f"must be at least 1, got {batch_tokens}", field="engine.batch_tokens")
        self.model = loaded.digest
        self.template = ChatTemplate(loaded.tokenizer, loaded.template)
        self._model = loaded.model
        self._window = loaded.policy.backbone.window
        self._batch_tokens = batch_tokens

    def describe(self) -> dict[str, Any]:
        """Return the engine's kind, number format and batch budget."""
        dtype = str(self._model.dtype).removeprefix("torch.")
        return {"kind": "transformers", "dtype": dtype, "batch_tokens": self._batch_tokens}

    def batches(self, requests: Sequence[Request], sampling: Sampling) -> list[list[Request]]:
        """Return the plan, longest prompts first: if memory does not suffice, it shows at once.

        Raises:
            InputError: a prompt leaves no room in the window for `max_new_tokens`.
        """
        lengths = {request.id: len(self._prompt(request, sampling)) for request in requests}
        plan: list[list[Request]] = []
        for request in sorted(requests, key=lambda request: (-lengths[request.id], request.id)):
            longest = lengths[plan[-1][0].id] + sampling.max_new_tokens if plan else 0
            if not plan or (len(plan[-1]) + 1) * longest > self._batch_tokens:
                plan.append([])
            plan[-1].append(request)
        return plan

    def answer(self, batch: Sequence[Request], sampling: Sampling) -> list[Response]:
        """Write one batch; one response a request, in their order."""
        return self._generate(batch, [self._prompt(request, sampling) for request in batch], sampling)

    def complete(
        self, requests: Sequence[Request], sampling: Sampling, done: Collection[str]
    ) -> Generator[list[Response], None, None]:
        """Yield the answers of every batch of the plan that is not wholly in `done` (ids).

        Raises:
            InputError: as for `batches`.
        """
        for batch in self.batches(requests, sampling):
            if not all(request.id in done for request in batch):
                yield self.answer(batch, sampling)

    def stream(self, request: Request, sampling: Sampling) -> Generator[str, None, None]:
        """Yield the text of one request in pieces, as they are made; closing the generator ends the work.

        Raises:
            InputError: as for `batches`, when the first piece is asked for.
        """
        yield self.answer([request], sampling)[0].text

    def _prompt(self, request: Request, sampling: Sampling) -> list[int]:
        prompt = self.template.encode(request.messages)
        if len(prompt) + sampling.max_new_tokens > self._window:
            message = (
                f"{len(prompt)} prompt tokens and {sampling.max_new_tokens} new ones exceed {self._window}"
            )
            raise InputError(message, record=request.id, field="messages")
        return prompt

    def _generate(
        self, batch: Sequence[Request], prompts: list[list[int]], sampling: Sampling
    ) -> list[Response]:
        import torch
        from transformers import GenerationConfig

        from stages.engines.sampler import SeededSampler

        device = self._model.device
        longest = max(map(len, prompts))
        pad = self.template.tokenizer.pad_token_id
        ids = torch.tensor([[pad] * (longest - len(row)) + row for row in prompts], device=device)
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in prompts], device=device)
        config = GenerationConfig(
            do_sample=False,
            max_new_tokens=sampling.max_new_tokens,
            eos_token_id=self.template.stop_ids,
            pad_token_id=pad,
        )
        seeds = [request.seed for request in batch]
        sampler = SeededSampler(sampling, seeds, ids, mask, self._model.config.vocab_size)
        with torch.inference_mode():
            output = self._model.generate(
                input_ids=ids, attention_mask=mask, generation_config=config, logits_processor=[sampler]
            )
        rows = output[:, longest:].tolist()
        return [self._response(request, row) for request, row in zip(batch, rows, strict=True)]

    def _response(self, request: Request, row: list[int]) -> Response:
        stops = [position for position, token in enumerate(row) if token in self.template.stop_ids]
        return Response(
            id=request.id,
            text=self.template.decode(row[: stops[0]] if stops else row),
            finish_reason="stop" if stops else "length",
            attempt=request.attempt,
            model=self.model,
        )
