"""The messages that ask a model for a response, and for a reflection with a refined response."""

from stages.prompts.templates import Prompts
from stages.records.schema import Message

_ROLE_NAMES = {"user": "seeker", "assistant": "supporter"}


def response_messages(prompts: Prompts, prompt: str, messages: list[Message]) -> list[Message]:
    """Ask for the supporter's next turn: P_task || C_n of equation 1. `prompt` is plain or task."""
    return [Message(role="system", content=prompts.text(prompt)), *messages]


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
