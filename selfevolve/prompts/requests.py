"""Make the messages that ask a model for a response, or for a reflection with a refined response."""

from collections.abc import Callable
from typing import Any

from selfevolve.prompts.answers import Parsed, ReflectedResponse, ReflectionAlone, parse_self_reflection
from selfevolve.prompts.response_text import example_texts
from selfevolve.prompts.templates import Prompts
from selfevolve.records.schema import Message, Response
from selfevolve.records.texts import after_thinking

JSON_PROMPTS = ("self_reflection",)  # these ask for JSON with the response in it
_ROLE_NAMES = {"user": "seeker", "assistant": "supporter"}


def response_messages(prompts: Prompts, prompt: str, messages: list[Message]) -> list[Message]:
    """Ask for the supporter's next turn: P_task || C_n of equation 1.

    `prompt` is one of table 3's: plain (vanilla), task (with strategy guidelines) or self_reflection.
    """
    return [Message(role="system", content=prompts.text(prompt)), *messages]


def response_reader(prompts: Prompts, prompt: str) -> Callable[[Response], Parsed[str]]:
    """Return what reads the response in an answer to `response_messages`, or raises ParseError."""
    if prompt not in JSON_PROMPTS:
        return lambda answer: Parsed(after_thinking(answer.text), labelled=False)
    examples = example_texts(prompts.text(prompt))

    def read(answer: Response) -> Parsed[str]:
        found = parse_self_reflection(answer, examples)
        return Parsed(found.value.text, found.labelled)

    return read


def response_schema(prompt: str) -> dict[str, Any] | None:
    """Return the JSON schema of the answers to this prompt; None where they are plain text."""
    return ReflectedResponse.model_json_schema() if prompt in JSON_PROMPTS else None


def refine_messages(
    prompts: Prompts, messages: list[Message], response: str, most_words: int | None = None
) -> list[Message]:
    """Ask for reflection and refinement in one answer: I || C_n, y_n of equations 4 and 5.

    With `most_words` the request is that for a shorter refined response, which names this number.
    """
    return _judging(prompts, "refine", messages, response, _limit(prompts, most_words))


def reflect_messages(prompts: Prompts, messages: list[Message], response: str) -> list[Message]:
    """Ask for the reflection alone: I || C_n of equation 4, with the response to be judged."""
    return _judging(prompts, "reflect", messages, response)


def rewrite_messages(
    prompts: Prompts,
    messages: list[Message],
    response: str,
    reflection: ReflectionAlone,
    most_words: int | None = None,
) -> list[Message]:
    """Ask for the refined response after the reflection: I || C_n, u_n, s_n, y_n of equation 5.

    The policy is asked as for a direct response, by the dialogue itself; what it understood stands in the
    system message. `most_words` as in `refine_messages`.
    """
    told = {**reflection.understanding.model_dump(), "feedback": reflection.feedback, "response": response}
    system = prompts.fill("rewrite", **told) + _limit(prompts, most_words)
    return [Message(role="system", content=system), *messages]


def _judging(
    prompts: Prompts, system: str, messages: list[Message], response: str, limit: str = ""
) -> list[Message]:
    request = prompts.fill("refine_request", dialogue=transcript(messages), response=response)
    return [
        Message(role="system", content=prompts.text(system)),
        Message(role="user", content=request + limit),
    ]


def _limit(prompts: Prompts, most_words: int | None) -> str:
    return "" if most_words is None else "\n\n" + prompts.fill("shorter", words=str(most_words))


def transcript(messages: list[Message]) -> str:
    """Return a dialogue as text, one turn a line, each with its speaker."""
    return "\n".join(f"{_ROLE_NAMES[message.role]}: {message.content}" for message in messages)
