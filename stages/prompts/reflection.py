"""The JSON that the reflection prompt asks for (paper, appendix E), read tolerantly."""

import re
from typing import Any

import json_repair
from pydantic import ValidationError

from stages.records.schema import NonEmpty, Record, Understanding

_BLOCK = re.compile(r"```(?:\w+)?\s*\n?(.*?)(?:```|\Z)", re.DOTALL)
_SCORE = re.compile(r"-?\d+(?:\.\d+)?")


class Reflection(Record):
    """What a model wrote about a seeker and about its own response, and the refined response."""

    understanding: Understanding
    evaluation_score: float | None
    feedback: str
    refined_response: NonEmpty


def parse_reflection(text: str) -> Reflection | None:
    """Read a reflection from a model's answer, or return None when it is not one.

    Tolerated: text around the JSON, a Markdown block, single quotes, trailing commas, missing closing
    brackets, lists or numbers where text is expected, a score such as "4/5". Not tolerated: a missing
    `refined_response` or any part of `understanding`, since those are what the method lives on.
    """
    block = _BLOCK.search(text)
    for candidate in [block.group(1)] if block else []:
        if (reflection := _from_json(candidate)) is not None:
            return reflection
    start = text.find("{")
    return _from_json(text[start:]) if start >= 0 else None


def _from_json(text: str) -> Reflection | None:
    try:
        value: Any = json_repair.loads(text)
    except (ValueError, RecursionError):  # too deeply nested to be an answer to this prompt
        return None
    if not isinstance(value, dict) or not isinstance(value.get("understanding"), dict):
        return None
    understanding = {key: _as_text(part) for key, part in value["understanding"].items()}
    known = Understanding.model_fields.keys()
    try:
        return Reflection(
            understanding=Understanding(**{key: understanding[key] for key in known if key in understanding}),
            evaluation_score=_as_score(value.get("evaluation_score")),
            feedback=_as_text(value.get("feedback")),
            refined_response=_as_text(value.get("refined_response")),
        )
    except ValidationError:
        return None


def _as_text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_as_text(part) for part in value)
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_as_text(part)}" for key, part in value.items())
    return "" if value is None else str(value).strip()


def _as_score(value: Any) -> float | None:
    found = _SCORE.search(str(value)) if value is not None and not isinstance(value, bool) else None
    return float(found.group()) if found else None
