"""WordNet for METEOR: where it is looked for, how it is checked, how it is put in place.

    python -m stages.scoring.wordnet

puts WordNet into `.nltk_data`, unless it is already in NLTK_DATA or on NLTK's own search path: from NLTK's
downloader, else from Debian's packages (stages.scoring.wordnet_sources). It says in one line what it did.
Where nothing can be reached it says why, leaves the reason for the scores to report, and exits with 0.
"""

import argparse
import os
import tempfile
import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.command import run
from stages.records.publish import publishing
from stages.scoring.wordnet_sources import SOURCES, SourceUnavailable

REPOSITORY_FOLDER = Path(__file__).resolve().parents[2] / ".nltk_data"
CORPUS = Path("corpora") / "wordnet"
REASON_FILE = "wordnet-not-available.txt"

# The files that NLTK's reader opens (WordNetCorpusReader in nltk/corpus/reader/wordnet.py).
FILES = (
    *(f"{kind}.{category}" for kind in ("index", "data") for category in ("adj", "adv", "noun", "verb")),
    *(f"{category}.exc" for category in ("adj", "adv", "noun", "verb")),
    *("index.sense", "cntlist.rev", "lexnames"),
)


class WordNetUnavailable(Exception):  # noqa: N818 - an absence to report, not an error of the program
    """No usable WordNet is on this machine; the message says where it was sought and what was wrong."""


@dataclass(frozen=True)
class WordNet:
    """WordNet opened for reading: NLTK's reader, the data folder it is in, and its version (`3.0`)."""

    reader: Any
    folder: Path
    version: str


def search_path() -> list[Path]:
    """Return the data folders in the order they are tried: NLTK_DATA, the repository's, NLTK's own."""
    import nltk.data

    named = [entry for entry in os.environ.get("NLTK_DATA", "").split(os.pathsep) if entry]
    folders = [*named, REPOSITORY_FOLDER, *nltk.data.path]
    return list(dict.fromkeys(Path(folder).expanduser().absolute() for folder in folders))


def open_wordnet(folders: Sequence[Path] | None = None) -> WordNet:
    """Open the first usable WordNet of `folders` (default: `search_path()`), checked.

    Takes about two seconds, most of them NLTK reading its index.

    Raises:
        WordNetUnavailable: no folder holds a WordNet that NLTK reads and that passes the check.
    """
    reasons: list[str] = []
    for folder in search_path() if folders is None else folders:
        if not any((folder / CORPUS).with_suffix(suffix).exists() for suffix in ("", ".zip")):
            continue
        try:
            return _open(folder)
        except WordNetUnavailable as error:
            reasons.append(f"{folder}: {error}")
    raise WordNetUnavailable("; ".join(["WordNet was not found", *reasons, *_setup_reason()]))


def install(folder: Path) -> str:
    """Put WordNet into `folder` unless it is there or on the search path; return one line on what was done.

    The corpus appears whole and checked, or not at all.

    Raises:
        WordNetUnavailable: no source can be reached, or none gives a WordNet that passes the check.
    """
    if _complete(folder / CORPUS):  # published by an earlier run, checked before it was
        return f"already in {folder}"
    try:
        return f"already in {open_wordnet([*search_path(), folder]).folder}"
    except WordNetUnavailable:
        pass  # then it is fetched; should that fail too, its reasons are the ones to show
    folder.mkdir(parents=True, exist_ok=True)
    reasons = []
    for name, fetch in SOURCES.items():
        with tempfile.TemporaryDirectory(prefix=".wordnet-", dir=folder) as work:
            try:
                fetch(Path(work))
                version = _open(Path(work)).version
            except (SourceUnavailable, WordNetUnavailable) as error:
                reasons.append(f"{name}: {error}")
                continue
            with publishing(folder / CORPUS) as temporary:
                (Path(work) / CORPUS).rename(temporary)
        (folder / REASON_FILE).unlink(missing_ok=True)
        return f"version {version} put into {folder} from {name}"
    with publishing(folder / REASON_FILE) as temporary:
        temporary.write_text("; ".join(reasons) + "\n", encoding="utf-8")
    raise WordNetUnavailable("; ".join(reasons))


