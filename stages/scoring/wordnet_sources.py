"""Where WordNet can be fetched from: NLTK's downloader, Debian's packages.

A source fills `<work>/corpora/wordnet` in an empty folder that it is given and raises SourceUnavailable,
with the reason, where it cannot.
"""

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from stages.records.program import SourceUnavailable, run_program

NLTK_SECONDS = 60  # NLTK itself would wait up to two minutes for each read
APT_SECONDS = 120
DEBIAN_PACKAGES = ("wordnet-base", "wordnet-sense-index")

# lexnames(5WN): the lexicographer files in the order of their numbers, from 00. NLTK needs the table, which
# Debian documents but does not ship.
LEXICOGRAPHER_FILES = (
    *("adj.all", "adj.pert", "adv.all"),
    *(f"noun.{name}" for name in ("Tops", "act", "animal", "artifact", "attribute", "body", "cognition")),
    *(f"noun.{name}" for name in ("communication", "event", "feeling", "food", "group", "location")),
    *(f"noun.{name}" for name in ("motive", "object", "person", "phenomenon", "plant", "possession")),
    *(f"noun.{name}" for name in ("process", "quantity", "relation", "shape", "state", "substance", "time")),
    *(f"verb.{name}" for name in ("body", "change", "cognition", "communication", "competition")),
    *(f"verb.{name}" for name in ("consumption", "contact", "creation", "emotion", "motion", "perception")),
    *(f"verb.{name}" for name in ("possession", "social", "stative", "weather")),
    "adj.ppl",
)
SYNTACTIC_CATEGORIES = {"noun": 1, "verb": 2, "adj": 3, "adv": 4}


def from_nltk(work: Path, index: str = "") -> None:
    """Fetch WordNet with NLTK's downloader, from NLTK's own index unless another one's URL is given.

    It runs in a process of its own, so that it can be stopped: a network that swallows packets would hold
    it for minutes.
    """
    program = (
        "import sys; from nltk.downloader import Downloader; "
        "Downloader(sys.argv[2] or None).download('wordnet', download_dir=sys.argv[1], extract=True,"
        " quiet=True, raise_on_error=True)"
    )
    # NLTK writes only to folders of its data path; quiet=True still reports errors, which are read here.
    environment = {"NLTK_DATA": os.pathsep.join([str(work), os.environ.get("NLTK_DATA", "")])}
    run_program([sys.executable, "-c", program, str(work), index], NLTK_SECONDS, environment=environment)


def from_debian(work: Path) -> None:
    """Fetch WordNet from Debian's packages, unpacked without root, and add the table NLTK needs.

    With the machine's package lists, or where these are missing or out of date, with lists fetched into a
    folder of their own.
    """
    packages = work / "packages"
    (packages / "lists" / "partial").mkdir(parents=True)
    (packages / "cache" / "archives" / "partial").mkdir(parents=True)
    cache = _options(Dir__Cache=packages / "cache", APT__Sandbox__User="root")
    private = [*cache, *_options(Dir__State__Lists=packages / "lists")]
    try:
        _apt([*cache, "download", *DEBIAN_PACKAGES], packages)
    except SourceUnavailable:
        # Without the option apt's update succeeds although it reached nothing.
        _apt([*private, *_options(APT__Update__Error_Mode="any"), "update"], packages)
        _apt([*private, "download", *DEBIAN_PACKAGES], packages)
    for archive in sorted(packages.glob("*.deb")):
        run_program(["dpkg-deb", "-x", str(archive), str(packages / "unpacked")], APT_SECONDS)
    shared = packages / "unpacked" / "usr" / "share"
    corpus = work / "corpora" / "wordnet"
    shutil.copytree(shared / "wordnet", corpus)
    shutil.copyfile(shared / "doc" / DEBIAN_PACKAGES[0] / "copyright", corpus / "LICENSE")
    (corpus / "lexnames").write_text(lexnames(), encoding="ascii")


def lexnames() -> str:
    """Return the table of lexicographer files: number, name, syntactic category, tab-separated lines."""
    return "".join(
        f"{number:02d}\t{name}\t{SYNTACTIC_CATEGORIES[name.split('.')[0]]}\n"
        for number, name in enumerate(LEXICOGRAPHER_FILES)
    )


SOURCES: dict[str, Callable[[Path], None]] = {
    "NLTK's downloader": from_nltk,
    "Debian's packages": from_debian,
}


def _apt(arguments: Sequence[str], folder: Path) -> None:
    patience = _options(Acquire__http__Timeout=10, Acquire__https__Timeout=10, Acquire__Retries=0)
    run_program(["apt-get", "-q", *patience, *arguments], APT_SECONDS, folder=folder)


def _options(**values: object) -> list[str]:
    """Return apt's command-line form of options; `__` in a name stands for its `::`, `_` for its `-`."""
    names = {name: name.replace("__", "::").replace("_", "-") for name in values}
    return [part for name, value in values.items() for part in ("-o", f"{names[name]}={value}")]
