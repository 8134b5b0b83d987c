"""Loaders: every layout gives the same kind of raw dialogue; every kind of bad file gives one clear line."""

import contextlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from stages.dialogue.alpaca import load_alpaca
from stages.dialogue.cleaning import clean_corpus
from stages.dialogue.formats import LAYOUTS, load_corpus
from stages.dialogue.strategies import STRATEGIES
from stages.records.errors import InputError
from stages.records.jsonl import write_records

SHARED = Path(os.environ.get("ESC_SHARED", Path(__file__).resolve().parents[1].parent / "shared"))
DATA = SHARED / "data"

ESCONV = {
    "experience_type": "Current Experience",
    "emotion_type": "fear",
    "problem_type": "job crisis",
    "situation": "My shop closes.",
    "survey_score": {"seeker": {"empathy": "5"}},
    "dialog": [
        {"speaker": "seeker", "annotation": {}, "content": "Hi"},
        {
            "speaker": "supporter",
            "annotation": {"strategy": "Reflection of feelings"},
            "content": "That hurts.",
        },
    ],
}
EXTES = {
    "scene": "Work",
    "description": "A shop closes.",
    "content": [{"User": "Hi"}, {"AI Strategy": "Emotional Validation", "AI": "That hurts."}],
}
SERVEFOREMO = {
    "id": "s-9",
    "emotion_type": "fear",
    "problem_type": "job crisis",
    "situation": "My shop closes.",
    "dialogue": [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "That hurts.", "strategy": ["reflection of feelings", "Question"]},
    ],
}
SHAREGPT = {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "That hurts."}]}
MESSAGES = {
    "messages": [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "That hurts."},
    ]
}
ALL = {
    "dialog": ESCONV,
    "dialogue": SERVEFOREMO,
    "conversations": SHAREGPT,
    "messages": MESSAGES,
    "content": EXTES,
}


def write(path: Path, value: object) -> Path:
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def changed(record: dict, *path_and_value: object) -> dict:
    """Return a deep copy of `record` with the value at a path replaced."""
    copy = json.loads(json.dumps(record))
    *path, last, value = path_and_value
    place = copy
    for step in path:
        place = place[step]
    place[last] = value
    return copy


def test_samples_cover_every_layout() -> None:
    assert ALL.keys() == LAYOUTS.keys()


@pytest.mark.parametrize("key", ALL)
def test_every_layout_gives_the_same_turns(key: str, tmp_path: Path) -> None:
    (dialogue,) = load_corpus(write(tmp_path / "misleading_name.json", [ALL[key]]), "extes")
    assert dialogue.id == "extes-00000"
    assert dialogue.source == "extes"
    assert [(turn.role, turn.text) for turn in dialogue.turns] == [
        ("seeker", "Hi"),
        ("supporter", "That hurts."),
    ]


def test_meta_and_strategies_of_each_layout(tmp_path: Path) -> None:
    records = [ESCONV, EXTES, SERVEFOREMO, MESSAGES, SHAREGPT]
    loaded = [load_corpus(write(tmp_path / "one.json", [record]), "esconv")[0] for record in records]
    labels = {"emotion": "fear", "problem": "job crisis", "situation": "My shop closes."}
    assert [dialogue.meta for dialogue in loaded] == [
        {**labels, "experience": "Current Experience"},
        {"scene": "Work", "description": "A shop closes."},
        {"source_id": "s-9", **labels},
        {"system": "Be kind."},
        {},
    ]
    assert [dialogue.turns[1].strategies for dialogue in loaded] == [
        ["Reflection of Feelings"],
        ["Emotional Validation"],
        ["Reflection of Feelings", "Question"],
        [],
        [],
    ]


@pytest.mark.parametrize("key", ALL)
def test_profile_is_kept_in_every_layout(key: str, tmp_path: Path) -> None:
    profile = {"occupation": "baker", "wants": ["to be heard"]}
    (dialogue,) = load_corpus(write(tmp_path / "one.json", [{**ALL[key], "profile": profile}]), "esconv")
    assert dialogue.meta["profile"] == profile


