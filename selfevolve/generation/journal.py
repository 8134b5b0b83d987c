"""The journal keeps finished responses batch by batch, so that a killed stage goes on where it was."""

import fcntl
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Generic, Protocol, Self, TypeVar

from pydantic import BaseModel, ValidationError

from selfevolve.records.schema import NonEmpty, Record, Response
from selfevolve.runtime.errors import InputError

E = TypeVar("E", bound=BaseModel)


class FailedAttempt(Record):
    """An attempt without a value: why, and the answer as it came (or what happened in its place)."""

    reason: NonEmpty
    text: str


class Answers(Protocol):
    """The answers to some requests, on disk: those that an earlier run was given, and those that come."""

    @property
    def responses(self) -> Mapping[str, Response]:
        """The answers so far, by the id of their request."""
        ...

    @property
    def lost(self) -> Mapping[str, FailedAttempt]:
        """The requests that get no answer in this run, by id; their engine tolerates it."""
        ...

    def append(self, batch: Sequence[Response]) -> None:
        """Keep a finished batch; when this returns it is on disk."""
        ...


class AppendOnly(Generic[E]):
    """An append-only JSONL file of records of one kind. One process uses it at a time; a second one waits.

    A batch is synced to disk in one go; opening the file removes a last line that a kill cut off. A subclass
    says in `_remember` what it keeps of each record.
    """

    def __init__(self, path: Path | str, kind: type[E]):
        """Name the file and the kind of its records; `with` opens it."""
        self.path = Path(path)
        self._kind = kind

    def __enter__(self) -> Self:
        """Open, lock and read the file; InputError where it cannot be made, as on a full disk."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a+b", buffering=0)
        except OSError as error:
            raise self._unwritten(error) from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # two stages may need the same responses; the second finds them here
            print(f"waiting for the process that is writing {self.path}", file=sys.stderr, flush=True)
            fcntl.flock(self._file, fcntl.LOCK_EX)
        self._load()
        return self

    def __exit__(self, *error: object) -> None:
        """Close the file, which unlocks it."""
        self._file.close()

    def append(self, batch: Sequence[E]) -> None:
        """Add a batch; when this returns it is on disk. InputError where it cannot be, as on a full disk."""
        rest = memoryview("".join(entry.model_dump_json() + "\n" for entry in batch).encode("utf-8"))
        try:
            while rest:  # a disk that becomes full takes the beginning
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._unwritten(error) from None
        for entry in batch:
            self._remember(entry)

    def _remember(self, entry: E) -> None:
        raise NotImplementedError

    def _unwritten(self, error: OSError) -> InputError:
        message = f"cannot be written: {error.strerror}; what it has is kept, run again"
        return InputError(message, file=self.path)

    def _load(self) -> None:
        self._file.seek(0)
        content = self._file.read()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            self._file.truncate(whole)
        for number, line in enumerate(content[:whole].splitlines(), start=1):
            try:
                # Unlike pydantic's own reader of JSON this one takes half a character; the record mends it.
                entry = self._kind.model_validate(json.loads(line))
            except (ValidationError, ValueError, RecursionError):
                message = "is damaged: remove this line, and its answer is asked for again"
                raise InputError(message, file=self.path, record=f"line {number}") from None
            self._remember(entry)


class Journal(AppendOnly[Response]):
    """The responses to one list of requests, by id: `with Journal(path) as journal: ...`."""

    lost: Mapping[str, FailedAttempt] = {}  # no engine that writes a journal tolerates a lost request

    def __init__(self, path: Path | str):
        """Name the file; `with` opens it."""
        super().__init__(path, Response)
        self.responses: dict[str, Response] = {}

    def _remember(self, entry: Response) -> None:
        self.responses[entry.id] = entry
