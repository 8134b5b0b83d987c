"""The one reader and the one writer of record files: JSONL, UTF-8, one record a line, sorted by id."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import parse_json, publishing, read_text
from selfevolve.runtime.parameters import validate

R = TypeVar("R", bound=BaseModel)


def read_records(path: Path | str, kind: type[R], unique: bool = True) -> list[R]:
    """Read every record of a JSONL file; blank lines are allowed.

    Ids must be unique where the record has one, unless `unique` is false.

    Raises:
        InputError: the file cannot be read, or a line is no valid record; it names file, line, id and field.
    """
    records: list[R] = []
    seen: set[str] = set()
    for number, value in read_json_lines(path):
        identity = value.get("id") if isinstance(value, dict) else None
        where = f"line {number}" + (f" ({identity})" if identity is not None else "")
        record = validate(kind, value, file=path, record=where)
        identity = getattr(record, "id", None)
        if unique and identity is not None and identity in seen:
            raise InputError("id occurs twice", file=path, record=f"line {number} ({identity})", field="id")
        seen.add(identity)
        records.append(record)
    return records


def read_by_id(path: Path | str, kind: type[R], ids: Iterable[str]) -> dict[str, R]:
    """Read the records of these ids, in the order of the ids; raises InputError also if one is missing."""
    wanted = list(ids)
    found = {record.id: record for record in read_records(path, kind)}
    if missing := [identity for identity in wanted if identity not in found]:
        more = f", nor of {len(missing) - 1} more" if len(missing) > 1 else ""
        raise InputError(f"has no record of this id{more}", file=path, record=missing[0])
    return {identity: found[identity] for identity in wanted}


def read_json_lines(path: Path | str) -> Iterator[tuple[int, object]]:
    """Yield (line number from 1, parsed value) for every line of a JSONL file that is not blank."""
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            yield number, parse_json(line, path, f"line {number}")


def write_records(path: Path | str, records: Iterable[BaseModel]) -> int:
    """Publish records to `path` sorted by id, keys in the order of the type; return their number."""
    ordered = sorted(records, key=lambda record: natural_key(record.id))
    with publishing(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        values = (record.model_dump(mode="json", by_alias=True, exclude_none=True) for record in ordered)
        for value in values:
            file.write(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")
    return len(ordered)


def write_folder(path: Path | str, files: Mapping[str, Iterable[BaseModel]]) -> None:
    """Publish a folder of record files at once: `<name>.jsonl` of each name, as `write_records` does it."""
    with publishing(path) as folder:
        folder.mkdir()
        for name, records in files.items():
            write_records(folder / f"{name}.jsonl", records)


def natural_key(identity: str) -> tuple[str, int]:
    """Order `extes-00012#5` before `extes-00012#10`: by the text before '#', then by turn number."""
    dialogue, _, turn = identity.partition("#")
    return (dialogue, int(turn)) if turn.isdecimal() else (identity, -1)


def dialogue_of(identity: str) -> str:
    """Return the dialogue of a context, a response or a pair: what stands before the last `#` of its id."""
    return identity.rpartition("#")[0] or identity


def seeker_turn_of(identity: str, turns: Mapping[str, int], file: Path | str, dialogues: Path | str) -> int:
    """Return which turn of its seeker a context ends with, from 0.

    Args:
        identity: the context's id, `<dialogue>#<index of the supporter turn>`.
        turns: the numbers of turns of all dialogues, by id.
        file: where the id stands; an error names it.
        dialogues: where the dialogues stand.

    Raises:
        InputError: it is the id of no supporter turn of these dialogues.
    """
    dialogue, _, index = identity.partition("#")
    if dialogue not in turns:
        raise InputError(f"no such dialogue in {dialogues}", file=file, record=identity)
    if not (index.isdecimal() and int(index) % 2 and int(index) < turns[dialogue]):
        raise InputError("is no supporter turn of its dialogue", file=file, record=identity)
    return int(index) // 2
