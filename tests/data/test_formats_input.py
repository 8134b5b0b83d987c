"""What the loaders say of bad files: one clear line for every kind, and for anything random."""

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from selfevolve.data.cleaning import clean_corpus
from selfevolve.data.corpus import load_corpus
from selfevolve.data.layouts import LAYOUTS
from selfevolve.records.jsonl import write_records
from selfevolve.runtime.errors import InputError
from tests.support.layouts import ALL, ESCONV, EXTES, MESSAGES, SERVEFOREMO, SHAREGPT, write


def changed(record: dict, *path_and_value: object) -> dict:
    """Return a deep copy of `record` with the value at a path replaced."""
    copy = json.loads(json.dumps(record))
    *path, last, value = path_and_value
    place = copy
    for step in path:
        place = place[step]
    place[last] = value
    return copy


def test_empty_files(tmp_path: Path) -> None:
    assert load_corpus(write(tmp_path / "none.jsonl", "\n"), "extes") == []
    assert load_corpus(write(tmp_path / "none.json", "[]"), "extes") == []
    with pytest.raises(InputError, match="not JSON: the file is empty"):
        load_corpus(write(tmp_path / "cut.json", ""), "extes")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=r"no \.json, \.jsonl, \.ndjson file in this folder"):
        load_corpus(tmp_path / "folder", "extes")
    with pytest.raises(InputError, match="no such file"):
        load_corpus(tmp_path / "absent.json", "extes")


