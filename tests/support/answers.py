"""What models write: answers with an end, and what a parser makes of them."""

from collections.abc import Callable
from typing import Any

from selfevolve.records.schema import Response
from selfevolve.runtime.errors import ParseError

UNDERSTANDING = {
    "user_profile": "a baker",
    "user_emotion": "sad",
    "user_personality": "quiet",
    "user_intention": "to be heard",
}
REFLECTION = {
    "understanding": UNDERSTANDING,
    "evaluation_score": 3,
    "feedback": "too vague",
    "refined_response": "What happened at the bakery?",
}
REFLECTION_ALONE = {key: REFLECTION[key] for key in ("understanding", "evaluation_score", "feedback")}
REFLECTED = {"strategy": "Question", "text": "What happened at the bakery?"}


def written(text: str, reason: Any = "stop") -> Response:
    """An answer that ended for this reason."""
    return Response(id="a#1", text=text, finish_reason=reason, attempt=1, model="m")


def read(parse: Callable[..., Any], text: str, reason: Any = "stop", *more: Any) -> Any:
    """What the parser makes of an answer: the value, or the reason of the failure."""
    try:
        return parse(written(text, reason), *more)
    except ParseError as failure:
        return failure.reason
