"""Read the JSON that the prompts of appendix E ask for: a reflection, or a response with its strategy.

The schemas of these records, docstrings included, go with the requests: some engines keep a model to them.
The reasons of a failure are those of `json_objects` and `response_text`, and `echo` also where the whole
understanding is that of the prompt's example.
"""

import json
import math
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from selfevolve.prompts.json_objects import read_objects
from selfevolve.prompts.response_text import folded, read_response_text
from selfevolve.records.schema import NonEmpty, Record, Response, Understanding
from selfevolve.records.texts import after_thinking
from selfevolve.runtime.errors import ParseError

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")

T = TypeVar("T")


class ReflectionAlone(Record):
    """What a model wrote about a seeker and about its own response."""

    understanding: Understanding
    evaluation_score: float | None
    feedback: str


class Reflection(ReflectionAlone):
    """What a model wrote about a seeker and about its own response, and the refined response."""

    refined_response: NonEmpty


class ReflectedResponse(Record):
    """A response that was written after thinking about the seeker, and the strategy chosen for it."""

    strategy: str
    text: NonEmpty


@dataclass(frozen=True)
class Parsed(Generic[T]):
    """What was read in an answer, and whether a label or a strategy was removed before its response."""

    value: T
    labelled: bool


def parse_reflection(answer: Response, examples: Collection[str] = ()) -> Parsed[Reflection]:
    """Return the reflection, with the refined response, in a model's answer.

    A score such as "4/5", lists of texts and numbers in `understanding`, and any feedback are tolerated. A
    missing `refined_response` or part of `understanding` is not: the method lives on those.

    Args:
        answer: to the prompt `refine`.
        examples: the texts of that prompt's own example (see `example_texts`).

    Raises:
        ParseError: there is none; the reason is a word.
    """

    def read(value: dict[str, Any]) -> Parsed[Reflection]:
        refined = read_response_text(value.get("refined_response"), "refined_response", examples)
        return Parsed(
            Reflection(**dict(_reflection(value, examples)), refined_response=refined.text),
            refined.labelled,
        )

    return _last(answer, "refined_response", read)


def parse_reflection_alone(answer: Response, examples: Collection[str] = ()) -> Parsed[ReflectionAlone]:
    """Return the reflection in an answer to the prompt `reflect`; the rest as `parse_reflection`."""
    return _last(answer, "understanding", lambda value: Parsed(_reflection(value, examples), labelled=False))


def parse_response(answer: Response) -> Parsed[str]:
    """Return the response that is a whole answer, without a label before it.

    Raises:
        ParseError: it has none, or was cut off; the reason is a word.
    """
    if answer.finish_reason != "stop":
        raise ParseError("cut_off" if answer.finish_reason == "length" else answer.finish_reason)
    found = read_response_text(after_thinking(answer.text), "response")
    return Parsed(found.text, found.labelled)


def parse_self_reflection(answer: Response, examples: Collection[str] = ()) -> Parsed[ReflectedResponse]:
    """Return the response in an answer to table 3's self-reflection prompt; the rest as `parse_reflection`.

    An unknown or missing strategy is tolerated, since only the text is used; a missing or blank text is not.
    """

    def read(value: dict[str, Any]) -> Parsed[ReflectedResponse]:
        response = read_response_text(value.get("text"), "text", examples)
        strategy = _as_feedback(value.get("strategy"))
        return Parsed(ReflectedResponse(strategy=strategy, text=response.text), response.labelled)

    return _last(answer, "text", read)


def _last(answer: Response, decisive: str, read: Callable[[dict[str, Any]], Parsed[T]]) -> Parsed[T]:
    """Return what the last object gives that can be read; raise the last one's failure where none can.

    Models write drafts, repeat the example and correct themselves: what comes last is what they mean.
    """
    failures: list[ParseError] = []
    for value in reversed(read_objects(answer, decisive, repair=True)):
        try:
            return read(value)
        except ParseError as failure:
            failures.append(failure)
    raise failures[0]


def _reflection(value: dict[str, Any], examples: Collection[str]) -> ReflectionAlone:
    return ReflectionAlone(
        understanding=_understanding(value.get("understanding"), examples),
        evaluation_score=_as_score(value.get("evaluation_score")),
        feedback=_as_feedback(value.get("feedback")),
    )


def _understanding(value: Any, examples: Collection[str]) -> Understanding:
    if value is None:
        raise ParseError("missing_understanding")
    if not isinstance(value, dict):
        raise ParseError("invalid_understanding")
    parts = {}
    for field in Understanding.model_fields:
        if field not in value:
            raise ParseError(f"missing_{field}")
        if (text := _as_text(value[field])) is None:
            raise ParseError(f"invalid_{field}")
        parts[field] = text
    if all(folded(text) in examples for text in parts.values()):
        raise ParseError("echo")
    return Understanding(**parts)


def _as_text(value: Any) -> str | None:
    """Return texts, numbers and lists of them in one line, null as nothing; None for everything else."""
    values = value if isinstance(value, list) else [value]
    if not all(part is None or isinstance(part, str | int | float) for part in values):
        return None
    return ", ".join("" if part is None else str(part).strip() for part in values)


def _as_feedback(value: Any) -> str:
    """Return any value as text: nothing depends on what it says."""
    text = _as_text(value)
    return json.dumps(value, ensure_ascii=False) if text is None else text


def _as_score(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    found = _NUMBER.search(str(value))
    score = float(found.group()) if found else math.inf
    return score if math.isfinite(score) else None
