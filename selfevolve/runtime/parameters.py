"""The parameters of a run: sections of params.yaml, checked; and how a wrong value is said in one line."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import read_yaml


class Params(BaseModel):
    """Base of the sections of params.yaml: unknown keys are errors and nothing is coerced."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


P = TypeVar("P", bound=BaseModel)


def validate(
    kind: type[P],
    value: object,
    *,
    file: object = None,
    record: object = None,
    section: str = "",
    context: object = None,
) -> P:
    """Return a value as an instance of a pydantic model; its validators see `context`.

    Raises:
        InputError: the value does not fit; the message names file, record, field (after `section`, such as
            `engine`) and the first reason.
    """
    try:
        return kind.model_validate(value, context=context)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in ([section] if section else []) + list(first["loc"]))
        raise InputError(_reason(first), file=file, record=record, field=field or None) from None


def _reason(problem: Mapping[str, Any]) -> str:
    """Return pydantic's message in our words, with the value that does not fit."""
    if problem["type"] == "missing":
        return "missing field"
    message = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] in ("value_error", "extra_forbidden"):
        return message
    value = problem["input"]
    if isinstance(value, dict | list):
        return f"{message}, got {'an object' if isinstance(value, dict) else 'a list'}"
    text = json.dumps(value, default=str)
    return f"{message}, got {text if len(text) <= 40 else text[:37] + '...'}"


def load_params(section: str, path: Path | str = "params.yaml") -> Any:
    """Return one section of the parameters file as it is, mostly a mapping; InputError if it is missing."""
    params = read_yaml(path)
    if not isinstance(params, dict) or section not in params:
        raise InputError("missing section", file=path, field=section)
    return params[section]


def read_params(section: str, kind: type[P], path: Path | str = "params.yaml") -> P:
    """Return one section of the parameters file, checked; raises InputError as `validate`."""
    return validate(kind, load_params(section, path), file=path, section=section)
