"""An engine for any server that speaks OpenAI's chat completions: vLLM, SGLang, LLaMA-Factory's api ..."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Collection, Generator, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from selfevolve.engines.server.chat import (
    UnusableError,
    read_answer,
    request_body,
    retry_after_s,
    streamed_text,
)
from selfevolve.generation.request import Meter, Request, Sampling
from selfevolve.policies.policy import read_policy
from selfevolve.policies.window import Window
from selfevolve.records.schema import NonEmpty, Response
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.parameters import Params

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

PASSING = {408, 409, 425, 429}  # besides 5xx: the same request can succeed a little later
HOPELESS = {401, 403, 404}  # no other request will fare better
LATE = 408  # like a 5xx, it can come from a proxy while the server behind it goes on writing
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 8.0
LONGEST_RETRY_AFTER_S = 120.0
LONGEST_REASON = 300


class Asking(Params):
    """How a server is asked: the options that `kind: openai` and `kind: server` have in common."""

    concurrency: int = Field(ge=1)
    """How many requests are on their way at once."""
    timeout_s: float = Field(gt=0)
    """Seconds from sending a request until its whole answer counts as lost."""
    retries: int = Field(ge=0)
    """How often the engine asks again after a lost or unusable answer, a 429 or a 5xx."""
    extensions: bool = True
    """Whether to send `top_k` and `repetition_penalty`, which OpenAI's own interface lacks and refuses."""
    guided: bool = False
    """Whether to send the JSON schema of a request that has one, for the server to keep the model to it."""
    tolerance: int = Field(default=0, ge=0)
    """How many requests may fail for good before no other is begun; the meter is told of each."""


def _plain_url(value: str) -> str:
    parts = urlsplit(value)
    plain = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    if not plain or parts.username is not None or parts.query or parts.fragment:  # it would be in every error
        raise ValueError("must be a URL without a name, a password or a query")
    return value


class Options(Asking):
    """Section `engine` for `kind: openai`. In `model`, `{policy}` becomes the name of the policy's folder."""

    kind: Literal["openai"]
    base_url: Annotated[NonEmpty, AfterValidator(_plain_url)]
    model: NonEmpty
    key_variable: NonEmpty
    """The environment variable with the key, which itself is never a parameter; local servers need none."""


@contextmanager
def open(policy: Path, options: Options) -> Iterator[tuple[OpenAIEngine, Window]]:
    """Give an engine for a server that serves this policy, and the policy's window."""
    chain = read_policy(policy)
    yield connect(options, options.model.replace("{policy}", policy.name), chain.digest), Window.of(chain)


def connect(
    options: Options, model: str = "", policy_digest: str = "", meter: Meter | None = None
) -> OpenAIEngine:
    """Return an engine with these options; without `model` it asks for the one that they name."""
    model, key = model or options.model, options.key_variable
    return OpenAIEngine(options.base_url, model, options, key, policy_digest, meter)


