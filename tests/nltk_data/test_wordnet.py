"""WordNet for METEOR: fetched from its real sources, checked, put in place whole or not at all."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from selfevolve.nltk_data import install as installer
from selfevolve.nltk_data import lookup
from selfevolve.nltk_data.lookup import WORDNET, Found, find
from selfevolve.runtime.errors import Unavailable

CORPUS = WORDNET.place
REPOSITORY = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("ESC_SHARED", REPOSITORY.parent / "shared"))


def install(folder: Path) -> str:
    return installer.install(WORDNET, folder)


def open_wordnet(folders: list[Path] | None = None) -> Found:
    return find(WORDNET, folders)


def use_sources(monkeypatch, sources):
    monkeypatch.setitem(installer.SOURCES, WORDNET.name, sources)


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """A folder with a WordNet of this machine, as plain files: `<folder>/corpora/wordnet`."""
    folder = tmp_path_factory.mktemp("whole")
    try:
        found = open_wordnet().folder
        if (found / CORPUS).is_dir():
            return found
        archive = found / CORPUS.with_suffix(".zip")
    except Unavailable as absence:
        archive = SHARED / "data" / "wordnet" / "wordnet.zip"
        if not archive.is_file():
            pytest.skip(f"no WordNet to test with: {absence}")
    shutil.unpack_archive(archive, folder / "corpora")
    return folder


@pytest.fixture
def nothing_found(monkeypatch):
    """A machine that has no WordNet yet."""
    monkeypatch.setattr(lookup, "search_path", list)


def broken_copy(whole, folder):
    shutil.copytree(whole / CORPUS, folder / CORPUS)
    return folder / CORPUS


def test_the_table_of_lexicographer_files_is_wordnets_own(whole):
    lines = installer.LEXNAMES.read_text().splitlines()
    assert len(lines) == 45
    assert [lines[0], lines[3], lines[44]] == ["00\tadj.all\t3", "03\tnoun.Tops\t1", "44\tadj.ppl\t3"]
    assert lines == (whole / CORPUS / "lexnames").read_text().splitlines()


def test_debians_packages_give_a_wordnet_that_passes_the_check(tmp_path, nothing_found, monkeypatch):
    try:
        installer.wordnet_from_debian(tmp_path / "tried")
    except Unavailable as reason:
        pytest.skip(f"Debian's packages cannot be had here: {reason}")
    shutil.rmtree(tmp_path / "tried")
    use_sources(monkeypatch, {"Debian's packages": installer.wordnet_from_debian})
    assert install(tmp_path) == f"put into {tmp_path} from Debian's packages"
    assert os.listdir(tmp_path) == ["corpora"]
    assert {*WORDNET.files, "LICENSE"} <= set(os.listdir(tmp_path / CORPUS))
    reader = open_wordnet([tmp_path]).reader
    assert reader.synset("walk.v.01").lexname() == "verb.motion"
    assert "car" in [lemma.name() for synset in reader.synsets("auto") for lemma in synset.lemmas()]


def test_nltks_downloader_gives_a_wordnet_that_passes_the_check(tmp_path, whole, nothing_found, monkeypatch):
    def from_an_index_on_this_machine(work):
        archive = shutil.make_archive(str(work / "wordnet"), "zip", whole / "corpora", "wordnet")
        content = Path(archive).read_bytes()
        unzipped = sum(file.stat().st_size for file in (whole / CORPUS).iterdir())
        (work / "index.xml").write_text(
            '<nltk_data><packages><package id="wordnet" name="WordNet" subdir="corpora" unzip="0"'
            f' url="file://{archive}" size="{len(content)}" unzipped_size="{unzipped}"'
            f' checksum="{hashlib.md5(content).hexdigest()}"'
            f' sha256_checksum="{hashlib.sha256(content).hexdigest()}"/></packages><collections/></nltk_data>'
        )
        installer.from_nltk("wordnet", work, f"file://{work / 'index.xml'}")

    use_sources(monkeypatch, {"the test's index": from_an_index_on_this_machine})
    assert install(tmp_path) == f"put into {tmp_path} from the test's index"
    assert open_wordnet([tmp_path]).folder == tmp_path


def test_a_wordnet_in_place_is_left_alone(whole, monkeypatch):
    use_sources(monkeypatch, {})
    before = {file: file.stat().st_mtime_ns for file in (whole / CORPUS).iterdir()}
    program = (
        "import sys; from pathlib import Path; from selfevolve.nltk_data.install import WORDNET, install;"
        "print(install(WORDNET, Path(sys.argv[1]))); assert 'nltk' not in sys.modules, 'slow'"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(whole)], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == (f"already in {whole}\n", "")
    assert before == {file: file.stat().st_mtime_ns for file in (whole / CORPUS).iterdir()}


def test_a_wordnet_in_nltk_data_is_used_where_it_is(tmp_path, whole, monkeypatch):
    monkeypatch.setenv("NLTK_DATA", str(whole))
    use_sources(monkeypatch, {})
    assert install(tmp_path / "empty") == f"already in {whole}"
    assert not (tmp_path / "empty").exists()
    (tmp_path / "corpora").mkdir()
    shutil.make_archive(str(tmp_path / CORPUS), "zip", whole / "corpora", "wordnet")
    monkeypatch.setenv("NLTK_DATA", f"{tmp_path / 'nothing'}{os.pathsep}{tmp_path}")
    assert open_wordnet().folder == tmp_path  # as an archive, the way NLTK leaves it


def test_where_nothing_can_be_reached_the_reason_is_said_and_kept(tmp_path):
    empty = {"PATH": "", "PYTHONPATH": str(REPOSITORY), "HOME": str(tmp_path)}
    program = (
        "import sys; from functools import partial; from selfevolve.runtime.command import run;"
        "from selfevolve.nltk_data import install, lookup;"
        "lookup.search_path = list;"
        "install.SOURCES['WordNet']['NLTK\\'s downloader'] = "
        "partial(install.from_nltk, 'wordnet', index='file:///nowhere');"
        "run(install.main)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "WordNet", "--folder", str(tmp_path)],
        env=empty,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout.count("\n"), done.stderr) == (0, 1, "")
    assert done.stdout.startswith("WordNet: not available, so METEOR will not be: NLTK's downloader: ")
    assert "Debian's packages: apt-get is not installed" in done.stdout
    assert os.listdir(tmp_path) == [WORDNET.note]


def test_the_reason_noted_at_setup_is_the_one_that_scores_report(tmp_path, monkeypatch):
    monkeypatch.setattr(lookup, "PROJECT_DATA", tmp_path)
    with pytest.raises(Unavailable, match="run `make setup`"):
        open_wordnet([tmp_path])
    (tmp_path / WORDNET.note).write_text("the network swallows everything\n")
    with pytest.raises(Unavailable, match="the network swallows everything"):
        open_wordnet([tmp_path])


@pytest.mark.parametrize(
    ("file", "damage", "reason"),
    [
        ("data.noun", lambda path: os.truncate(path, 1000), "unusable"),
        ("lexnames", lambda path: path.write_text("00\tadj.all\t3\n"), "unusable"),
        ("verb.exc", lambda path: path.unlink(), "verb.exc is missing"),
        ("verb.exc", lambda path: path.write_text(""), "verb.exc is missing, empty"),
    ],
)
def test_a_damaged_wordnet_is_named_and_the_next_one_is_used(tmp_path, whole, file, damage, reason):
    damage(broken_copy(whole, tmp_path) / file)
    with pytest.raises(Unavailable, match=reason) as absence:
        open_wordnet([tmp_path])
    assert str(tmp_path) in str(absence.value)
    assert open_wordnet([tmp_path, whole]).folder == whole


def test_a_source_that_gives_a_damaged_wordnet_publishes_nothing(tmp_path, whole, nothing_found, monkeypatch):
    def damaged(work):
        os.truncate(broken_copy(whole, work) / "index.noun", 5000)

    use_sources(monkeypatch, {"a bad mirror": damaged})
    with pytest.raises(Unavailable, match="a bad mirror: unusable"):
        install(tmp_path)
    assert os.listdir(tmp_path) == [WORDNET.note]
    use_sources(monkeypatch, {"a good one": lambda work: broken_copy(whole, work)})
    assert "from a good one" in install(tmp_path)
    assert os.listdir(tmp_path) == ["corpora"]


def test_a_umask_that_lets_the_group_write_does_not_spoil_it(tmp_path):
    command = (
        f"umask 002; {sys.executable} -m selfevolve.nltk_data.install WordNet --folder {tmp_path / 'data'}"
    )
    environment = {**os.environ, "NLTK_DATA": str(tmp_path / "none"), "HOME": str(tmp_path)}
    root = Path(__file__).resolve().parents[2]
    copy = tmp_path / "copy"  # without the repository's own .nltk_data
    shutil.copytree(root / "selfevolve", copy / "selfevolve", ignore=shutil.ignore_patterns("__pycache__"))
    done = subprocess.run(
        command, shell=True, cwd=copy, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    if "not available" in done.stdout:
        pytest.skip(f"no WordNet can be fetched here: {done.stdout.strip()}")
    written = [path for path in (tmp_path / "data").rglob("*") if path.stat().st_mode & 0o022]
    assert not written