def test_system_message_beside_or_in_the_turns(tmp_path: Path) -> None:
    turns = [{"from": "system", "value": "Be kind."}, *SHAREGPT["conversations"]]
    (dialogue,) = load_corpus(write(tmp_path / "a", {"system": "Listen.", "conversations": turns}), "x")
    assert dialogue.meta == {"system": "Listen.\nBe kind."}
    assert len(dialogue.turns) == 2


def test_extes_keys_in_other_spellings_and_null_strategies(tmp_path: Path) -> None:
    content = [{"user ": "Hi"}, {"AI strategy": None, "ai": "Hello"}, {"AI Strategy": "", "AI": "You?"}]
    (dialogue,) = load_corpus(write(tmp_path / "a", [{"content": content}]), "extes")
    assert [turn.text for turn in dialogue.turns] == ["Hi", "Hello", "You?"]
    assert [turn.strategies for turn in dialogue.turns] == [[], [], []]
    assert dialogue.meta == {}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps([EXTES, EXTES]),
        json.dumps(EXTES) + "\n" + json.dumps(EXTES) + "\n",
        json.dumps(EXTES, indent=2) + "\n\n" + json.dumps(EXTES, indent=2),
        "\ufeff" + json.dumps(EXTES) + json.dumps(EXTES),
    ],
    ids=["list", "lines", "objects", "byte-order-mark"],
)
def test_list_lines_and_consecutive_objects_are_the_same(text: str, tmp_path: Path) -> None:
    assert [dialogue.id for dialogue in load_corpus(write(tmp_path / "f", text), "extes")] == [
        "extes-00000",
        "extes-00001",
    ]


def test_folder_of_mixed_layouts_is_read_by_name_and_numbered_through(tmp_path: Path) -> None:
    write(tmp_path / "b.jsonl", json.dumps(SHAREGPT) + "\n" + json.dumps(SHAREGPT))
    write(tmp_path / "a.json", [EXTES])
    write(tmp_path / "c.jsonl", "")
    write(tmp_path / ".a.json.part", "half a fi")
    write(tmp_path / ".hidden.json", "half a fi")
    write(tmp_path / "LICENSE", "not data")
    dialogues = load_corpus(tmp_path, "serveforemo")
    assert [dialogue.id for dialogue in dialogues] == [f"serveforemo-000{i}" for i in range(3)]
    assert [dialogue.meta for dialogue in dialogues] == [
        {"scene": "Work", "description": "A shop closes."},
        {},
        {},
    ]
    (tmp_path / "a.json").unlink()
    (tmp_path / "b.jsonl").write_text(json.dumps(SHAREGPT) + "\n[]")
    with pytest.raises(InputError, match=r"b\.jsonl: record 1: wrong type list, expected an object"):
        load_corpus(tmp_path, "serveforemo")


def test_empty_files(tmp_path: Path) -> None:
    assert load_corpus(write(tmp_path / "none.jsonl", "\n"), "extes") == []
    assert load_corpus(write(tmp_path / "none.json", "[]"), "extes") == []
    with pytest.raises(InputError, match="not JSON: the file is empty"):
        load_corpus(write(tmp_path / "cut.json", ""), "extes")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=r"no \.json or \.jsonl file in this folder"):
        load_corpus(tmp_path / "folder", "extes")
    with pytest.raises(InputError, match="no such file"):
        load_corpus(tmp_path / "absent.json", "extes")


