"""How files are read and published.

Every way in which reading can fail is one line for the user. Outputs appear whole or not at all: they are
written beside their place and renamed into it.
"""

import csv
import gzip
import json
import os
import shutil
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from selfevolve.runtime.errors import InputError

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C one is ten times as fast


_GZIP = b"\x1f\x8b"
_ARCHIVES = (b"PK\x03\x04", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd")  # zip, bzip2, xz, zstd


def read_text(path: Path | str) -> str:
    """Read a UTF-8 text file; every way to fail is an InputError.

    A byte-order mark is allowed, and a file that gzip has packed is unpacked, whatever its name.
    """
    try:
        content = Path(path).read_bytes()
        if content.startswith(_GZIP):
            content = gzip.decompress(content)
        elif content.startswith(_ARCHIVES):
            raise InputError("is packed: unpack it, or pack it with gzip", file=path)
        return content.decode("utf-8-sig")
    except FileNotFoundError:
        raise InputError("no such file", file=path) from None
    except UnicodeDecodeError as error:
        raise InputError(f"not valid UTF-8 (byte {error.start})", file=path) from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"cannot be unpacked: {error}", file=path) from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", file=path) from None


def read_json(path: Path | str) -> Any:
    """Return the value in a JSON file; raises InputError as `read_text`, or if the file is not JSON."""
    return parse_json(read_text(path), path)


def parse_json(text: str, path: Path | str, record: str | None = None) -> Any:
    """Return the JSON value in a text; the InputError where it is none names file, record and place."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        place = f"column {error.colno}" if record else f"line {error.lineno}, column {error.colno}"
        raise InputError(f"not JSON: {error.msg} ({place})", file=path, record=record) from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, thousands of brackets
        raise InputError(f"not JSON: {error}", file=path, record=record) from None


def read_yaml(path: Path | str) -> Any:
    """Return the value in a YAML file; raises InputError as `read_text`, or if the file is not YAML."""
    try:
        return yaml.load(read_text(path), Loader=_LOADER)
    except yaml.YAMLError as error:
        raise InputError(f"not YAML: {' '.join(str(error).split())}", file=path) from None


def is_json(path: Path) -> bool:
    """Tell whether a file is there and holds whole JSON, which one that was being written may not."""
    try:
        json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return True


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