def _open(folder: Path) -> WordNet:
    from nltk.corpus.reader.wordnet import WordNetError

    # What NLTK raises on files that are linked, incomplete or damaged; another folder may be whole.
    broken = (OSError, LookupError, ValueError, AssertionError, zipfile.BadZipFile, WordNetError)
    try:
        return _load(folder)
    except broken as error:
        raise WordNetUnavailable(f"unusable: {' '.join(str(error).split())[:200]}") from error


def _load(folder: Path) -> WordNet:
    import nltk.data
    from nltk.corpus.reader.wordnet import WordNetCorpusReader

    class EnglishWordNet(WordNetCorpusReader):
        """Without the map to other languages' WordNets, which METEOR does not use and takes seconds."""

        def map_wn(self, version: str = "wordnet") -> None:
            return None

    if (folder / CORPUS).is_dir():
        _require_complete(folder / CORPUS)
        name = CORPUS.as_posix()
    else:
        name = f"{CORPUS.as_posix()}.zip/{CORPUS.name}/"
    outside = str(folder) not in nltk.data.path
    if outside:
        nltk.data.path.append(str(folder))  # NLTK reads from nowhere else
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The multilingual functions are not available")
            warnings.filterwarnings("ignore", message="No WordNet synset found")  # _verify says so
            reader = EnglishWordNet(nltk.data.find(name, [str(folder)]), None)
            _verify(reader)
    except BaseException:
        if outside:
            nltk.data.path.remove(str(folder))
        raise
    return WordNet(reader, folder, reader.get_version())


def _verify(reader: Any) -> None:
    """Check a synset, its lexicographer file, and a METEOR score that needs a synonym."""
    from nltk.translate.meteor_score import single_meteor_score

    for word, lexicographer_file in (("dog", "noun.animal"), ("auto", "noun.artifact")):
        synset = next(iter(reader.synsets(word, "n")), None)
        if synset is None or synset.lexname() != lexicographer_file:
            raise ValueError(f"the noun {word!r} is not what it should be")
    score = single_meteor_score(["the", "car", "stopped"], ["the", "auto", "stopped"], wordnet=reader)
    if abs(score - (1 - 0.5 / 27)) > 1e-9:  # three matches in one chunk: 1 - 0.5 * (1/3)^3
        raise ValueError(f"METEOR of a known pair is {score}")


def _complete(corpus: Path) -> bool:
    try:
        _require_complete(corpus)
    except FileNotFoundError:
        return False
    return True


def _require_complete(corpus: Path) -> None:
    for name in FILES:
        file = corpus / name
        if not file.is_file() or file.is_symlink() or not file.stat().st_size:
            raise FileNotFoundError(f"{name} is missing, empty or a symbolic link, which NLTK refuses")


def _setup_reason() -> list[str]:
    """Why `make setup` could not put it in place, as it noted."""
    note = REPOSITORY_FOLDER / REASON_FILE
    return [note.read_text(encoding="utf-8").strip()] if note.is_file() else ["run `make setup`"]


def main() -> None:
    """Install WordNet and print one line."""
    parser = argparse.ArgumentParser(description="Put WordNet for METEOR in place.")
    parser.add_argument("--folder", type=Path, default=REPOSITORY_FOLDER, help="an NLTK data folder")
    arguments = parser.parse_args()
    os.umask(0o022)  # NLTK reads no data that others may write, which a umask of 002 would let the group do
    try:
        print(f"WordNet: {install(arguments.folder.absolute())}")
    except WordNetUnavailable as absence:
        print(f"WordNet: not available, so METEOR will not be: {absence}")


if __name__ == "__main__":
    run(main)
