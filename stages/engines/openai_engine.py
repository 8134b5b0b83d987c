"""An engine for any server that speaks OpenAI's chat completions: vLLM, SGLang, LLaMA-Factory's api ..."""

import os
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

from stages.engines.request import Request, Sampling
from stages.records.errors import InputError
from stages.records.schema import Response

FINISH_REASONS = {"stop", "length", "content_filter"}


class OpenAIEngine:
    """Sends requests concurrently, each with its own seed; the client retries with back-off.

    The key comes from the environment variable that the parameters name and from nowhere else.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        concurrency: int = 8,
        timeout_s: float = 120.0,
        retries: int = 5,
        key_variable: str = "OPENAI_API_KEY",
    ):
        """Name the server, for example `http://127.0.0.1:8000/v1`, and the model it serves.

        Args:
            base_url: where the server answers.
            model: the name under which the server knows the model.
            concurrency: how many requests are on their way at once.
            timeout_s: seconds until an answer counts as lost.
            retries: how often a lost answer, a 429 or a 5xx is asked again.
            key_variable: name of the environment variable with the key; local servers need none.
        """
        from openai import OpenAI

        key = os.environ.get(key_variable) or "none"
        self.model = model
        self._base_url = base_url
        self._concurrency = concurrency
        self._client = OpenAI(base_url=base_url, api_key=key, timeout=timeout_s, max_retries=retries)

    def describe(self) -> dict[str, Any]:
        """Return the engine's kind and address; concurrency changes no text."""
        return {"kind": "openai", "base_url": self._base_url}

    def complete(
        self, requests: Sequence[Request], sampling: Sampling, done: Collection[str]
    ) -> Iterator[list[Response]]:
        """Yield every answer as soon as it is there, as a batch of one.

        Raises:
            InputError: the server cannot be reached or refuses, after the retries. What was answered
                until then has been yielded; the rest goes on with the next run.
        """
        waiting = [request for request in requests if request.id not in done]
        pool = ThreadPoolExecutor(self._concurrency)
        try:
            running: set[Future[Response]] = set()
            while waiting or running:
                while waiting and len(running) < self._concurrency:
                    running.add(pool.submit(self._ask, waiting.pop(0), sampling))
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                good = [future.result() for future in finished if future.exception() is None]
                if good:
                    yield good
                for future in finished:
                    if (error := future.exception()) is not None:
                        raise error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _ask(self, request: Request, sampling: Sampling) -> Response:
        from openai import APIConnectionError, APIStatusError, OpenAIError

        try:
            answer = self._client.chat.completions.create(
                model=self.model,
                messages=[{"role": m.role, "content": m.content} for m in request.messages],
                seed=request.seed,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                max_tokens=sampling.max_new_tokens,
                extra_body={"top_k": sampling.top_k, "repetition_penalty": sampling.repetition_penalty},
            )
        except APIStatusError as error:
            raise self._failed(request, f"answered {error.status_code}: {error.message}") from None
        except APIConnectionError as error:
            raise self._failed(request, f"cannot be reached: {error.__cause__ or error}") from None
        except OpenAIError as error:
            raise self._failed(request, str(error)) from None
        choice = answer.choices[0] if answer.choices else None
        if choice is None or choice.finish_reason not in FINISH_REASONS:
            reason = choice.finish_reason if choice else "no choice"
            raise self._failed(request, f"gave an answer that cannot be used ({reason})")
        return Response(
            id=request.id,
            text=(choice.message.content or "").strip(),
            finish_reason=choice.finish_reason,
            attempt=request.attempt,
            model=self.model,
        )

    def _failed(self, request: Request, reason: str) -> InputError:
        message = f"the server at {self._base_url} {reason} (what it answered before is kept; run again)"
        return InputError(message, record=request.id)
