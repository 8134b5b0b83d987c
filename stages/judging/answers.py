"""Reading a verdict from a judge's answer: tolerant of what stands around the JSON, strict with what it says.

An answer that leaves room for doubt is no verdict: a score out of range is not moved into it, a JSON that
breaks off is not completed, and of two verdicts that differ neither is taken.
"""

import json
from collections.abc import Iterator
from typing import Any, TypeVar

from pydantic import ValidationError

from stages.records.schema import Record, Response

V = TypeVar("V", bound=Record)

REASONS = {
    "no_json": "no JSON object in the answer",
    "cut_off": "no JSON object, and the answer was longer than it may be",
    "content_filter": "the server withheld the answer",
    "missing_FIELD": "a JSON object, but without this field",
    "invalid_FIELD": "the field is not of the kind asked for",
    "out_of_range": "a whole number, but none of the scale",
    "ambiguous": "several verdicts, or one field several times, that differ",
    "too_long": "the request does not fit the judge's window; it was not asked",
}
"""Why an answer is no verdict. What went wrong on the way has the kinds of stages.engines.openai_engine."""

_OUT_OF_RANGE = {"greater_than_equal", "less_than_equal"}


def read_verdict(response: Response, kind: type[V], decisive: str) -> V | str:
    """Return the verdict in an answer, or the reason why there is none, a key of REASONS.

    Tolerated: text or a Markdown fence around the JSON, any case of its keys, further keys, the same
    verdict more than once.

    Args:
        response: the judge's answer.
        kind: the record to read; its validators say what values are taken.
        decisive: the field that makes a JSON object of the answer a verdict.
    """
    if response.finish_reason == "content_filter":
        return "content_filter"
    objects = list(_objects(response.text))
    candidates = [found for found in objects if decisive in found]
    if not candidates:
        absent = "cut_off" if response.finish_reason == "length" else "no_json"
        return f"missing_{decisive}" if objects else absent
    verdicts = [_validated(found, kind) for found in candidates]
    kinds = {getattr(verdict, decisive, verdict) for verdict in verdicts}
    return verdicts[0] if len(kinds) == 1 else "ambiguous"


def _objects(text: str) -> Iterator[dict[str, list[Any]]]:
    """Yield every JSON object that stands whole in a text: its keys in lower case, all values of each."""
    decoder = json.JSONDecoder(object_pairs_hook=_gathered, strict=False)
    start = text.find("{")
    while start >= 0:
        try:
            value, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):  # a number too long to be read is a ValueError, too
            end = start + 1
        else:
            yield value
        start = text.find("{", end)


def _gathered(pairs: list[tuple[str, Any]]) -> dict[str, list[Any]]:
    gathered: dict[str, list[Any]] = {}
    for key, value in pairs:
        gathered.setdefault(key.strip().lower(), []).append(value)
    return gathered


def _validated(found: dict[str, list[Any]], kind: type[V]) -> V | str:
    values = {name: found[name] for name in kind.model_fields if name in found}
    if any(value != given[0] for given in values.values() for value in given[1:]):
        return "ambiguous"
    try:
        return kind.model_validate({name: given[0] for name, given in values.items()})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        if first["type"] in _OUT_OF_RANGE:
            return "out_of_range"
        state = "missing" if first["type"] == "missing" else "invalid"
        return f"{state}_{first['loc'][0]}"
