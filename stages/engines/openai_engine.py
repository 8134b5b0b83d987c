"""An engine for any server that speaks OpenAI's chat completions: vLLM, SGLang, LLaMA-Factory's api ..."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, ValidationError

from stages.engines.request import Request, Sampling
from stages.records.errors import InputError
from stages.records.schema import Response

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

# `eos_token` and `stop_sequence` are what text-generation-inference said before it took OpenAI's words.
# Whatever else servers send (null, `abort`, `error`, `tool_calls`) is no finished text.
FINISH_REASONS = {
    "stop": "stop",
    "eos_token": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "content_filter": "content_filter",
}
PASSING = {408, 409, 425, 429}  # besides 5xx: the same request can succeed a little later
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 8.0
LONGEST_RETRY_AFTER_S = 120.0
LONGEST_REASON = 300


class OpenAIEngine:
    """Sends requests concurrently, each with its own seed, and asks again with back-off what got lost.

    The key comes from the environment variable that the parameters name and from nowhere else. Every
    request carries `top_k` and `repetition_penalty`, which OpenAI's interface does not know but vLLM and
    SGLang do: a server that refuses them cannot sample as asked, and its refusal is the error. Servers
    may also ignore what they do not know; LLaMA-Factory's api ignores `seed`, `top_k` and
    `repetition_penalty` and takes the latter two from its own command line.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        concurrency: int = 8,
        timeout_s: float = 120.0,
        retries: int = 5,
        key_variable: str = "OPENAI_API_KEY",
        policy_digest: str = "",
    ):
        """Name the server, for example `http://127.0.0.1:8000/v1`, and the model it serves.

        Args:
            base_url: where the server answers, without a name or password.
            model: the name under which the server knows the model.
            concurrency: how many requests are on their way at once, from 1 on.
            timeout_s: seconds from sending a request until its whole answer counts as lost, above 0.
            retries: how often a lost or unusable answer, a 429 or a 5xx is asked again, from 0 on.
            key_variable: name of the environment variable with the key; local servers need none.
            policy_digest: of the policy served, so that a policy trained anew under an old name is asked
                anew, too.

        Raises:
            InputError: an argument is out of range, or the key cannot be sent in a header.
        """
        checks = {
            "base_url": _is_plain_url(base_url),
            "concurrency": _is_number(concurrency, int) and concurrency >= 1,
            "timeout_s": _is_number(timeout_s, int, float) and timeout_s > 0,
            "retries": _is_number(retries, int) and retries >= 0,
        }
        for name, good in checks.items():
            if not good:  # without the value: it may hold a password
                raise InputError("out of range, or not of the kind wanted here", field=f"engine.{name}")
        self.model = model
        self._base_url = base_url
        self._concurrency = concurrency
        self._timeout_s = timeout_s
        self._retries = retries
        self._key_variable = key_variable
        self._key = os.environ.get(key_variable, "").strip()
        self._policy_digest = policy_digest
        if not (self._key.isascii() and self._key.isprintable()):
            raise InputError(f"the key in {key_variable} has characters that no key has")

    def describe(self) -> dict[str, Any]:
        """Return the engine's kind, address and policy; concurrency changes no text."""
        return {"kind": "openai", "base_url": self._base_url, "policy": self._policy_digest}

    def complete(
        self, requests: Sequence[Request], sampling: Sampling, done: Collection[str]
    ) -> Iterator[list[Response]]:
        """Yield every answer as soon as it is there.

        When a request fails for good, no other is begun, and those on their way are awaited and yielded
        before the error is raised. Ctrl-C abandons those on their way at once.

        Raises:
            InputError: the server cannot be reached, refuses, or gives nothing usable, after the
                retries. What was answered has been yielded; the rest goes on with the next run.
        """
        waiting = [request for request in requests if request.id not in done]
        answers = self._answers(waiting, sampling)

        async def following() -> list[Response] | None:
            return await anext(answers, None)

        # An event loop and not threads: Python waits for its threads before it ends, however long they
        # hang, but a loop drops its requests on Ctrl-C.
        with asyncio.Runner() as runner:
            while (batch := runner.run(following())) is not None:
                yield batch

    async def _answers(
        self, requests: Sequence[Request], sampling: Sampling
    ) -> AsyncIterator[list[Response]]:
        from openai import AsyncOpenAI

        waiting = iter(requests)
        running: set[asyncio.Task[Response]] = set()
        failures: list[BaseException] = []
        # The client neither retries nor times out: its timeout is for each read, and its retries do not
        # cover answers that are no chat completion.
        async with AsyncOpenAI(
            base_url=self._base_url, api_key=self._key or "none", timeout=None, max_retries=0
        ) as client:
            try:
                while True:
                    room = 0 if failures else self._concurrency - len(running)
                    for request in islice(waiting, room):
                        running.add(asyncio.create_task(self._ask(client, request, sampling)))
                    if not running:
                        break
                    finished, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                    failures += [error for task in finished if (error := task.exception()) is not None]
                    if good := [task.result() for task in finished if task.exception() is None]:
                        yield good
            finally:
                for task in running:
                    task.cancel()
                await asyncio.gather(*running, return_exceptions=True)
        if failures:
            raise self._error(failures)

    async def _ask(self, client: AsyncOpenAI, request: Request, sampling: Sampling) -> Response:
        """Ask until there is a usable answer; raise _GaveUpError when the retries are used up or useless."""
        from openai import APIConnectionError, APIStatusError

        for retry in range(self._retries + 1):
            pause = min(FIRST_PAUSE_S * 2**retry, LONGEST_PAUSE_S) * random.uniform(0.75, 1.0)
            try:
                async with asyncio.timeout(self._timeout_s):
                    return _read(request, await self._send(client, request, sampling), self.model)
            except TimeoutError:
                reason = f"gave no answer within {self._timeout_s:g} s"
            except APIStatusError as error:
                reason = self._refusal(error)
                asked_pause = _retry_after_s(error.response.headers.get("retry-after"))
                if not (error.status_code in PASSING or error.status_code >= 500):
                    break
                if asked_pause > LONGEST_RETRY_AFTER_S:
                    reason += f" and wants to be left alone for {asked_pause:.0f} s"
                    break
                pause = max(pause, asked_pause)
            except APIConnectionError as error:
                reason = f"did not answer: {error.__cause__ or error}"
            except _UnusableError as error:
                reason = f"gave an answer that cannot be used: {error}"
            if retry < self._retries:
                await asyncio.sleep(pause)
        raise _GaveUpError(request.id, f"{reason} (asked {retry + 1} times)" if retry else reason)

    async def _send(self, client: AsyncOpenAI, request: Request, sampling: Sampling) -> bytes:
        answer = await client.chat.completions.with_raw_response.create(
            model=self.model,
            messages=[{"role": m.role, "content": m.content} for m in request.messages],
            seed=request.seed,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=sampling.max_new_tokens,
            extra_body={
                # Off is -1 for every vLLM, SGLang and llama.cpp; many of them refuse 0. Leaving it out
                # would not be off: vLLM then takes the model's own default.
                "top_k": sampling.top_k or -1,
                "repetition_penalty": sampling.repetition_penalty,
            },
        )
        return answer.content

    def _refusal(self, error: APIStatusError) -> str:
        reason = f"answered {error.status_code}: {error.response.text}"
        if error.status_code in (401, 403):
            state = "is read from" if self._key else "is not set in"
            reason = (
                f"answered {error.status_code} (the key {state} {self._key_variable}): {error.response.text}"
            )
        return reason

    def _error(self, failures: list[BaseException]) -> BaseException:
        """Make one line of what failed; anything but _GaveUpError is a defect and stays as it is."""
        for failure in failures:
            if not isinstance(failure, _GaveUpError):
                return failure
        first = failures[0]
        # A server may quote the key it was sent.
        reason = " ".join((first.reason.replace(self._key, "***") if self._key else first.reason).split())
        if len(reason) > LONGEST_REASON:
            reason = reason[:LONGEST_REASON] + " ..."
        others = f"; {len(failures) - 1} more requests failed" if len(failures) > 1 else ""
        message = f"the server at {self._base_url} {reason}{others}; what it answered is kept, run again"
        return InputError(message, record=first.record)


