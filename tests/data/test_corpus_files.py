"""Which files of a folder are read: all that hold JSON; what is passed over is counted or an error."""

import gzip
import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from selfevolve.data.corpus import load_corpus
from selfevolve.data.corpus_files import corpus_files, counted_files
from selfevolve.runtime.errors import InputError
from tests.support.layouts import ESCONV, EXTES, write

LINE = json.dumps(EXTES) + "\n"


def packed(path: Path, text: str = LINE) -> Path:
    path.write_bytes(gzip.compress(text.encode()))
    return path


def test_every_kind_of_json_file_is_read_in_any_case_and_folder(tmp_path: Path):
    write(tmp_path / "a.JSON", [EXTES])
    write(tmp_path / "b.ndjson", LINE * 2)
    packed(tmp_path / "c.json.gz", json.dumps([EXTES]))
    packed(tmp_path / "d.JsonL.GZ", LINE)
    (tmp_path / "more" / "below").mkdir(parents=True)
    write(tmp_path / "more" / "below" / "e.jsonl", LINE)
    packed(tmp_path / "more" / "f.ndjson.gz")
    dialogues = load_corpus(tmp_path, "extes")
    assert [dialogue.id for dialogue in dialogues] == [f"extes-{number:05d}" for number in range(7)]
    assert {tuple(turn.text for turn in dialogue.turns) for dialogue in dialogues} == {("Hi", "That hurts.")}


def test_a_linked_folder_is_read(tmp_path: Path):
    (tmp_path / "elsewhere").mkdir()
    write(tmp_path / "elsewhere" / "a.json", [EXTES])
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "link").symlink_to(tmp_path / "elsewhere")
    assert len(load_corpus(tmp_path / "corpus", "extes")) == 1
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "corpus")
    with pytest.raises(InputError, match=r"link/back: leads back to a folder that it lies in"):
        load_corpus(tmp_path / "corpus", "extes")


def test_documents_and_hidden_files_are_passed_over_counted_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    write(tmp_path / "README.json", [EXTES])  # JSON all the same
    names = ["LICENSE", "DATA_LICENSE", "licence.txt", "README", "readme.de.txt", "card.md", "paper.pdf"]
    names += ["CITATION.cff", "README.json.dvc", ".gitignore", "._README.json", ".DS_Store"]
    for name in names:
        write(tmp_path / name, "not data")
    (tmp_path / ".git").mkdir()
    write(tmp_path / ".git" / "config.json", "half a fi")
    assert counted_files(tmp_path) == {"read": 1, "passed_over": len(names) + 1}
    printed = capsys.readouterr().out
    assert printed.startswith(f"{tmp_path}: files read: 1; passed over: .DS_Store, ._README.json, .git, ")
    assert printed.endswith(f" and {len(names) + 1 - 5} more\n")
    assert [file.name for file in corpus_files(tmp_path).read] == ["README.json"]


def test_one_file_is_read_whatever_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for file in (
        write(tmp_path / "dialogues", LINE),
        packed(tmp_path / "packed"),
        write(tmp_path / "README", LINE),
    ):
        assert len(load_corpus(file, "extes")) == 1
        assert counted_files(file) == {"read": 1, "passed_over": 0}
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "name",
    [
        "b.csv",
        "b.json.zip",
        "b.json.bz2",
        "b.json.gz.part",
        "b.json~",
        "b.json.bak",
        "b.txt",
        "b",
        "b.gz",
        "json",
    ],
)
def test_what_might_be_dialogues_and_cannot_be_read_is_an_error(tmp_path: Path, name: str):
    write(tmp_path / "a.json", [EXTES])
    (tmp_path / "more").mkdir()
    write(tmp_path / "more" / name, "what is this")
    with pytest.raises(InputError, match="cannot be read as dialogues") as error:
        load_corpus(tmp_path, "extes")
    assert str(error.value).startswith(f"{tmp_path / 'more' / name}: ")
    assert "\n" not in str(error.value)


