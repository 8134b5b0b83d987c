"""Parse a verdict from a judge's answer: tolerant of the text around the JSON, strict with the JSON itself.

An answer that leaves room for doubt is no verdict: a score out of range is not moved into the range, a JSON
that breaks off is not completed, and of two verdicts that differ neither counts. The reasons of a failure:

    content_filter, thinking, cut_off, no_json   as in `selfevolve.prompts.json_objects`
    missing_FIELD    a JSON object without this field
    invalid_FIELD    the field is not of the kind that the rubric asks for
    out_of_range     a whole number that is not on the scale
    ambiguous        several verdicts, or one field several times, that differ
"""

from typing import Any, TypeVar

from pydantic import ValidationError

from selfevolve.prompts.json_objects import read_objects
from selfevolve.records.schema import Record, Response
from selfevolve.runtime.errors import ParseError

V = TypeVar("V", bound=Record)

_OUT_OF_RANGE = {"greater_than_equal", "less_than_equal"}


def parse_verdict(response: Response, kind: type[V], decisive: str) -> V:
    """Return the verdict in an answer; `decisive` is the field that makes a JSON object a verdict.

    Tolerated: text or a Markdown fence around the JSON, any case of its keys, further keys, the same
    verdict more than once.

    Raises:
        ParseError: there is no verdict, for one of the reasons above.
    """
    candidates = read_objects(response, decisive, repair=False, gather=_gathered)
    verdicts: list[V] = []
    failures: list[ParseError] = []
    for candidate in candidates:
        try:
            verdicts.append(_validated(candidate, kind))
        except ParseError as failure:
            failures.append(failure)
    if len({getattr(v, decisive) for v in verdicts} | {failure.reason for failure in failures}) > 1:
        raise ParseError("ambiguous")
    if failures:
        raise failures[0]
    return verdicts[0]


def _gathered(pairs: list[tuple[str, Any]]) -> dict[str, list[Any]]:
    gathered: dict[str, list[Any]] = {}
    for key, value in pairs:
        gathered.setdefault(key.strip().lower(), []).append(value)
    return gathered


def _validated(found: dict[str, list[Any]], kind: type[V]) -> V:
    values = {name: found[name] for name in kind.model_fields if name in found}
    if any(value != given[0] for given in values.values() for value in given[1:]):
        raise ParseError("ambiguous")
    try:
        return kind.model_validate({name: given[0] for name, given in values.items()})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        if first["type"] in _OUT_OF_RANGE:
            raise ParseError("out_of_range") from None
        state = "missing" if first["type"] == "missing" else "invalid"
        raise ParseError(f"{state}_{first['loc'][0]}") from None
