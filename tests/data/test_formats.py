"""The loaders of corpora: every layout gives the same kind of raw dialogue."""

import json
from pathlib import Path

import pytest

from selfevolve.data.corpus import load_alpaca, load_corpus
from selfevolve.data.layouts import LAYOUTS
from selfevolve.records.schema import STRATEGIES
from selfevolve.runtime.errors import InputError
from tests.conftest import SHARED
from tests.support.layouts import ALL, ESCONV, ESCOT, EXTES, MESSAGES, SERVEFOREMO, SHAREGPT, write

DATA = SHARED / "data"


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
    records = [ESCONV, EXTES, SERVEFOREMO, MESSAGES, SHAREGPT, ESCOT]
    loaded = [load_corpus(write(tmp_path / "one.json", [record]), "esconv")[0] for record in records]
    labels = {"emotion": "fear", "problem": "job crisis", "situation": "My shop closes."}
    assert [dialogue.meta for dialogue in loaded] == [
        {**labels, "experience": "Current Experience"},
        {"scene": "Work", "description": "A shop closes."},
        {"source_id": "s-9", **labels},
        {"system": "Be kind."},
        {},
        {"source_id": 944},
    ]
    assert [dialogue.turns[1].strategies for dialogue in loaded] == [
        ["Reflection of Feelings"],
        ["Emotional Validation"],
        ["Reflection of Feelings", "Question"],
        [],
        [],
        ["Affirmation and Reassurance"],
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


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "should be an object with a list `dialog`"),
        ({"dialog": "Hi"}, "should be an object with a list `dialog`"),
        ({"dialog": []}, "missing field: response"),
        (
            {"dialog": [{"speaker": "seeker"}], "response": "Yes."},
            "field original_data.0.content: missing field",
        ),
    ],
)
def test_what_is_no_dialogue_of_escot_is_named(data: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="record 0 ") as caught:
        load_corpus(write(tmp_path / "a.json", [ESCOT | {"original_data": data}]), "extes")
    assert message in str(caught.value)


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


def test_alpaca(tmp_path: Path) -> None:
    good = {"instruction": "Add.", "input": "1 2", "output": "3"}
    rows = [
        good,
        {**good, "output": " "},
        {**good, "instruction": ""},
        {"instruction": "Sing.", "output": "La"},
    ]
    items, skipped = load_alpaca(write(tmp_path / "a.json", rows))
    assert [(item.id, item.input, item.output) for item in items] == [
        ("alpaca-00000", "1 2", "3"),
        ("alpaca-00003", "", "La"),
    ]
    assert skipped == {"blank_instruction": 1, "blank_output": 1}
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
        items, _ = load_alpaca(DATA / "alpaca" / "alpaca_data_subset2000.json")
        assert len(items) == 2000