BAD = {
    "not JSON": ('[{"dialog": [}]', r"line 1: not JSON"),
    "cut line": (json.dumps(EXTES) + '\n{"content": [', r"line 2: not JSON: .* \(column 14\)"),
    "cut text": (json.dumps([EXTES])[:-20], r"line 1: not JSON: Unterminated string .* \(column 121\)"),
    "not a number": (
        '[{"profile": {"NaN": "NaN", "age":\n NaN}, "dialog": []}]',
        r"line 2: not JSON: NaN is not a number \(column 2\)",
    ),
    "infinite": (
        '[{"profile": {"age": 11e999, "years": "1e999", "x": 1e999}, "dialog": []}]',
        r"line 1: not JSON: 11e999 is out of range \(column 22\)",
    ),
    "endless": ('[{"dialog": [' + "1" * 5000, r"line 1: not JSON: .*4300.* \(column 1\)"),
    "bottomless": ("[" * 100_000, r"line 1: not JSON: .* \(column 1\)"),
    "a number": ("3", "wrong top-level type int"),
    "a list of strings": ('["hello"]', "record 0: wrong type str"),
    "unknown shape": ([{"utterances": []}], "record 0: unknown shape"),
    "alpaca": ([{"instruction": "a", "output": "b"}], "record 0: unknown shape"),
    "no turns field": ([ESCONV, {"emotion_type": "fear"}], r"1 \(esconv-0001\): field dialog: missing field"),
    "no text": ([{"dialog": [{"speaker": "seeker"}]}], r"0 \(esconv-0000\): field dialog.0.content: missing"),
    "no value": ([{"conversations": [{"from": "gpt"}]}], r"field conversations.0.value: missing field"),
    "esconv role": (
        [ESCONV, changed(ESCONV, "dialog", 1, "speaker", "agent")],
        r'1 \(esconv-0001\): field dialog.1.speaker: unknown role "agent": say in prepare.roles whether',
    ),
    "serveforemo role": ([changed(SERVEFOREMO, "dialogue", 0, "role", "tool")], r"field dialogue.0.role"),
    "sharegpt role": ([changed(SHAREGPT, "conversations", 0, "from", "x")], r"field conversations.0.from"),
    "messages role": ([changed(MESSAGES, "messages", 1, "role", "tool")], r"field messages.1.role"),
    "late system": (
        [changed(MESSAGES, "messages", 2, "role", "system")],
        r"field messages: entry 2 is a sys",
    ),
    "extes role": (
        [changed(EXTES, "content", 1, {"Agent": "a"})],
        r'field content.1: unknown role "Agent": say',
    ),
    "extes no role": ([changed(EXTES, "content", 1, {"AI Strategy": "a"})], r"content.1: missing field"),
    "extes key twice": ([changed(EXTES, "content", 0, {"User": "a", "user ": "b"})], r"content.0: the same"),
    "extes null": ([changed(EXTES, "content", 0, {"User": None})], r"content.0: User should be a string"),
    "text a number": ([changed(ESCONV, "dialog", 1, "content", 3)], r"dialog.1.content: .*string, got 3"),
    "text a list": ([changed(MESSAGES, "messages", 1, "content", [{}])], r"messages.1.content: .*string"),
    "extes text": ([changed(EXTES, "content", 0, "User", 1.5)], r"field content.0.User: .*string, got 1.5"),
    "turns an object": ([{"dialog": {}}], r"field dialog: .*list, got an object"),
    "label a number": ([{**ESCONV, "situation": 5}], r"field situation"),
    "profile a string": ([{**ESCONV, "profile": "baker"}], r"field profile"),
    "no turns": ([ESCONV, {**ESCONV, "dialog": []}], r"1 \(esconv-0001\): field dialog: empty dialogue"),
    "system only": ([{"messages": MESSAGES["messages"][:1]}], r"field messages: empty dialogue"),
    "one-sided": ([{"content": [{"User": "a"}, {"User": "b"}]}], r"field content: one-sided .* seeker"),
    "a field twice": ([{"dialog": [], "dialog\u200b": []}], r"the same field twice: dialog, dialog"),
    "an invisible role": (
        [changed(ESCONV, "dialog", 0, "speaker", "\u200b\ufeff")],
        r'field dialog.0.speaker: unknown role "\\u200b\\ufeff"',
    ),
    "a system message in ExTES": (
        [changed(EXTES, "content", 0, {"System": "a"})],
        r"System is a system mess",
    ),
    "half a character": (
        [changed(EXTES, "content", 0, "User", "\ud800")],
        r"content.0.User: half a char",
    ),
    "half in a profile": ([{**ESCONV, "profile": {"a": "\ud800"}}], r"field meta: cannot be stored"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_names_file_record_and_field(name: str, tmp_path: Path) -> None:
    content, expected = BAD[name]
    file = write(tmp_path / "corpus.json", content)
    with pytest.raises(InputError, match=expected) as caught:
        load_corpus(file, "esconv")
    assert str(caught.value).startswith(str(file))
    assert "\n" not in str(caught.value)


def test_invalid_utf8(tmp_path: Path) -> None:
    file = tmp_path / "corpus.json"
    file.write_bytes(json.dumps([EXTES]).encode()[:-3] + b"\xff")
    with pytest.raises(InputError, match="not valid UTF-8"):
        load_corpus(file, "extes")


any_text = st.text(alphabet=st.characters(exclude_categories=[]), max_size=5)  # with half characters
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(
    [*LAYOUTS, "speaker", "role", "from", "value", "User", "AI", "AI Strategy", "strategy", "profile", "id"]
)
WORDS = st.sampled_from(["seeker", "supporter", "user", "assistant", "human", "gpt", "system", " ", "Hi", ""])
nearly_records = st.recursive(
    WORDS | any_text | json_values,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


def mutated(draw: st.DrawFn) -> object:
    """Take a good record and put something random at a random place."""
    record = json.loads(json.dumps(ALL[draw(st.sampled_from(sorted(ALL)))]))
    place: object = record
    while isinstance(place, dict | list) and place:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = draw(st.sampled_from(keys))
        if draw(st.booleans()) or not isinstance(place[key], dict | list):
            place[key] = draw(nearly_records)
            break
        place = place[key]
    return [record]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=nearly_records | st.lists(nearly_records, max_size=3) | st.composite(mutated)())
@example(value=[{**ESCONV, "profile": {"a": 1}}])
def test_random_json_gives_records_or_an_input_error(value: object, tmp_path: Path) -> None:
    try:
        dialogues = load_corpus(write(tmp_path / "f.json", json.dumps(value)), "esconv")
    except InputError:
        return
    cleaned, counts = clean_corpus(dialogues, 2)
    assert write_records(tmp_path / "out.jsonl", cleaned) == counts.sessions_kept  # what loads can be stored


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_random_bytes_give_an_input_error_or_nothing(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "f.json").write_bytes(content)
    with contextlib.suppress(InputError):
        assert load_corpus(tmp_path / "f.json", "esconv") == []
