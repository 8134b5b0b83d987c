"""Find and check NLTK's data: WordNet, which METEOR needs, and what selfevolve.nltk_data.punkt describes.

Nothing is downloaded here: `make setup` runs selfevolve.nltk_data.install.
"""

import hashlib
import os
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from selfevolve.runtime.errors import Unavailable
from selfevolve.runtime.imports import hidden

PROJECT_DATA = Path(__file__).resolve().parents[2] / ".nltk_data"


@dataclass(frozen=True)
class Resource:
    """A data set of NLTK.

    `place` is its folder within an NLTK data folder; `files` names those that must be there, with the SHA-256
    of each that must not differ; `read` reads it from a data folder with NLTK, checks it, and returns NLTK's
    reader.
    """

    name: str
    needed_for: str
    place: Path
    files: Mapping[str, str | None]
    read: Callable[[Path], Any]

    @property
    def note(self) -> str:
        """The name of the file in which the installer leaves the reason why there is none."""
        return f"{self.name.lower()}-not-available.txt"


@dataclass(frozen=True)
class Found:
    """A usable resource: the data folder it is in, and NLTK's reader."""

    folder: Path
    reader: Any


@cache
def import_nltk() -> None:
    """Import NLTK without the libraries that it tries in passing and that nobody here uses."""
    with hidden("matplotlib", "pandas", "scipy.stats", "sklearn"):
        import nltk  # noqa: F401


def search_path() -> list[Path]:
    """Return the data folders in the order they are tried: NLTK_DATA, the repository's, NLTK's own."""
    import_nltk()
    import nltk.data

    named = [entry for entry in os.environ.get("NLTK_DATA", "").split(os.pathsep) if entry]
    folders = [*named, PROJECT_DATA, *nltk.data.path]
    return list(dict.fromkeys(Path(folder).expanduser().absolute() for folder in folders))


def find(resource: Resource, folders: Sequence[Path] | None = None) -> Found:
    """Return the first usable copy in `folders` (default: `search_path()`), checked.

    Its folder becomes the first one that NLTK reads from. Takes about two seconds for WordNet the first time.

    Raises:
        Unavailable: no folder holds a copy that NLTK reads and that passes the check.
    """
    reasons: list[str] = []
    for folder in search_path() if folders is None else folders:
        if not any((folder / resource.place).with_suffix(suffix).exists() for suffix in ("", ".zip")):
            continue
        try:
            return Found(folder, open_checked(resource, folder))
        except Unavailable as error:
            reasons.append(f"{folder}: {error}")
    note = PROJECT_DATA / resource.note
    reasons.append(note.read_text(encoding="utf-8").strip() if note.is_file() else "run `make setup`")
    raise Unavailable("; ".join([f"{resource.name} was not found", *reasons]))


def open_checked(resource: Resource, folder: Path, *, stay: bool = True) -> Any:
    """Return NLTK's reader of the copy in a data folder; `stay` leaves the folder in NLTK's search path.

    Raises:
        Unavailable: a file is missing or another one than it should be, or NLTK does not read it.
    """
    import_nltk()
    import nltk.data
    from nltk.corpus.reader.wordnet import WordNetError

    # What NLTK raises on files that are linked, incomplete or damaged.
    broken = (OSError, LookupError, ValueError, AssertionError, zipfile.BadZipFile, WordNetError)
    place = folder / resource.place
    archived = place.with_suffix(".zip").is_file() and not place.exists()
    if not archived and (wrong := wrong_files(resource, folder)):
        raise Unavailable(wrong)
    before = list(nltk.data.path)
    nltk.data.path[:] = [str(folder), *(entry for entry in before if entry != str(folder))]
    try:
        reader = resource.read(folder)
    except broken as error:
        nltk.data.path[:] = before
        raise Unavailable(f"unusable: {' '.join(str(error).split())[:200]}") from error
    if not stay:
        nltk.data.path[:] = before
    return reader


def wrong_files(resource: Resource, folder: Path) -> str | None:
    """Return what is wrong with the files of a copy, without NLTK; None if they are all right."""
    for name, expected in resource.files.items():
        file = folder / resource.place / name
        if not file.is_file() or file.is_symlink() or not (expected or file.stat().st_size):
            return f"{name} is missing, empty or a symbolic link, which NLTK refuses"
        if expected and hashlib.sha256(file.read_bytes()).hexdigest() != expected:
            return f"{resource.place / name} is not NLTK's: its SHA-256 differs"
    return None


def _read_wordnet(folder: Path) -> Any:
    """Read WordNet, which takes two seconds, once in a process as long as its files are the same."""
    place = folder / WORDNET.place
    files = sorted(place.iterdir()) if place.is_dir() else [place.with_suffix(".zip")]
    return _wordnet(folder, tuple((file.name, *_state(file)) for file in files))


def _state(file: Path) -> tuple[int, int, int]:
    found = file.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


@cache
def _wordnet(folder: Path, _: tuple[tuple[str, int, int, int], ...]) -> Any:
    """Read WordNet; check a synset, its lexicographer file, and a METEOR score that needs a synonym."""
    import nltk.data
    from nltk.corpus.reader.wordnet import WordNetCorpusReader
    from nltk.translate.meteor_score import single_meteor_score

    class EnglishWordNet(WordNetCorpusReader):
        """Without the map to other languages' WordNets, which METEOR does not use and takes seconds."""

        def map_wn(self, version: str = "wordnet") -> None:
            return None

    place = WORDNET.place.as_posix()
    name = place if (folder / place).is_dir() else f"{place}.zip/{WORDNET.place.name}/"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The multilingual functions are not available")
        warnings.filterwarnings("ignore", message="No WordNet synset found")  # the check below says so
        reader = EnglishWordNet(nltk.data.find(name, [str(folder)]), None)
        for word, lexicographer_file in (("dog", "noun.animal"), ("auto", "noun.artifact")):
            synset = next(iter(reader.synsets(word, "n")), None)
            if synset is None or synset.lexname() != lexicographer_file:
                raise ValueError(f"the noun {word!r} is not what it should be")
        score = single_meteor_score(["the", "car", "stopped"], ["the", "auto", "stopped"], wordnet=reader)
    if abs(score - (1 - 0.5 / 27)) > 1e-9:  # three matches in one chunk: 1 - 0.5 * (1/3)^3
        raise ValueError(f"METEOR of a known pair is {score}")
    return reader


# The files that NLTK's reader opens (WordNetCorpusReader in nltk/corpus/reader/wordnet.py).
_CATEGORIES = ("adj", "adv", "noun", "verb")
WORDNET = Resource(
    name="WordNet",
    needed_for="METEOR",
    place=Path("corpora/wordnet"),
    files=dict.fromkeys(
        [f"{kind}.{category}" for kind in ("index", "data") for category in _CATEGORIES]
        + [f"{category}.exc" for category in _CATEGORIES]
        + ["index.sense", "cntlist.rev", "lexnames"]
    ),
    read=_read_wordnet,
)
