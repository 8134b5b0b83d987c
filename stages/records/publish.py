"""Outputs appear whole or not at all: they are written beside their place and renamed into it."""

import csv
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def publishing(path: Path | str) -> Iterator[Path]:
    """Give a temporary path in the folder of `path`; rename it to `path` when the block ends well.

    The block writes a file or makes a folder there. If it raises, the temporary path is removed and
    whatever stood at `path` before stays as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{os.getpid()}.part"
    _remove(temporary)
    try:
        yield temporary
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)  # os.replace cannot put a folder over one that is not empty
        os.replace(temporary, path)
    finally:
        _remove(temporary)


def publish_json(path: Path | str, value: Any) -> None:
    """Write `value` as indented UTF-8 JSON with its keys in the order given; NaN is an error."""
    with publishing(path) as temporary:
        text = json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def publish_csv(path: Path | str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table as UTF-8 CSV with a header, for `dvc plots`; None becomes an empty cell."""
    with publishing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([columns, *rows])


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
