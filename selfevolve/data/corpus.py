"""Read a corpus: dialogues in any known layout, or Alpaca's instruction items, from a file or a folder.

A file holds one list of JSON objects, or objects one after another (JSONL is the special case of one a line).
selfevolve.data.corpus_files says which files of a folder are read.
"""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from pydantic_core import to_json

from selfevolve.data.corpus_files import corpus_files
from selfevolve.data.layouts import LAYOUTS, PARAMETER, Layout, RawDialogue, Shape, Speaker, Text
from selfevolve.records.schema import Message
from selfevolve.records.texts import is_blank, visible
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import read_text
from selfevolve.runtime.parameters import validate

# Enough digits for the corpora's sizes (paper, table 1): esconv-0007, extes-00012.
ID_DIGITS = {"esconv": 4, "extes": 5, "serveforemo": 4}
_WHITE_SPACE = re.compile(r"[ \t\n\r]*")
_STRING_OR_NUMBER = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|NaN|-?Infinity')


def load_corpus(
    path: Path | str, source: str, roles: Mapping[str, Speaker] | None = None
) -> list[RawDialogue]:
    """Return the raw dialogues of a file or folder.

    Ids are `<source>-<position>`; positions count from 0 on through the files in the order of their
    names. Each file may be of another layout: that of its first record that has a known one.

    Args:
        path: a file, or a folder of files.
        source: the corpus's name.
        roles: who speaks under words that `layouts.ROLES` does not have, or knows as somebody else.

    Raises:
        InputError: a file cannot be read or has an unknown layout, a field is missing or wrong, or a dialogue
            has no turns or those of one speaker only; the message names file, record and field.
    """
    dialogues: list[RawDialogue] = []
    for file in corpus_files(path).read:
        objects = read_objects(file)
        field = _turns_field(objects, file)
        for position, value in enumerate(objects):
            identity = f"{source}-{len(dialogues):0{ID_DIGITS.get(source, 5)}d}"
            record = f"{position} ({identity})"
            session = validate(LAYOUTS[field], value, file=file, record=record, context=roles)
            dialogues.append(_dialogue(session, identity, source, file=file, record=record, field=field))
    return dialogues


class AlpacaItem(Shape):
    """One item; `input` is empty where the instruction needs none."""

    id: str
    instruction: Text
    input: Text = ""
    output: Text

    def messages(self) -> list[Message]:
        """Return the item as one exchange; its input, where it has one, follows the instruction."""
        question = f"{self.instruction}\n{self.input}" if not is_blank(self.input) else self.instruction
        return [Message(role="user", content=question), Message(role="assistant", content=self.output)]


def load_alpaca(path: Path | str) -> tuple[list[AlpacaItem], dict[str, int]]:
    """Return Alpaca's items of a file or folder, and the numbers of items skipped, by reason.

    Ids are `alpaca-<position>` with five digits. Items with a blank instruction or output are skipped.
    """
    items: list[AlpacaItem] = []
    skipped = {"blank_instruction": 0, "blank_output": 0}
    position = 0
    for file in corpus_files(path).read:
        for number, value in enumerate(read_objects(file)):
            identity = f"alpaca-{position:05d}"
            position += 1
            record = f"{number} ({identity})"
            item = validate(AlpacaItem, {**value, "id": identity}, file=file, record=record)
            if is_blank(item.instruction):
                skipped["blank_instruction"] += 1
            elif is_blank(item.output):
                skipped["blank_output"] += 1
            else:
                items.append(item)
    return items, skipped


def read_objects(file: Path) -> list[dict[str, Any]]:
    """Return the JSON objects of one file, in order.

    No object at all is an empty corpus, but an empty file named .json is an error: it is not JSON, and most
    likely a download that broke off. NaN and numbers out of range are errors, too.
    """
    values = _json_values(read_text(file), file)
    if not values and file.name.lower().removesuffix(".gz").endswith(".json"):
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


def _json_values(text: str, file: Path) -> list[Any]:
    decoder = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite)
    values: list[Any] = []
    position = 0
    while (position := _WHITE_SPACE.match(text, position).end()) < len(text):
        try:
            value, position = decoder.raw_decode(text, position)
        except json.JSONDecodeError as error:
            raise _not_json(error.msg, text, error.pos, file) from None
        except _NotFiniteError as error:
            raise _not_json(str(error), text, _place(error.digits, text, position), file) from None
        except (ValueError, RecursionError) as error:  # thousands of digits, thousands of brackets
            raise _not_json(str(error), text, position, file) from None
        values.append(value)
    return values


def _not_json(reason: str, text: str, position: int, file: Path) -> InputError:
    line, column = text.count("\n", 0, position) + 1, position - text.rfind("\n", 0, position)
    return InputError(f"not JSON: {reason} (column {column})", file=file, record=f"line {line}")


class _NotFiniteError(ValueError):
    """A number that JSON does not have, as it stands in the file."""

    def __init__(self, digits: str, problem: str):
        super().__init__(f"{digits} is {problem}")
        self.digits = digits


def _place(digits: str, text: str, start: int) -> int:
    """Return where a number stands first at or after `start`, outside of strings."""
    found = _STRING_OR_NUMBER.finditer(text, start)
    return next((one.start() for one in found if one.group() == digits), start)


def _refuse(constant: str) -> NoReturn:
    raise _NotFiniteError(constant, "not a number")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise _NotFiniteError(digits, "out of range")
    return number


def _turns_field(objects: list[dict[str, Any]], file: Path) -> str:
    """Return the field that holds the turns in a file's records: a key of LAYOUTS."""
    for value in objects:
        names = set(map(visible, value))
        for field in LAYOUTS:
            if field in names:
                return field
    if objects:
        raise InputError(f"unknown shape: no field of {', '.join(LAYOUTS)}", file=file, record=0)
    return ""


def _dialogue(session: Layout, identity: str, source: str, *, field: str, **where: object) -> RawDialogue:
    turns, meta = session.turns(), session.meta()
    if not turns:
        raise InputError("empty dialogue: no turns", field=field, **where)
    if len({turn.role for turn in turns}) == 1:
        message = f"one-sided dialogue: only {turns[0].role} turns"
        raise InputError(f"{message}; {PARAMETER} can say otherwise", field=field, **where)
    try:
        to_json(meta)  # half characters and bottomless nesting could not be written later
    except ValueError as error:
        raise InputError(f"cannot be stored: {error}", field="meta", **where) from None
    return RawDialogue(identity, source, turns, meta)