class OpenAIEngine:
    """Sends requests concurrently, each with its own seed, and asks again with back-off for lost answers.

    vLLM and SGLang know `top_k` and `repetition_penalty`, OpenAI's interface does not: a server that
    refuses them cannot sample as asked, and its refusal is the error, unless `extensions` is off. Servers
    may also ignore what they do not know: LLaMA-Factory's api ignores these two and `seed`.

    One request takes at most (retries + 1) x `timeout_s`, and between its calls a pause of at most
    `LONGEST_PAUSE_S`, or of what a Retry-After header asks for up to `LONGEST_RETRY_AFTER_S`.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        asking: Asking,
        key_variable: str = "",
        policy_digest: str = "",
        meter: Meter | None = None,
    ):
        """Name the server, such as `http://127.0.0.1:8000/v1`, and the model by its name there.

        The key is read from the environment variable `key_variable`. `policy_digest` is of the policy
        served, so that one trained again under its old name is a new one. The meter is told of every call.
        """
        self.model = model
        # What changes no text, such as the concurrency, is left out, and so is what has its usual value.
        self.settings: dict[str, Any] = {"kind": "openai", "base_url": base_url, "policy": policy_digest}
        if not asking.extensions:
            self.settings["extensions"] = False
        if asking.guided:
            self.settings["guided"] = True
        self._base_url, self._asking, self._meter = base_url, asking, meter
        self._key_variable, self._key = key_variable, os.environ.get(key_variable, "").strip()
        if not (self._key.isascii() and self._key.isprintable()):
            raise InputError(f"the key in {key_variable} has characters that no key has")
        self._address = {"base_url": base_url, "api_key": self._key or "none", "max_retries": 0}

    def plan(
        self, requests: Sequence[Request], sampling: Sampling, done: Collection[str] = ()
    ) -> list[list[Request]]:
        """Return every request that is not done as a batch of its own: each is answered by itself."""
        return [[request] for request in requests if request.id not in done]

    def answer(
        self, batches: Sequence[Sequence[Request]], sampling: Sampling
    ) -> Generator[list[Response], None, None]:
        """Yield every answer as soon as it is there.

        When more than `tolerance` requests have failed for good, no other is begun, and those on their
        way are awaited and yielded before the error is raised. Ctrl-C abandons those on their way at once.
        """
        answers = self._answers([request for batch in batches for request in batch], sampling)

        async def following() -> list[Response] | None:
            return await anext(answers, None)

        # An event loop and not threads: Python waits for its threads before it ends, however long they
        # hang, but a loop drops its requests on Ctrl-C.
        with asyncio.Runner() as runner:
            while (finished := runner.run(following())) is not None:
                yield finished

    def stream(self, request: Request, sampling: Sampling) -> Generator[str, None, None]:
        """Yield the text of one request in pieces, as they come; closing the generator ends the request.

        What is lost is not asked for again: whoever reads along has seen its beginning.

        Raises:
            InputError: the server cannot be reached, refuses, or sends no piece for `timeout_s`.
        """
        import httpx
        from openai import APIConnectionError, APIError, APIStatusError, OpenAI

        body = self._body(request, sampling)
        with OpenAI(timeout=self._asking.timeout_s, **self._address) as client:
            try:
                with client.chat.completions.create(stream=True, **body) as chunks:
                    yield from streamed_text(chunks)
                return
            except APIStatusError as error:
                reason = self._refusal(error)
            except APIConnectionError as error:
                reason = f"did not answer: {error.__cause__ or error}"
            except (APIError, httpx.HTTPError) as error:  # in the middle of an answer
                reason = f"broke off: {error}"
        reason = " ".join(self._masked(reason).split())[:LONGEST_REASON]
        raise InputError(f"the server at {self._base_url} {reason}", record=request.id)

    async def _answers(
        self, requests: Sequence[Request], sampling: Sampling
    ) -> AsyncIterator[list[Response]]:
        from openai import AsyncOpenAI

        waiting = iter(requests)
        running: set[asyncio.Task[Response]] = set()
        failures: list[Any] = []
        # The client neither retries nor times out: its timeout is for each read, and its retries do not
        # cover answers that are no chat completion.
        async with AsyncOpenAI(timeout=None, **self._address) as client:
            try:
                while True:
                    room = 0 if self._must_stop(failures) else self._asking.concurrency - len(running)
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
        if self._must_stop(failures):
            raise self._error(failures)

    async def _ask(self, client: AsyncOpenAI, request: Request, sampling: Sampling) -> Response:
        """Ask until there is a usable answer; raise _GaveUpError when the retries are used up or useless."""
        from openai import APIConnectionError, APIStatusError

        create = client.chat.completions.with_raw_response.create
        for retry in range(self._asking.retries + 1):
            # The seed is the request's: pauses differ among requests, but not from run to run.
            jitter = random.Random(f"{request.seed} {retry}").uniform(0.75, 1.0)
            pause, body = min(FIRST_PAUSE_S * 2**retry, LONGEST_PAUSE_S) * jitter, ""
            if self._meter is not None:
                self._meter.sending(request, sampling)
            try:
                async with asyncio.timeout(self._asking.timeout_s):
                    answer = await create(**self._body(request, sampling))
                    return read_answer(request, answer.content, self.model)
            except TimeoutError:
                kind, reason = "timeout", f"gave no answer within {self._asking.timeout_s:g} s"
            except APIStatusError as error:
                kind, reason = f"http_{error.status_code}", self._refusal(error)
                if self._meter is not None and error.status_code < 500 and error.status_code != LATE:
                    self._meter.refused(request, sampling)
                asked_pause = retry_after_s(error.response.headers.get("retry-after"))
                if not (error.status_code in PASSING or error.status_code >= 500):
                    break
                if asked_pause > LONGEST_RETRY_AFTER_S:
                    reason += f" and wants to be left alone for {asked_pause:.0f} s"
                    break
                pause = max(pause, asked_pause)
            except APIConnectionError as error:
                kind, reason = "connection", f"did not answer: {error.__cause__ or error}"
            except UnusableError as error:
                kind, reason = "unusable_answer", f"gave an answer that cannot be used: {error}"
                body = error.body
            if retry < self._asking.retries:
                await asyncio.sleep(pause)
        reason = f"{reason} (asked {retry + 1} times)" if retry else reason
        gave_up = _GaveUpError(request.id, kind, self._masked(reason))
        if self._meter is not None:
            self._meter.gave_up(request, sampling, kind, self._masked(body) or gave_up.reason)
        raise gave_up

    def _body(self, request: Request, sampling: Sampling) -> dict[str, Any]:
        body = request_body(request, sampling, self._asking.extensions, self._asking.guided)
        return {"model": self.model, **body}

    def _refusal(self, error: APIStatusError) -> str:
        key = ""
        if error.status_code in (401, 403):
            key = f" (the key {'is read from' if self._key else 'is not set in'} {self._key_variable})"
        return f"answered {error.status_code}{key}: {error.response.text}"

    def _masked(self, text: str) -> str:
        return text.replace(self._key, "***") if self._key else text  # a server may quote the key

    def _must_stop(self, failures: list[BaseException]) -> bool:
        return len(failures) > self._asking.tolerance or any(_is_hopeless(failure) for failure in failures)

    def _error(self, failures: list[BaseException]) -> BaseException:
        """Make one line of what failed; anything but _GaveUpError, such as the meter's, stays as it is."""
        for failure in failures:
            if not isinstance(failure, _GaveUpError):
                return failure
        first = next(filter(_is_hopeless, failures), failures[0])
        reason = " ".join(first.reason.split())
        if len(reason) > LONGEST_REASON:
            reason = reason[:LONGEST_REASON] + " ..."
        others = f"; {len(failures) - 1} more requests failed" if len(failures) > 1 else ""
        message = f"the server at {self._base_url} {reason}{others}; what it answered is kept, run again"
        return InputError(message, record=first.record)


class _GaveUpError(Exception):
    """A request that failed for good: its id, what kind of failure, and what happened in words."""

    def __init__(self, record: str, kind: str, reason: str):
        super().__init__(record, reason)
        self.record, self.kind, self.reason = record, kind, reason


def _is_hopeless(failure: BaseException) -> bool:
    kinds = {f"http_{status}" for status in HOPELESS}
    return not isinstance(failure, _GaveUpError) or failure.kind in kinds
