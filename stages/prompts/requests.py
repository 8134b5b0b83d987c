"""The messages that ask a model for a response, and for a reflection with a refined response."""

from typing import Any

from stages.prompts.self_reflection import ReflectedResponse, parse_self_reflection
from stages.prompts.templates import Prompts
from stages.records.schema import Message

JSON_PROMPTS = ("self_reflection",)  # what asks for a response as a part of JSON
_ROLE_NAMES = {"user": "seeker", "assistant": "supporter"}


def response_messages(prompts: Prompts, prompt: str, messages: list[Message]) -> list[Message]:
    """Ask for the supporter's next turn: P_task || C_n of equation 1.

    `prompt` is one of table 3's: plain (vanilla), task (with strategy guidelines) or self_reflection.
    """
    return [Message(role="system", content=prompts.text(prompt)), *messages]


def read_response(prompt: str, answer: str) -> str | None:
    """Return the response in an answer to `response_messages`; None where the JSON asked for is missing."""
    if prompt not in JSON_PROMPTS:
        return answer
    found = parse_self_reflection(answer)
    return found.text if found else None


def response_schema(prompt: str) -> dict[str, Any] | None:
    """Return the JSON schema of what an answer to this prompt should be; None where it is no JSON."""
    return ReflectedResponse.model_json_schema() if prompt in JSON_PROMPTS else None


def refine_messages(prompts: Prompts, messages: list[Message], response: str) -> list[Message]:
    """Ask for reflection and refinement in one answer: I || C_n, y_n of equations 4 and 5."""
    request = prompts.fill("refine_request", dialogue=transcript(messages), response=response)
    return [
        Message(role="system", content=prompts.text("refine")),
        Message(role="user", content=request),
    ]


def transcript(messages: list[Message]) -> str:
    """Return a dialogue as text, one turn a line, each with its speaker."""
    return "\n".join(f"{_ROLE_NAMES[message.role]}: {message.content}" for message in messages)
