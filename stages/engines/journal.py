"""The journal: finished responses, appended batch by batch, so that a killed stage goes on where it was."""

import fcntl
import os
from pathlib import Path
from types import TracebackType

from pydantic import ValidationError

from stages.records.errors import InputError
from stages.records.schema import Response


class Journal:
    """An append-only JSONL file of responses, used by one process at a time.

    A batch is written and synced to disk in one go; a last line that a kill cut off is removed when
    the journal is opened. `with Journal(path) as journal: ...`
    """

    def __init__(self, path: Path | str):
        """Name the file; nothing is opened before `with`."""
        self.path = Path(path)
        self.responses: dict[str, Response] = {}

    def __enter__(self) -> "Journal":
        """Open and lock the file, and read what is in it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise InputError("another process is writing this journal", file=self.path) from None
        self._load()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file, which unlocks it."""
        self._file.close()

    def append(self, batch: list[Response]) -> None:
        """Add a finished batch; when this returns it is on disk."""
        lines = "".join(response.model_dump_json() + "\n" for response in batch)
        self._file.write(lines.encode("utf-8"))
        self._file.flush()
        os.fsync(self._file.fileno())
        self.responses.update({response.id: response for response in batch})

    def _load(self) -> None:
        self._file.seek(0)
        content = self._file.read()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            self._file.truncate(whole)
        for number, line in enumerate(content[:whole].splitlines(), start=1):
            try:
                response = Response.model_validate_json(line)
            except ValidationError:
                message = "the journal is damaged: remove the file to begin anew"
                raise InputError(message, file=self.path, record=f"line {number}") from None
            self.responses[response.id] = response
