"""The JSON that the reflection prompt asks for (paper, appendix E), read tolerantly."""

import re
from typing import Any

from pydantic import ValidationError

from stages.prompts.json_answer import as_text, json_objects
from stages.records.schema import NonEmpty, Record, Understanding

_SCORE = re.compile(r"-?\d+(?:\.\d+)?")


class Reflection(Record):
    """What a model wrote about a seeker and about its own response, and the refined response."""

    understanding: Understanding
    evaluation_score: float | None
    feedback: str
    refined_response: NonEmpty


def parse_reflection(text: str) -> Reflection | None:
    """Read a reflection from a model's answer, or return None when it is not one.

    Tolerated is what `json_objects` tolerates, lists or numbers where text is expected, and a score such as
    "4/5". Not tolerated: a missing `refined_response` or any part of `understanding`, since those are what
    the method lives on.
    """
    for value in json_objects(text):
        if (reflection := _reflection(value)) is not None:
            return reflection
    return None


def _reflection(value: dict[str, Any]) -> Reflection | None:
    if not isinstance(value.get("understanding"), dict):
        return None
    understanding = {key: as_text(part) for key, part in value["understanding"].items()}
    known = Understanding.model_fields.keys()
    try:
        return Reflection(
            understanding=Understanding(**{key: understanding[key] for key in known if key in understanding}),
            evaluation_score=_as_score(value.get("evaluation_score")),
            feedback=as_text(value.get("feedback")),
            refined_response=as_text(value.get("refined_response")),
        )
    except ValidationError:
        return None


def _as_score(value: Any) -> float | None:
    found = _SCORE.search(str(value)) if value is not None and not isinstance(value, bool) else None
    return float(found.group()) if found else None