BAD = {
    "not JSON": ('[{"dialog": [}]', r"line 1: not JSON"),
    "cut line": (json.dumps(EXTES) + '\n{"content": [', r"line 2: not JSON"),
    "not a number": ('[{"profile": {"age": NaN}, "dialog": []}]', r"line 1: not JSON: NaN is not a number"),
    "infinite": ('[{"profile": {"age": 1e999}, "dialog": []}]', "1e999 is out of range"),
    "bottomless": ("[" * 100_000, "not JSON"),
    "a number": ("3", "wrong top-level type int"),
    "a list of strings": ('["hello"]', "record 0: wrong type str"),
    "unknown shape": ([{"utterances": []}], "record 0: unknown shape"),
    "alpaca": ([{"instruction": "a", "output": "b"}], "record 0: unknown shape"),
    "no turns field": ([ESCONV, {"emotion_type": "fear"}], r"1 \(esconv-0001\): field dialog: missing field"),
    "no text": ([{"dialog": [{"speaker": "seeker"}]}], r"0 \(esconv-0000\): field dialog.0.content: missing"),
    "no value": ([{"conversations": [{"from": "gpt"}]}], r"field conversations.0.value: missing field"),
    "esconv role": (
        [ESCONV, changed(ESCONV, "dialog", 1, "speaker", "bot")],
        r'1 \(esconv-0001\): field dialog.1.speaker: .*"bot"',
    ),
    "serveforemo role": ([changed(SERVEFOREMO, "dialogue", 0, "role", "tool")], r"field dialogue.0.role"),
    "sharegpt role": ([changed(SHAREGPT, "conversations", 0, "from", "x")], r"field conversations.0.from"),
    "messages role": ([changed(MESSAGES, "messages", 1, "role", "tool")], r"field messages.1.role"),
    "late system": (
        [changed(MESSAGES, "messages", 2, "role", "system")],
        r"field messages: entry 2 is a sys",
    ),
    "extes role": ([changed(EXTES, "content", 1, {"Bot": "a"})], r"field content.1: unknown role 'Bot'"),
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


def test_alpaca(tmp_path: Path) -> None:
    good = {"instruction": "Add.", "input": "1 2", "output": "3"}
    rows = [
        good,
        {**good, "output": " "},
        {**good, "instruction": ""},
        {"instruction": "Sing.", "output": "La"},
    ]
    corpus = load_alpaca(write(tmp_path / "a.json", rows))
    assert [(item.id, item.input, item.output) for item in corpus.items] == [
        ("alpaca-00000", "1 2", "3"),
        ("alpaca-00003", "", "La"),
    ]
    assert corpus.skipped == {"blank_instruction": 1, "blank_output": 1}
    with pytest.raises(InputError, match=r"record 1 \(alpaca-00001\): field output: missing field"):
        load_alpaca(write(tmp_path / "b.json", [good, {"instruction": "a"}]))
    with pytest.raises(InputError, match=r"record 0 \(alpaca-00000\): field instruction: .*string, got 4"):
        load_alpaca(write(tmp_path / "b.json", [{**good, "instruction": 4}]))


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data folder is not here")
class TestRealFiles:
    def test_esconv(self) -> None:
        dialogues = load_corpus(DATA / "esconv", "esconv")
        assert len(dialogues) == 1300
        assert sum(len(dialogue.turns) for dialogue in dialogues) == 38365
        assert dialogues[-1].id == "esconv-1299"
        names = {name for dialogue in dialogues for turn in dialogue.turns for name in turn.strategies}
        assert names == set(STRATEGIES)
        assert all({"emotion", "problem", "situation"} <= dialogue.meta.keys() for dialogue in dialogues)

    def test_extes(self) -> None:
        dialogues = load_corpus(DATA / "extes", "extes")
        assert [len(dialogue.turns) for dialogue in dialogues] == [16, 23, 24, 24, 24, 23, 24, 24, 24, 24, 23]
        assert dialogues[0].meta.keys() == {"scene", "description"}
        assert dialogues[1].meta == {}
        assert any(turn.strategies for turn in dialogues[0].turns)

    def test_alpaca(self) -> None:
        corpus = load_alpaca(DATA / "alpaca" / "alpaca_data_subset2000.json")
        assert len(corpus.items) == 2000
