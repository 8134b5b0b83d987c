"""JSON in a model's answer, read tolerantly."""

import re
from collections.abc import Iterator
from typing import Any

import json_repair

_BLOCK = re.compile(r"```(?:\w+)?\s*\n?(.*?)(?:```|\Z)", re.DOTALL)


def json_objects(text: str) -> Iterator[dict[str, Any]]:
    """Yield what may be the JSON object that an answer was to be: of a Markdown block, and from the first
    brace on.

    Tolerated: text around the JSON, single quotes, trailing commas, missing closing brackets.
    """
    block = _BLOCK.search(text)
    start = text.find("{")
    for candidate in (block.group(1) if block else "", text[start:] if start >= 0 else ""):
        try:
            value: Any = json_repair.loads(candidate)
        except (ValueError, RecursionError):  # too deeply nested to be an answer to a prompt of ours
            continue
        if isinstance(value, dict):
            yield value


def as_text(value: Any) -> str:
    """Return a value as text: lists and objects in one line, null as nothing."""
    if isinstance(value, list):
        return ", ".join(as_text(part) for part in value)
    if isinstance(value, dict):
        return ", ".join(f"{key}: {as_text(part)}" for key, part in value.items())
    return "" if value is None else str(value).strip()
