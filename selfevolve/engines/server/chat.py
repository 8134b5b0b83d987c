"""One call of OpenAI's chat completions: the body of the request, and the answer read and checked."""

import json
import time
from collections.abc import Iterable, Iterator
from email.utils import parsedate_to_datetime
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from selfevolve.generation.request import Request, Sampling
from selfevolve.records.schema import Response, Usage
from selfevolve.records.texts import THINKING, whole_characters

# `eos_token` and `stop_sequence` are text-generation-inference's words from before it adopted OpenAI's.
# Whatever else servers send (null, `abort`, `error`, `tool_calls`) is no finished text.
FINISH_REASONS = {
    "stop": "stop",
    "eos_token": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "content_filter": "content_filter",
}
LONGEST_BODY = 2000  # bytes


class UnusableError(Exception):
    """An answer that is no finished chat completion; `body` is its beginning as it came."""

    def __init__(self, message: str, content: bytes):
        super().__init__(message)
        self.body = content[:LONGEST_BODY].decode("utf-8", "replace")


class _Message(BaseModel):
    content: str | None = None
    reasoning_content: Any = None
    reasoning: Any = None  # the same in newer servers

    @property
    def text(self) -> str:
        """What the model wrote; where that is thinking alone, with a tag that makes it no response."""
        content = (self.content or "").strip()
        thinking = self.reasoning_content or self.reasoning
        # The tag comes last: so the thinking does not end, whatever tags it has itself.
        return content or (f"{thinking}{THINKING}" if thinking else "")


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Answer(BaseModel):
    choices: list[_Choice] = Field(min_length=1)
    usage: Any = None


def request_body(request: Request, sampling: Sampling, extensions: bool, guided: bool) -> dict[str, Any]:
    """Return what a request sends besides the model's name; `extensions` and `guided` as in `Asking`."""
    body: dict[str, Any] = {
        "messages": [{"role": m.role, "content": m.content} for m in request.messages],
        "seed": request.seed,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_new_tokens,
    }
    if guided and request.schema is not None:
        schema = {"name": "answer", "schema": dict(request.schema), "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    if extensions:
        # Off is -1 for every vLLM, SGLang and llama.cpp; many of them refuse 0. Leaving it out would
        # not be off: vLLM then takes the model's own default.
        penalty = sampling.repetition_penalty
        body["extra_body"] = {"top_k": sampling.top_k or -1, "repetition_penalty": penalty}
    return body


def read_answer(request: Request, content: bytes, model: str) -> Response:
    """Return the response in a chat completion's body; UnusableError if it is none, or not finished."""
    try:
        answer = _Answer.model_validate(whole_characters(json.loads(content)))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"])) or "body"
        raise UnusableError(f"{field}: {first['msg']}", content) from None
    except (ValueError, RecursionError) as error:
        raise UnusableError(f"body: {error}", content) from None
    choice = answer.choices[0]
    reason = FINISH_REASONS.get(choice.finish_reason or "")
    if reason is None:
        raise UnusableError(f"finish_reason is {choice.finish_reason!r}", content)
    return Response(
        id=request.id,
        text=choice.message.text,
        finish_reason=reason,
        attempt=request.attempt,
        model=model,
        usage=_usage(answer.usage),
    )


def streamed_text(chunks: Iterable[Any]) -> Iterator[str]:
    """Yield the text in the chunks of a streamed answer; where they hold nothing but thinking, its tag."""
    thinks = speaks = False
    for chunk in chunks:
        if not chunk.choices:
            continue
        delta = chunk.choices[0].delta
        thinks = thinks or any(getattr(delta, name, None) for name in ("reasoning_content", "reasoning"))
        if delta.content:
            speaks = True
            yield delta.content
    if thinks and not speaks:
        yield THINKING


def _usage(value: Any) -> Usage | None:
    """Return the counts where the server sent both; a text is no worse for lacking them."""
    if not isinstance(value, dict):
        return None
    try:
        return Usage(**{key: value.get(key) for key in Usage.model_fields})
    except ValidationError:
        return None


def retry_after_s(value: str | None) -> float:
    """Return the seconds that a Retry-After header asks for, a number or a date; 0 without one."""
    if not value:
        return 0.0
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, OverflowError):
            return 0.0
    return max(0.0, seconds)
