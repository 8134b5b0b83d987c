"""An engine for any server that speaks OpenAI's chat completions: vLLM, SGLang, LLaMA-Factory's api ..."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Collection, Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from stages.engines.openai_answers import UnusableError, read_answer, retry_after_s
from stages.engines.request import Meter, Request, Sampling
from stages.records.errors import InputError
from stages.records.schema import Response

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

PASSING = {408, 409, 425, 429}  # besides 5xx: the same request can succeed a little later
HOPELESS = {401, 403, 404}  # no other request will fare better
LATE = 408  # like a 5xx, it can come from a proxy while the server behind it goes on writing
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 8.0
LONGEST_RETRY_AFTER_S = 120.0
LONGEST_REASON = 300


@dataclass(frozen=True)
class Lost:
    """A request that failed for good: what kind of failure, and in words; `body` is what came, if any.

    Kinds: `timeout`, `connection`, `unusable_answer`, and `http_` with the status.
    """

    kind: str
    reason: str
    body: str = ""


class OpenAIEngine:
    """Sends requests concurrently, each with its own seed, and asks again with back-off what got lost.

    The key comes from the environment variable that the parameters name and from nowhere else. Requests
    carry `top_k` and `repetition_penalty`, which OpenAI's interface does not know but vLLM and SGLang do:
    a server that refuses them cannot sample as asked, and its refusal is the error, unless `extensions`
    is off. Servers may also ignore what they do not know; LLaMA-Factory's api ignores `seed`, `top_k` and
    `repetition_penalty` and takes the latter two from its own command line.

    One request takes at most (retries + 1) x `timeout_s`, and between its calls a pause of at most
    `LONGEST_PAUSE_S`, or of what a Retry-After header asks for up to `LONGEST_RETRY_AFTER_S`.
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
        extensions: bool = True,
        tolerance: int = 0,
        guided: bool = False,
    ):
        """Name the server, for example `http://127.0.0.1:8000/v1`, and the model it serves.

        Args:
            base_url: where the server answers, without a name, a password or a query.
            model: the name under which the server knows the model.
            concurrency: how many requests are on their way at once, from 1 on.
            timeout_s: seconds from sending a request until its whole answer counts as lost, above 0.
            retries: how often a lost or unusable answer, a 429 or a 5xx is asked again, from 0 on.
            key_variable: name of the environment variable with the key; local servers need none.
            policy_digest: of the policy served, so that a policy trained anew under an old name is asked
                anew, too.
            extensions: whether to send what OpenAI's own interface lacks, `top_k` and
                `repetition_penalty`; OpenAI's servers refuse them.
            tolerance: how many requests may fail for good before no other is begun; those that did are
                in `failed` afterwards.
            guided: whether to send the JSON schema of a request that has one, so that the server keeps
                the model to it (vLLM's and SGLang's structured outputs).

        Raises:
            InputError: an argument is out of range, or the key cannot be sent in a header.
        """
        checks = {
            "base_url": _is_plain_url(base_url),
            "concurrency": _is_number(concurrency, int) and concurrency >= 1,
            "timeout_s": _is_number(timeout_s, int, float) and timeout_s > 0,
            "retries": _is_number(retries, int) and retries >= 0,
            "tolerance": _is_number(tolerance, int) and tolerance >= 0,
        }
        for name, good in checks.items():
            if not good:  # without the value: it may hold a password
                raise InputError("out of range, or not of the kind wanted here", field=f"engine.{name}")
        self.model = model
        self.meter: Meter | None = None
        self.failed: dict[str, Lost] = {}
        self._base_url = base_url
        self._concurrency = concurrency
        self._timeout_s = timeout_s
        self._retries = retries
        self._key_variable = key_variable
        self._key = os.environ.get(key_variable, "").strip()
        self._policy_digest = policy_digest
        self._extensions = extensions
        self._tolerance = tolerance
        self._guided = guided
        if not (self._key.isascii() and self._key.isprintable()):
            raise InputError(f"the key in {key_variable} has characters that no key has")

    def describe(self) -> dict[str, Any]:
        """Return the engine's kind, address and policy; concurrency changes no text."""
        described = {"kind": "openai", "base_url": self._base_url, "policy": self._policy_digest}
        described |= {} if self._extensions else {"extensions": False}
        return {**described, "guided": True} if self._guided else described

    def complete(
        self, requests: Sequence[Request], sampling: Sampling, done: Collection[str]
    ) -> Iterator[list[Response]]:
        """Yield every answer as soon as it is there.

        When more than `tolerance` requests have failed for good, no other is begun, and those on their
        way are awaited and yielded before the error is raised. Ctrl-C abandons those on their way at once.

        Raises:
            InputError: the server cannot be reached, refuses, or gives nothing usable, after the
                retries; or the meter forbids a call. What was answered has been yielded; the rest goes
                on with the next run.
        """
        self.failed = {}
        waiting = [request for request in requests if request.id not in done]
        answers = self._answers(waiting, sampling)

        async def following() -> list[Response] | None:
            return await anext(answers, None)

        # An event loop and not threads: Python waits for its threads before it ends, however long they
        # hang, but a loop drops its requests on Ctrl-C.
        with asyncio.Runner() as runner:
            while (batch := runner.run(following())) is not None:
                yield batch

    def stream(self, request: Request, sampling: Sampling) -> Generator[str, None, None]:
        """Yield the text of one request in pieces, as they come; put together they are the answer.

        Closing the generator ends the request. What is lost is not asked for again: whoever reads along has
        seen its beginning.

        Raises:
            InputError: the server cannot be reached, refuses, or sends no piece for `timeout_s`.
        """
        import httpx
        from openai import APIConnectionError, APIError, APIStatusError, OpenAI

        with OpenAI(
            base_url=self._base_url, api_key=self._key or "none", timeout=self._timeout_s, max_retries=0
        ) as client:
            try:
                body = self._body(request, sampling)
                with client.chat.completions.create(model=self.model, stream=True, **body) as chunks:
                    for chunk in chunks:
                        if chunk.choices and (piece := chunk.choices[0].delta.content):
                            yield piece
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
        async with AsyncOpenAI(
            base_url=self._base_url, api_key=self._key or "none", timeout=None, max_retries=0
        ) as client:
            try:
                while True:
                    room = 0 if self._must_stop(failures) else self._concurrency - len(running)
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
        self.failed = {failure.record: failure.lost for failure in failures}

    async def _ask(self, client: AsyncOpenAI, request: Request, sampling: Sampling) -> Response:
        """Ask until there is a usable answer; raise _GaveUpError when the retries are used up or useless."""
        from openai import APIConnectionError, APIStatusError

        for retry in range(self._retries + 1):
            # The seed is the request's: pauses differ among requests, but not from run to run.
            jitter = random.Random(f"{request.seed} {retry}").uniform(0.75, 1.0)
            pause, body = min(FIRST_PAUSE_S * 2**retry, LONGEST_PAUSE_S) * jitter, ""
            if self.meter is not None:
                self.meter.sending(request, sampling)
            try:
                async with asyncio.timeout(self._timeout_s):
                    return read_answer(request, await self._send(client, request, sampling), self.model)
            except TimeoutError:
                kind, reason = "timeout", f"gave no answer within {self._timeout_s:g} s"
            except APIStatusError as error:
                kind, reason = f"http_{error.status_code}", self._refusal(error)
                if self.meter is not None and error.status_code < 500 and error.status_code != LATE:
                    self.meter.refused(request, sampling)
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
            if retry < self._retries:
                await asyncio.sleep(pause)
        reason = f"{reason} (asked {retry + 1} times)" if retry else reason
        raise _GaveUpError(request.id, Lost(kind, self._masked(reason), self._masked(body)))

    async def _send(self, client: AsyncOpenAI, request: Request, sampling: Sampling) -> bytes:
        create = client.chat.completions.with_raw_response.create
        answer = await create(model=self.model, **self._body(request, sampling))
        return answer.content

    def _body(self, request: Request, sampling: Sampling) -> dict[str, Any]:
        body: dict[str, Any] = {
            "messages": [{"role": m.role, "content": m.content} for m in request.messages],
            "seed": request.seed,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_new_tokens,
        }
        if self._guided and request.schema is not None:
            schema = {"name": "answer", "schema": dict(request.schema), "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        if self._extensions:
            # Off is -1 for every vLLM, SGLang and llama.cpp; many of them refuse 0. Leaving it out would
            # not be off: vLLM then takes the model's own default.
            extra = {"top_k": sampling.top_k or -1, "repetition_penalty": sampling.repetition_penalty}
            body["extra_body"] = extra
        return body

    def _refusal(self, error: APIStatusError) -> str:
        reason = f"answered {error.status_code}: {error.response.text}"
        if error.status_code in (401, 403):
            state = "is read from" if self._key else "is not set in"
            reason = (
                f"answered {error.status_code} (the key {state} {self._key_variable}): {error.response.text}"
            )
        return reason

    def _masked(self, text: str) -> str:
        return text.replace(self._key, "***") if self._key else text  # a server may quote the key

    def _must_stop(self, failures: list[BaseException]) -> bool:
        return len(failures) > self._tolerance or any(_is_hopeless(failure) for failure in failures)

    def _error(self, failures: list[BaseException]) -> BaseException:
        """Make one line of what failed; anything but _GaveUpError, such as the meter's, stays as it is."""
        for failure in failures:
            if not isinstance(failure, _GaveUpError):
                return failure
        first = next(filter(_is_hopeless, failures), failures[0])
        reason = " ".join(first.lost.reason.split())
        if len(reason) > LONGEST_REASON:
            reason = reason[:LONGEST_REASON] + " ..."
        others = f"; {len(failures) - 1} more requests failed" if len(failures) > 1 else ""
        message = f"the server at {self._base_url} {reason}{others}; what it answered is kept, run again"
        return InputError(message, record=first.record)


class _GaveUpError(Exception):
    """A request that failed for good."""

    def __init__(self, record: str, lost: Lost):
        super().__init__(record, lost.reason)
        self.record, self.lost = record, lost


def _is_hopeless(failure: BaseException) -> bool:
    kinds = {f"http_{status}" for status in HOPELESS}
    return not isinstance(failure, _GaveUpError) or failure.lost.kind in kinds


def _is_plain_url(value: object) -> bool:
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
        return (
            parts is not None
            and parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and (parts.username is None and (parts.port is None or parts.port > 0))
            and not (parts.query or parts.fragment)  # some put a key there; it would be in every error
        )
    except ValueError:  # a port that is no number, a bracket that is not closed
        return False


def _is_number(value: object, *kinds: type) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)
