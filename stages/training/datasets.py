"""The data as LLaMA-Factory wants to find it: files with a `dataset_info.json` beside them."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stages.records.schema import Message, ShareGptMessage

_SPEAKERS = {"user": "human", "assistant": "gpt"}
_SHAREGPT: dict[str, Any] = {
    "formatting": "sharegpt",
    "columns": {"messages": "conversations", "system": "system"},
}
_RANKING: dict[str, Any] = {
    "formatting": "sharegpt",
    "ranking": True,
    "columns": {
        "messages": "conversations",
        "system": "system",
        "chosen": "chosen",
        "rejected": "rejected",
    },
}


def write_dataset_info(folder: Path, files: dict[str, Path], *, ranking: bool) -> None:
    """Describe JSONL files of conversations, or of preference pairs, to LLaMA-Factory.

    Args:
        folder: what `dataset_dir` will name.
        files: dataset name to file; the file may lie anywhere.
        ranking: True for preference pairs, False for conversations.
    """
    layout = _RANKING if ranking else _SHAREGPT
    folder.mkdir(parents=True, exist_ok=True)
    info = {
        name: {"file_name": os.path.relpath(path.resolve(), folder.resolve()), **layout}
        for name, path in files.items()
    }
    (folder / "dataset_info.json").write_text(json.dumps(info, indent=2) + "\n", encoding="utf-8")


def sharegpt(messages: Sequence[Message]) -> list[ShareGptMessage]:
    """Return user and assistant messages in the layout LLaMA-Factory calls sharegpt."""
    return [ShareGptMessage(from_=_SPEAKERS[message.role], value=message.content) for message in messages]
