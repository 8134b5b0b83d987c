"""Which files of a folder are a corpus: all that hold JSON, and nothing is passed over in silence.

Hidden files and documents (a licence, a README, the files in which DVC keeps track) are passed over and
counted. Anything else that would be left out is an error: it may be the better half of somebody's dialogues.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from selfevolve.runtime.errors import InputError

SUFFIXES = (".json", ".jsonl", ".ndjson")
_READ = tuple(f"{suffix}{packed}" for suffix in SUFFIXES for packed in ("", ".gz"))
_DOCUMENT = re.compile(
    r"(.*[ ._-])?(licen[cs]e|readme|notice|copying|authors|citation|changelog|contributing)([ ._-].*)?"
    r"|.*\.(md|rst|pdf|bib|cff|dvc)",
    re.IGNORECASE,
)
_SHOWN = 5  # names in one line


@dataclass(frozen=True)
class CorpusFiles:
    """The files that are read, in their order, and the hidden files and documents that are not."""

    read: list[Path]
    passed_over: list[Path]

    def counts(self) -> dict[str, int]:
        """Return the two numbers, as metrics have them."""
        return {"read": len(self.read), "passed_over": len(self.passed_over)}


def corpus_files(path: Path | str) -> CorpusFiles:
    """Return `path` itself, or the JSON files below the folder `path`, sorted by name.

    Their names end with one of SUFFIXES, in any case, and `.gz` may follow. Links are followed.

    Raises:
        InputError: there is no such file, or one that can be neither read nor passed over, or that is there
            both packed and unpacked; or a folder cannot be listed.
    """
    path = Path(path)
    if not path.is_dir():
        return CorpusFiles([path], [])
    files = CorpusFiles([], [])
    others: list[Path] = []
    for file in _visited(path, ()):
        if file.name.startswith(".") or (file.is_file() and _is_document(file.name)):
            files.passed_over.append(file)
        elif file.is_file() and file.name.lower().endswith(_READ):
            files.read.append(file)
        else:
            others.append(file)
    if others:
        expected = f"{', '.join(SUFFIXES)}, or these as .gz"
        message = f"cannot be read as dialogues ({expected}): convert it, or move it out of the folder"
        raise InputError(f"{message}{_and_more(others, path)}", file=others[0])
    if not files.read:
        message = f"no {', '.join(SUFFIXES)} file in this folder"
        raise InputError(f"{message}{_passed_over(files, path)}", file=path)
    for file in files.read:
        if file.suffix.lower() == ".gz" and (twin := file.with_suffix("")) in files.read:
            raise InputError(f"is there unpacked as well, as {twin.name}: keep one of the two", file=file)
    return files


def counted_files(path: Path | str) -> dict[str, int]:
    """Return how many files of a corpus are read and passed over, and print the names of the latter."""
    files = corpus_files(path)
    if files.passed_over:
        print(f"{path}: files read: {len(files.read)}{_passed_over(files, Path(path))}")
    return files.counts()


def _is_document(name: str) -> bool:
    return not name.lower().endswith(_READ) and _DOCUMENT.fullmatch(name) is not None


def _visited(folder: Path, above: Sequence[Path]) -> Iterator[Path]:
    """Yield what lies below a folder, in the order of the names; a hidden folder is not entered."""
    here = folder.resolve()
    if here in above:
        raise InputError("leads back to a folder that it lies in", file=folder)
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise InputError(f"cannot be listed: {error.strerror}", file=folder) from None
    for entry in entries:
        if entry.is_dir() and not entry.name.startswith("."):
            yield from _visited(entry, (*above, here))
        else:
            yield entry


def _passed_over(files: CorpusFiles, folder: Path) -> str:
    names = [str(file.relative_to(folder)) for file in files.passed_over]
    return f"; passed over: {_listed(names)}" if names else ""


def _and_more(files: Sequence[Path], folder: Path) -> str:
    names = [str(file.relative_to(folder)) for file in files[1:]]
    return f"; likewise {_listed(names)}" if names else ""


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
