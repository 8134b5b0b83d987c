"""Describe the data to LLaMA-Factory, and check that it kept every sample whole."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfevolve.runtime.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

_SPLITS = {"train": "train", "valid": "validation"}  # our name to LLaMA-Factory's
_COLUMNS = {"messages": "conversations", "system": "system"}
_ANSWERS = {"chosen": "chosen", "rejected": "rejected"}


def write_dataset_info(folder: Path, files: dict[str, Path], *, ranking: bool) -> None:
    """Describe JSONL files of conversations, or of preference pairs (`ranking`), to LLaMA-Factory.

    `folder` is what `dataset_dir` will name; `files` maps a dataset's name to its file, wherever that lies.
    """
    layout: dict[str, Any] = {"formatting": "sharegpt", "columns": _COLUMNS}
    if ranking:
        layout |= {"ranking": True, "columns": _COLUMNS | _ANSWERS}
    folder.mkdir(parents=True, exist_ok=True)
    info = {
        name: {"file_name": os.path.relpath(path.resolve(), folder.resolve()), **layout}
        for name, path in files.items()
    }
    (folder / "dataset_info.json").write_text(json.dumps(info, indent=2) + "\n", encoding="utf-8")


def dataset_arguments(folder: Path, data: Path, *, ranking: bool) -> dict[str, Any]:
    """Describe `train.jsonl` and `valid.jsonl` of a folder; return the arguments that name them."""
    write_dataset_info(folder, {name: data / f"{name}.jsonl" for name in _SPLITS}, ranking=ranking)
    return {"dataset_dir": str(folder), "dataset": "train", "eval_dataset": "valid"}


def check_samples(
    data: Path, scratch: Path, cutoff: int, parts: Sequence[str] = ("train", "valid")
) -> dict[str, int]:
    """Return the numbers of samples and the longest of each file, such as `train.jsonl`.

    LLaMA-Factory drops what it cannot use with no more than a warning, and cuts over-long samples at the
    wrong end. Here it is an InputError that it dropped some, or that one may have been cut.
    """
    kept = sample_counts(scratch, cutoff)
    counts = {}
    for ours in parts:
        theirs = _SPLITS[ours]
        file = data / f"{ours}.jsonl"
        with file.open(encoding="utf-8") as lines:
            expected = sum(1 for line in lines if line.strip())
        if kept.get(theirs) != expected:
            message = f"LLaMA-Factory kept {kept.get(theirs)} of {expected} samples; see its log in {scratch}"
            raise InputError(message, file=file)
        if kept[f"{theirs}_full"]:
            raise InputError(f"a sample does not fit cutoff_len {cutoff} and would be cut", file=file)
        counts[f"{ours}_samples"] = expected
        counts[f"{ours}_longest_tokens"] = kept[f"{theirs}_longest"]
    return counts


def sample_counts(scratch: Path, cutoff: int) -> dict[str, int]:
    """Return how many samples LLaMA-Factory kept of each split (`train`, `validation`) and the longest.

    Read from the tokenised data on disk. `<split>_longest` is in tokens; `<split>_full` counts the samples
    that fill `cutoff` tokens, which may have been cut (both answers of a pair count).
    """
    import pyarrow.compute as pc

    counts: dict[str, int] = {}
    for split in sorted(path.name for path in (scratch / "tokenized").iterdir() if path.is_dir()):
        rows, longest, full = 0, 0, 0
        for table in tokenized(scratch, split):
            rows += table.num_rows
            for name in table.column_names:
                if name.endswith("input_ids") and table.num_rows:
                    lengths = pc.list_value_length(table[name])
                    longest = max(longest, pc.max(lengths).as_py())
                    full += pc.sum(pc.greater_equal(lengths, cutoff)).as_py()
        counts |= {split: rows, f"{split}_longest": longest, f"{split}_full": full}
    return counts


def held_out(scratch: Path) -> list[dict[str, Any]]:
    """Return the tokenised samples of `valid.jsonl`, in its order, as LLaMA-Factory evaluates them.

    A sample has `input_ids` and `labels`, a pair `chosen_input_ids`, `chosen_labels` and those of `rejected`.
    """
    return [row for table in tokenized(scratch, _SPLITS["valid"]) for row in table.to_pylist()]


def tokenized(scratch: Path, split: str) -> Iterator[pa.Table]:
    """Yield the tables of a split that LLaMA-Factory tokenised, in order."""
    import pyarrow as pa

    for file in sorted((scratch / "tokenized" / split).glob("*.arrow")):
        with pa.memory_map(str(file)) as source:
            yield pa.ipc.open_stream(source).read_all()