class _UnusableError(Exception):
    """An answer that is no finished chat completion."""


class _GaveUpError(Exception):
    """A request that failed for good."""

    def __init__(self, record: str, reason: str):
        super().__init__(record, reason)
        self.record, self.reason = record, reason


class _Message(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Answer(BaseModel):
    choices: list[_Choice] = Field(min_length=1)


def _read(request: Request, content: bytes, model: str) -> Response:
    try:
        choice = _Answer.model_validate_json(content).choices[0]
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"])) or "body"
        raise _UnusableError(f"{field}: {first['msg']}") from None
    reason = FINISH_REASONS.get(choice.finish_reason or "")
    if reason is None:
        raise _UnusableError(f"finish_reason is {choice.finish_reason!r}")
    text = (choice.message.content or "").strip()
    return Response(id=request.id, text=text, finish_reason=reason, attempt=request.attempt, model=model)


def _retry_after_s(value: str | None) -> float:
    """Return the seconds that a Retry-After header asks for, a number or a date; 0 without one."""
    if not value:
        return 0.0
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return 0.0
    return max(0.0, seconds)


def _is_plain_url(value: object) -> bool:
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
        return (
            parts is not None
            and parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and (parts.username is None and (parts.port is None or parts.port > 0))
        )
    except ValueError:  # a port that is no number, a bracket that is not closed
        return False


def _is_number(value: object, *kinds: type) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)
