"""Load a corpus of dialogues in any known layout; the layout is told by the records, not by file names."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_json

from stages.dialogue.esconv import EsconvSession
from stages.dialogue.extes import ExtesSession
from stages.dialogue.files import corpus_files, first_problem, read_objects
from stages.dialogue.raw import Layout, RawDialogue
from stages.dialogue.serveforemo import ServeForEmoSession
from stages.dialogue.sharegpt import MessagesSession, ShareGptSession
from stages.records.errors import InputError

# The field that holds the turns tells the layout. `content` is last: it is the commonest word.
LAYOUTS: dict[str, type[Layout]] = {
    "dialog": EsconvSession,
    "dialogue": ServeForEmoSession,
    "conversations": ShareGptSession,
    "messages": MessagesSession,
    "content": ExtesSession,
}

# Enough digits for the corpora's sizes (paper, table 1): esconv-0007, extes-00012.
ID_DIGITS = {"esconv": 4, "extes": 5, "serveforemo": 4}


def load_corpus(path: Path | str, source: str) -> list[RawDialogue]:
    """Return the raw dialogues of a file, or of all .json and .jsonl files of a folder.

    Ids are `<source>-<position>`; positions count from 0 on through the files in the order of their
    names. Each file may be of another layout: that of its first record that has a known one.

    Raises:
        InputError: naming file, record (position in the file, and id) and field, for a file that is
            missing, not UTF-8 or not JSON, an unknown layout, a missing field, an unknown role, a text
            that is not a string, and a dialogue without turns or of one speaker only.
    """
    dialogues: list[RawDialogue] = []
    for file in corpus_files(path):
        objects = read_objects(file)
        layout = _layout(objects, file)
        for position, value in enumerate(objects):
            identity = f"{source}-{len(dialogues):0{ID_DIGITS.get(source, 5)}d}"
            dialogues.append(_dialogue(value, layout, identity, source, file, position))
    return dialogues


def _layout(objects: list[dict[str, Any]], file: Path) -> type[Layout]:
    for value in objects:
        for key, layout in LAYOUTS.items():
            if key in value:
                return layout
    if objects:
        known = ", ".join(LAYOUTS)
        raise InputError(f"unknown shape: no field of {known}", file=file, record=0)
    return Layout


def _dialogue(
    value: dict[str, Any], layout: type[Layout], identity: str, source: str, file: Path, position: int
) -> RawDialogue:
    record = f"{position} ({identity})"
    try:
        session = layout.model_validate(value)
    except ValidationError as error:
        message, field = first_problem(error)
        raise InputError(message, file=file, record=record, field=field) from None
    turns = session.raw_turns()
    field = next(key for key, known in LAYOUTS.items() if known is layout)
    if not turns:
        raise InputError("empty dialogue: no turns", file=file, record=record, field=field)
    if len({turn.role for turn in turns}) == 1:
        only = turns[0].role
        raise InputError(f"one-sided dialogue: only {only} turns", file=file, record=record, field=field)
    return RawDialogue(identity, source, turns, _storable(session.meta(), file, record))


def _storable(meta: dict[str, Any], file: Path, record: str) -> dict[str, Any]:
    """Refuse here what could not be written later: half characters and bottomless nesting."""
    try:
        to_json(meta)
    except ValueError as error:
        raise InputError(f"cannot be stored: {error}", file=file, record=record, field="meta") from None
    return meta
