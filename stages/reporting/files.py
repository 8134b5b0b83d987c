"""Where a report's files are read: a working tree as it stands, or a commit that Git or DVC knows by name."""

import io
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from stages.records.errors import InputError
from stages.records.jsonl import read_text

LOCKS = ("dvc.lock", "data/dvc.lock", "analyses/dvc.lock", "judging/dvc.lock")


@dataclass(frozen=True)
class Layout:
    """Where a run's files lie, relative to the project."""

    metrics: str = "metrics"
    data: str = "data"
    models: str = "models"
    params: str = "params.yaml"
    locks: tuple[str, ...] = LOCKS


class Files(Protocol):
    """Files by their paths."""

    def read(self, path: str) -> str | None:
        """Return a file's text, None where there is none; InputError where it is not UTF-8."""

    def below(self, folder: str) -> list[str]:
        """Return the paths of the files directly in a folder, sorted."""

    def bytes_of(self, path: str) -> bytes | None:
        """Return a file's bytes, None where there is none."""


class WorkingTree:
    """The files on the disk."""

    def read(self, path: str) -> str | None:
        """See Files."""
        return read_text(path) if Path(path).is_file() else None

    def below(self, folder: str) -> list[str]:
        """See Files."""
        found = Path(folder).iterdir() if Path(folder).is_dir() else ()
        return sorted(path.as_posix() for path in found if path.is_file())

    def bytes_of(self, path: str) -> bytes | None:
        """See Files."""
        return Path(path).read_bytes() if Path(path).is_file() else None


class Revision:
    """The files of a commit: what Git holds, so metrics, parameters and locks, but no data and no models."""

    def __init__(self, commit: str, layout: Layout):
        """Read them all, in one go.

        Raises:
            InputError: Git cannot.
        """
        self.commit = commit
        wanted = [layout.metrics, layout.params, *layout.locks]
        there = git("ls-tree", "--name-only", "-z", commit, "--", *wanted).decode().split("\0")[:-1]
        self._files: dict[str, bytes] = {}
        if not there:
            return
        archive = git("archive", "--format=tar", commit, "--", *there)
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            for member in tar:
                if (file := tar.extractfile(member)) is not None:
                    self._files[member.name] = file.read()

    def read(self, path: str) -> str | None:
        """See Files."""
        content = self._files.get(path)
        try:
            return None if content is None else content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InputError(f"not valid UTF-8 (byte {error.start})", file=path) from None

    def below(self, folder: str) -> list[str]:
        """See Files."""
        return sorted(path for path in self._files if path.rpartition("/")[0] == folder)

    def bytes_of(self, path: str) -> bytes | None:
        """See Files."""
        return self._files.get(path)


def resolve(name: str) -> str:
    """Return the commit of a revision or experiment, found as DVC finds it: Git's own names come first.

    Of several experiments of one name, that of the commit checked out now is meant.
    """
    try:
        return (
            git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}").decode().strip()
        )
    except InputError:
        listed = git("for-each-ref", "--format=%(objectname) %(refname)", "refs/exps").decode()
    found = [line.split(" ", 1) for line in listed.splitlines() if line.rpartition("/")[2] == name]
    if len(found) > 1:
        head = git("rev-parse", "HEAD").decode().strip()
        found = [one for one in found if one[1] == f"refs/exps/{head[:2]}/{head[2:]}/{name}"]
        if not found:
            raise InputError("several experiments have this name, and none is of this commit", record=name)
    if not found:
        raise InputError("Git knows no such revision and DVC no such experiment", record=name)
    return found[0][0]


def git(*arguments: str) -> bytes:
    """Return what Git prints.

    Raises:
        InputError: Git is not there, or fails.
    """
    try:
        return subprocess.run(["git", *arguments], capture_output=True, check=True).stdout
    except OSError as error:
        raise InputError(f"Git cannot be run: {error.strerror}") from None
    except subprocess.CalledProcessError as error:
        reason = error.stderr.decode(errors="replace").strip() or f"exit code {error.returncode}"
        raise InputError(f"`git {arguments[0]}` failed: {reason}") from None
