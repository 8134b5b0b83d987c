"""Alpaca: instruction-following items (`instruction`, `input`, `output`) that are mixed into phase 1."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from stages.dialogue.files import corpus_files, first_problem, read_objects
from stages.dialogue.raw import Text
from stages.records.errors import InputError
from stages.records.schema import Message


class _Item(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")

    instruction: Text
    input: Text = ""
    output: Text


@dataclass(frozen=True)
class AlpacaItem:
    """One item; `input` is empty where the instruction needs none, the others never are."""

    id: str
    instruction: str
    input: str
    output: str


@dataclass(frozen=True)
class AlpacaCorpus:
    """The usable items in the order of the file, and how many were skipped, by reason."""

    items: list[AlpacaItem]
    skipped: dict[str, int]


def load_alpaca(path: Path | str) -> AlpacaCorpus:
    """Read Alpaca items from a file (a JSON list or JSONL) or a folder of such files.

    Ids are `alpaca-<position>` with five digits. Items with a blank instruction or output (the
    original 52k hold some) teach nothing: they are skipped and counted.

    Raises:
        InputError: naming file, record and field.
    """
    items: list[AlpacaItem] = []
    skipped = {"blank_instruction": 0, "blank_output": 0}
    position = 0
    for file in corpus_files(path):
        for number, value in enumerate(read_objects(file)):
            identity = f"alpaca-{position:05d}"
            position += 1
            try:
                item = _Item.model_validate(value)
            except ValidationError as error:
                message, field = first_problem(error)
                raise InputError(message, file=file, record=f"{number} ({identity})", field=field) from None
            if not item.instruction.strip():
                skipped["blank_instruction"] += 1
            elif not item.output.strip():
                skipped["blank_output"] += 1
            else:
                items.append(AlpacaItem(identity, item.instruction, item.input, item.output))
    return AlpacaCorpus(items, skipped)


def item_messages(item: AlpacaItem) -> list[Message]:
    """Return an item as one exchange; its input, where it has one, follows the instruction."""
    question = f"{item.instruction}\n{item.input}" if item.input.strip() else item.instruction
    return [Message(role="user", content=question), Message(role="assistant", content=item.output)]
