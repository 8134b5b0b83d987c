"""Record files: what is written is read back, and what is wrong is named."""

import csv
import gzip
import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from selfevolve.records.jsonl import natural_key, read_records, write_records
from selfevolve.records.schema import Context, Message, Preference, Response, ShareGptMessage, Turn
from selfevolve.records.texts import is_blank
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import publish_csv, publish_json, publishing, read_json

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda text: not is_blank(text))


@example(pairs=[("d#²", "a digit that is no number")])
@given(st.lists(st.tuples(TEXT, TEXT), unique_by=lambda pair: pair[0], max_size=5))
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, str]]):
    path = tmp_path_factory.mktemp("records") / "r.jsonl"
    records = [Response(id=i, text=t, finish_reason="stop", attempt=1, model="m") for i, t in pairs]
    assert write_records(path, records) == len(records)
    assert read_records(path, Response) == sorted(records, key=lambda record: natural_key(record.id))


def test_order_is_by_dialogue_and_turn_number(tmp_path: Path):
    ids = ["extes-00012#11", "extes-00012#3", "extes-00002#7"]
    path = tmp_path / "c.jsonl"
    write_records(
        path, [Context(id=i, messages=[Message(role="user", content="x")], golden="y") for i in ids]
    )
    assert [record.id for record in read_records(path, Context)] == [ids[2], ids[1], ids[0]]


def test_a_preference_has_the_keys_llamafactory_wants(tmp_path: Path):
    said = ShareGptMessage(from_="gpt", value="b")
    pair = Preference(
        id="d#1",
        system="s",
        conversations=[ShareGptMessage(from_="human", value="a")],
        chosen=said,
        rejected=said,
        chosen_source="refined",
    )
    write_records(tmp_path / "p.jsonl", [pair])
    value = json.loads((tmp_path / "p.jsonl").read_text())
    assert value["conversations"] == [{"from": "human", "value": "a"}]
    assert value["chosen"] == {"from": "gpt", "value": "b"}
    assert read_records(tmp_path / "p.jsonl", Preference) == [pair]


GOOD = '{"id":"a","text":"t","finish_reason":"stop","attempt":1,"model":"m"}'


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"{", ["line 1", "not JSON"]),
        (GOOD.encode() + b"\n[1]", ["line 2"]),
        (GOOD.encode() + b"\n" + GOOD.encode(), ["line 2", "(a)", "twice"]),
        (GOOD.replace('"stop"', '"never"').encode(), ["line 1", "(a)", "field finish_reason"]),
        (GOOD.replace("1,", '"1",').encode(), ["field attempt"]),
        (GOOD.replace('"model"', '"mode"').encode(), ["field m"]),
        (b'{"id":"\xff"}', ["UTF-8"]),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, content: bytes, named: list[str]):
    path = tmp_path / "bad.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        read_records(path, Response)
    assert all(part in str(error.value) for part in [str(path), *named])
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(InputError, match=r"gone\.jsonl: no such file"):
        read_records(tmp_path / "gone.jsonl", Response)


def test_a_failed_write_leaves_what_was_there(tmp_path: Path):
    path = tmp_path / "out.json"
    publish_json(path, {"old": 1})
    with pytest.raises(ValueError, match="JSON compliant"):
        publish_json(path, {"new": float("nan")})
    assert json.loads(path.read_text()) == {"old": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_replaced_whole(tmp_path: Path):
    for name in ("one", "two"):
        with publishing(tmp_path / "folder") as folder:
            folder.mkdir()
            (folder / name).touch()
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["two"]


def test_a_table_is_read_back_and_what_is_missing_is_an_empty_cell(tmp_path: Path):
    publish_csv(tmp_path / "t.csv", ["a", "b"], [['x, "y"', 1.5], ["", None]])
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [["a", "b"], ['x, "y"', "1.5"], ["", ""]]
    assert b"\r" not in (tmp_path / "t.csv").read_bytes()


def test_records_share_the_set_of_their_fields_and_a_changed_copy_leaves_it_alone():
    one, other = (
        Message(role="user", content="a"),
        Message.model_validate_json('{"role": "user", "content": "b"}'),
    )
    turn = Turn(role="seeker", text="c")  # not all of its fields are given
    assert one.model_fields_set is other.model_fields_set
    assert turn.model_fields_set == {"role", "text", "strategies"}
    changed = one.model_copy(update={"content": "b"})
    assert changed == other != one
    assert one.model_fields_set == {"role", "content"}


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ('{\n"a": 1,\n"b" 2}', r"not JSON: Expecting ':' delimiter \(line 3, column 5\)"),
        ('{"a": "cut off', r"not JSON: Unterminated string .* \(line 1, column 7\)"),
        ('{"a": ' + "1" * 5000 + "}", "not JSON: .*4300"),
        ("[" * 100_000, "not JSON: "),
    ],
)
def test_what_is_no_json_has_its_place(tmp_path: Path, content: str, place: str):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(InputError, match=place) as error:
        read_json(tmp_path / "a.json")
    assert "\n" not in str(error.value)
    (tmp_path / "a.jsonl").write_text(GOOD + "\n" + content.replace("\n", " "))
    with pytest.raises(InputError, match=r"record line 2: not JSON: "):
        read_records(tmp_path / "a.jsonl", Response)


def test_records_that_are_packed_are_read(tmp_path: Path):
    (tmp_path / "r.jsonl.gz").write_bytes(gzip.compress(GOOD.encode()))
    assert [record.id for record in read_records(tmp_path / "r.jsonl.gz", Response)] == ["a"]
    (tmp_path / "r.jsonl.gz").write_bytes(gzip.compress(b'{"id":')[:-4])
    with pytest.raises(InputError, match=r"r\.jsonl\.gz: cannot be unpacked"):
        read_records(tmp_path / "r.jsonl.gz", Response)
    (tmp_path / "r.jsonl.gz").write_bytes(gzip.compress(GOOD.encode() + b'\n{"id": ]'))
    with pytest.raises(InputError, match=r"record line 2: not JSON: Expecting value \(column 8\)"):
        read_records(tmp_path / "r.jsonl.gz", Response)
