"""What a server that speaks OpenAI's chat completions sends back, read and checked."""

import time
from email.utils import parsedate_to_datetime
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from stages.engines.request import Request
from stages.records.schema import Response, Usage

# `eos_token` and `stop_sequence` are what text-generation-inference said before it took OpenAI's words.
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


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Answer(BaseModel):
    choices: list[_Choice] = Field(min_length=1)
    usage: Any = None


def read_answer(request: Request, content: bytes, model: str) -> Response:
    """Return the response in the body of a chat completion, its text without outer white space.

    Raises:
        UnusableError: it is no chat completion, or not a finished one.
    """
    try:
        answer = _Answer.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"])) or "body"
        raise UnusableError(f"{field}: {first['msg']}", content) from None
    choice = answer.choices[0]
    reason = FINISH_REASONS.get(choice.finish_reason or "")
    if reason is None:
        raise UnusableError(f"finish_reason is {choice.finish_reason!r}", content)
    return Response(
        id=request.id,
        text=(choice.message.content or "").strip(),
        finish_reason=reason,
        attempt=request.attempt,
        model=model,
        usage=_usage(answer.usage),
    )


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
