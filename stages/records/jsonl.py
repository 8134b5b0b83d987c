"""The one reader and the one writer of record files: JSONL, UTF-8, one record a line, sorted by id."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import jsonlines
from pydantic import BaseModel, ValidationError

from stages.records.errors import InputError
from stages.records.publish import publishing

R = TypeVar("R", bound=BaseModel)


def read_records(path: Path | str, kind: type[R], unique: bool = True) -> list[R]:
    """Read every record of a JSONL file.

    Blank lines are allowed; ids must be unique where the record has one, unless `unique` is false.

    Raises:
        InputError: the file is missing or not UTF-8, or a line is not JSON or not a valid record;
            the message names file, line, id and field.
    """
    records: list[R] = []
    seen: set[str] = set()
    for number, value in read_json_lines(path):
        record = _validated(value, kind, path, number)
        identity = getattr(record, "id", None)
        if unique and identity is not None and identity in seen:
            raise InputError("id occurs twice", file=path, record=f"line {number} ({identity})", field="id")
        seen.add(identity)
        records.append(record)
    return records


def read_json_lines(path: Path | str) -> Iterator[tuple[int, object]]:
    """Yield (line number from 1, parsed value) for every line of a JSONL file that is not blank."""
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            yield number, json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"not JSON: {error.msg}", file=path, record=f"line {number}") from None


def read_text(path: Path | str) -> str:
    """Read a UTF-8 text file (a byte-order mark is allowed); every way to fail is an InputError."""
    try:
        return Path(path).read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise InputError("no such file", file=path) from None
    except UnicodeDecodeError as error:
        raise InputError(f"not valid UTF-8 (byte {error.start})", file=path) from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", file=path) from None


def write_records(path: Path | str, records: Iterable[BaseModel]) -> int:
    """Publish records to `path` sorted by id, keys in the order of the type; return their number."""
    ordered = sorted(records, key=lambda record: natural_key(record.id))
    with publishing(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        values = (record.model_dump(mode="json", by_alias=True, exclude_none=True) for record in ordered)
        jsonlines.Writer(file, compact=True).write_all(values)
    return len(ordered)


def natural_key(identity: str) -> tuple[str, int]:
    """Order `extes-00012#5` before `extes-00012#10`: by the text before '#', then by turn number."""
    dialogue, _, turn = identity.partition("#")
    return (dialogue, int(turn)) if turn.isdecimal() else (identity, -1)


def _validated(value: object, kind: type[R], path: Path | str, number: int) -> R:
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        identity = value.get("id") if isinstance(value, dict) else None
        record = f"line {number}" + (f" ({identity})" if identity is not None else "")
        field = ".".join(str(part) for part in first["loc"]) or None
        raise InputError(first["msg"], file=path, record=record, field=field) from None