def test_all_that_cannot_be_read_is_named_at_once(tmp_path: Path):
    for name in ("a.csv", "b.tsv", "c.xlsx"):
        write(tmp_path / name, "x")
    (tmp_path / "d.json").symlink_to(tmp_path / "gone.json")
    os.mkfifo(tmp_path / "e.json")  # to read it would wait for ever
    with pytest.raises(InputError, match=r"a\.csv: .*; likewise b\.tsv, c\.xlsx, d\.json, e\.json$"):
        load_corpus(tmp_path, "extes")


def test_a_file_that_is_there_packed_and_unpacked_is_not_read_twice(tmp_path: Path):
    write(tmp_path / "a.json", [EXTES])
    packed(tmp_path / "a.json.gz")
    with pytest.raises(InputError, match=r"a\.json\.gz: is there unpacked as well, as a\.json: keep one"):
        load_corpus(tmp_path, "extes")


def test_a_folder_without_json_says_what_it_has_instead(tmp_path: Path):
    write(tmp_path / "README.md", "x")
    with pytest.raises(InputError, match=r"file in this folder; passed over: README\.md"):
        load_corpus(tmp_path, "extes")


BROKEN = {
    "cut": (gzip.compress(LINE.encode())[:-9], "cannot be unpacked: Compressed file ended before"),
    "a bit changed": (bytes([*gzip.compress(LINE.encode())[:-8], *[0] * 8]), "cannot be unpacked: CRC check"),
    "no gzip inside": (b"\x1f\x8bnothing", "cannot be unpacked: "),
    "a zip archive": (b"PK\x03\x04\x14\x00", "is packed: unpack it"),
    "empty": (gzip.compress(b""), "not JSON: the file is empty"),
    "not UTF-8": (gzip.compress(b"[\xff]"), r"not valid UTF-8 \(byte 1\)"),
    "not JSON": (gzip.compress(b'[\n{"a":]'), r"record line 2: not JSON: .* \(column 6\)"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_packed_file_that_is_broken_is_named(tmp_path: Path, name: str):
    content, expected = BROKEN[name]
    (tmp_path / "a.json.gz").write_bytes(content)
    with pytest.raises(InputError, match=expected) as error:
        load_corpus(tmp_path, "extes")
    assert str(error.value).startswith(f"{tmp_path / 'a.json.gz'}: ")


part = st.text("abJSONjsonlgz.~_", min_size=1, max_size=6)
suffix = st.sampled_from(
    [".json", ".JSON", ".jsonl", ".ndjson", ".json.gz", ".NDJSON.GZ", ".gz", ".md", ".csv", ""]
)
names = st.lists(st.tuples(part, suffix).map("".join), min_size=1, max_size=4)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(paths=st.lists(names, max_size=5))
def test_no_dialogue_is_lost_in_any_folder(tmp_path_factory: pytest.TempPathFactory, paths: list[list[str]]):
    """Every file is read, counted as passed over, or an error names it."""
    folder = tmp_path_factory.mktemp("corpus")
    written = []
    for parts in paths:
        file = folder.joinpath(*(name for name in parts if set(name) != {"."}))
        if file != folder and not file.exists() and not any(above.is_file() for above in file.parents):
            file.parent.mkdir(parents=True, exist_ok=True)
            text = json.dumps(ESCONV)
            packed(file, text) if file.name.lower().endswith(".gz") else write(file, text)
            written.append(file)
    try:
        dialogues = load_corpus(folder, "esconv")
    except InputError as error:
        problem = str(error)
    else:
        problem = ""
    if problem:
        assert problem.startswith(str(folder))
        return
    files = corpus_files(folder)
    hidden = [
        file for file in written if any(name.startswith(".") for name in file.relative_to(folder).parts)
    ]
    documents = [file for file in written if file.name.endswith(".md") and file not in hidden]
    assert sorted(files.read) == sorted(set(written) - {*hidden, *documents})
    assert len(dialogues) == len(files.read)
    assert len(files.passed_over) >= (len(hidden) > 0) + len(documents)
