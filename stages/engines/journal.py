"""The journal: finished responses, appended batch by batch, so that a killed stage goes on where it was."""

import fcntl
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Generic, Self, TypeVar

from pydantic import BaseModel, ValidationError

from stages.records.errors import InputError
from stages.records.schema import Response

E = TypeVar("E", bound=BaseModel)


class AppendOnly(Generic[E]):
    """An append-only JSONL file of records of one kind, used by one process at a time; a second waits.

    A batch is written and synced to disk in one go; a last line that a kill cut off is removed when
    the file is opened. A subclass says in `_take` what it remembers of each record.
    """

    def __init__(self, path: Path | str, kind: type[E]):
        """Name the file and what stands in it; nothing is opened before `with`."""
        self.path = Path(path)
        self._kind = kind

    def __enter__(self) -> Self:
        """Open and lock the file, and read what is in it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # two stages may need the same responses: the second one finds them here
            print(f"waiting for the process that is writing {self.path}", file=sys.stderr, flush=True)
            fcntl.flock(self._file, fcntl.LOCK_EX)
        self._load()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file, which unlocks it."""
        self._file.close()

    def append(self, batch: Sequence[E]) -> None:
        """Add a finished batch; when this returns it is on disk."""
        lines = "".join(entry.model_dump_json() + "\n" for entry in batch)
        self._file.write(lines.encode("utf-8"))
        self._file.flush()
        os.fsync(self._file.fileno())
        for entry in batch:
            self._take(entry)

    def _take(self, entry: E) -> None:
        raise NotImplementedError

    def _load(self) -> None:
        self._file.seek(0)
        content = self._file.read()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            self._file.truncate(whole)
        for number, line in enumerate(content[:whole].splitlines(), start=1):
            try:
                entry = self._kind.model_validate_json(line)
            except ValidationError:
                message = "the journal is damaged: remove the file to begin anew"
                raise InputError(message, file=self.path, record=f"line {number}") from None
            self._take(entry)


class Journal(AppendOnly[Response]):
    """Finished responses by their ids: `with Journal(path) as journal: ...`."""

    def __init__(self, path: Path | str):
        """Name the file; nothing is opened before `with`."""
        super().__init__(path, Response)
        self.responses: dict[str, Response] = {}

    def _take(self, entry: Response) -> None:
        self.responses[entry.id] = entry
