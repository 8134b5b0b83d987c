"""The JSON objects of a corpus: one file or a folder; a list, one object a line, or one after another."""

import json
import math
import re
from pathlib import Path
from typing import Any, NoReturn

from pydantic import ValidationError

from stages.records.errors import InputError
from stages.records.jsonl import read_text

SUFFIXES = (".json", ".jsonl")
_WHITE_SPACE = re.compile(r"[ \t\n\r]*")


def corpus_files(path: Path | str) -> list[Path]:
    """Return `path` itself, or the .json and .jsonl files of the folder `path`, sorted by name.

    Hidden files and subfolders are not read.

    Raises:
        InputError: a folder without such a file. (A missing file fails when it is read.)
    """
    path = Path(path)
    if not path.is_dir():
        return [path]
    files = [f for f in path.iterdir() if f.suffix in SUFFIXES and f.is_file() and not f.name.startswith(".")]
    if not files:
        raise InputError("no .json or .jsonl file in this folder", file=path)
    return sorted(files, key=lambda file: file.name)


def read_objects(file: Path) -> list[dict[str, Any]]:
    """Return the JSON objects of one file, in order.

    The file holds one list of objects, or objects one after another with white space between them
    (JSONL is the special case of one a line). No object at all is an empty corpus, but an empty file
    named .json is an error: it is not JSON, and most likely a download that broke off.

    Raises:
        InputError: missing, not UTF-8, not JSON (NaN and numbers out of range count as such), or
            something else than objects.
    """
    values = _json_values(read_text(file), file)
    if not values and file.suffix == ".json":
        raise InputError("not JSON: the file is empty", file=file)
    if len(values) == 1 and not isinstance(values[0], dict):
        if not isinstance(values[0], list):
            found = type(values[0]).__name__
            raise InputError(f"wrong top-level type {found}, expected a list of objects", file=file)
        values = values[0]
    for position, value in enumerate(values):
        if not isinstance(value, dict):
            found = type(value).__name__
            raise InputError(f"wrong type {found}, expected an object", file=file, record=position)
    return values


def first_problem(error: ValidationError) -> tuple[str, str | None]:
    """Return (message, dotted field or None) of a validation error's first problem."""
    first = error.errors(include_url=False)[0]
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "missing":
        message = "missing field"
    elif first["type"] != "value_error":
        message += f", got {_shown(first['input'])}"
    return message, ".".join(str(part) for part in first["loc"]) or None


def _shown(value: object) -> str:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = json.dumps(value, default=str)
    return text if len(text) <= 40 else text[:37] + "..."


def _json_values(text: str, file: Path) -> list[Any]:
    decoder = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite)
    values: list[Any] = []
    position = _WHITE_SPACE.match(text).end()
    while position < len(text):
        try:
            value, position = decoder.raw_decode(text, position)
        except json.JSONDecodeError as error:
            raise InputError(f"not JSON: {error.msg}", file=file, record=f"line {error.lineno}") from None
        except (ValueError, RecursionError) as error:
            line = text.count("\n", 0, position) + 1
            raise InputError(f"not JSON: {error}", file=file, record=f"line {line}") from None
        values.append(value)
        position = _WHITE_SPACE.match(text, position).end()
    return values


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits} is out of range")
    return number
