"""Digests: of values, of files, of folders. They name work in progress and say what a result came from."""

import hashlib
import json
from pathlib import Path
from typing import Any


def digest_value(value: Any) -> str:
    """Return the SHA-256 (64 hex digits) of a JSON value, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def digest_file(path: Path | str) -> str:
    """Return the SHA-256 (64 hex digits) of a file's bytes."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_folder(path: Path | str) -> str:
    """Return one SHA-256 for the relative names and bytes of all files below a folder."""
    root = Path(path)
    files = sorted(file for file in root.rglob("*") if file.is_file())
    return digest_value([[file.relative_to(root).as_posix(), digest_file(file)] for file in files])
