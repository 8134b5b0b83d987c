"""Further test sets: cleaned, compared with what was trained on, and scored in the same columns."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfevolve.data.cleaning import clean_corpus
from selfevolve.data.corpus import load_corpus
from selfevolve.metrics.labels import SHORT, TEXT
from selfevolve.records.jsonl import read_records, write_records
from selfevolve.records.schema import Dialogue
from selfevolve.report import console
from selfevolve.runtime.errors import InputError
from stages import contexts, respond, score
from stages.analyses import unseen
from tests.conftest import write_prompts


def talk(number: int, exchanges: int = 3) -> list[tuple[str, str]]:
    return [
        (role, f"{role} {number} says {' '.join(f'w{number}x{turn}y{n}' for n in range(10))}")
        for turn in range(exchanges)
        for role in ("seeker", "supporter")
    ]


def as_esconv(turns: list[tuple[str, str]]) -> dict[str, Any]:
    return {"dialog": [{"speaker": role, "content": text, "annotation": {}} for role, text in turns]}


def as_sharegpt(turns: list[tuple[str, str]]) -> dict[str, Any]:
    names = {"seeker": "human", "supporter": "gpt"}
    return {"conversations": [{"from": names[role], "value": text} for role, text in turns]}


def as_extes(turns: list[tuple[str, str]]) -> dict[str, Any]:
    return {"content": [{"User" if role == "seeker" else "AI": text} for role, text in turns]}


@pytest.fixture
def training(tmp_path: Path) -> Path:
    """Ten dialogues that a model was trained on: the talks 0 to 9."""
    (tmp_path / "raw.json").write_text(json.dumps([as_esconv(talk(number)) for number in range(10)]))
    trained, _ = clean_corpus(load_corpus(tmp_path / "raw.json", "esconv"), 2)
    write_records(tmp_path / "training.jsonl", trained)
    return tmp_path / "training.jsonl"


def prepare(folder: Path, training: Path, sessions: list[dict[str, Any]], params: Path, name: str = "mine"):
    (folder / "own.json").write_text(json.dumps(sessions), encoding="utf-8")
    files = ["--dialogues", str(folder / "own.json"), "--training", str(training), "--params", str(params)]
    out = ["--out", str(folder / "mine.jsonl"), "--metrics", str(folder / "mine.json")]
    unseen.main(["--name", name, *files, *out])
    return json.loads((folder / "mine.json").read_text()), read_records(folder / "mine.jsonl", Dialogue)


@pytest.mark.parametrize("layout", [as_esconv, as_sharegpt, as_extes])
def test_the_layout_is_told_by_the_records(
    tmp_path: Path, training: Path, params_file: Callable[..., Path], layout: Callable[..., dict[str, Any]]
):
    metrics, kept = prepare(tmp_path, training, [layout(talk(number)) for number in (20, 21)], params_file())
    assert [dialogue.id for dialogue in kept] == ["mine-00000", "mine-00001"]
    assert [(turn.role, turn.text) for turn in kept[1].turns] == talk(21)
    assert (metrics["compared_with"], metrics["dialogues"]) == (10, 2)
    assert metrics["removed"] == dict.fromkeys((*unseen.KINDS.values(), "situation_of_training"), 0)


def test_what_was_trained_on_is_removed_and_counted(
    tmp_path: Path, training: Path, params_file: Callable[..., Path]
):
    almost = [*talk(5)[:-1], ("supporter", "Something else.")]
    own = [talk(20), talk(3), almost, talk(20), talk(21, exchanges=1), [*talk(22), *talk(23)]]
    params = params_file({"unseen.min_turns": 4})
    metrics, kept = prepare(tmp_path, training, [as_sharegpt(turns) for turns in own], params)
    assert [dialogue.id for dialogue in kept] == ["mine-00000", "mine-00005"]
    assert metrics["removed"] == {
        **{"exact_of_training": 1, "near_of_training": 1, "exact_inside": 1, "near_inside": 0},
        "situation_of_training": 0,
    }
    assert metrics["skipped"] == {"no_exchange": 0, "too_short": 1}
    assert metrics["cleaning"]["sessions"] == 6 == 2 + 3 + 1
    assert metrics["table_1"]["sessions"] == 2


def test_what_was_written_from_a_training_dialogue_s_situation_is_removed_and_counted(
    tmp_path: Path, params_file: Callable[..., Path]
):
    told = "I lost my job, and now my sister  is angry."
    sessions = [as_esconv(talk(0)) | {"situation": told}, as_esconv(talk(1)) | {"situation": "I am sad."}]
    (tmp_path / "raw.json").write_text(json.dumps(sessions))
    trained, _ = clean_corpus(load_corpus(tmp_path / "raw.json", "esconv"), 2)
    write_records(tmp_path / "training.jsonl", trained)
    own = [
        as_sharegpt(talk(20)) | {"profile": {"situation": "i lost my job and now my sister is angry"}},
        as_sharegpt(talk(21)) | {"situation": "I am sad."},  # too short to tell
        as_sharegpt(talk(22)) | {"profile": {"situation": "I lost my keys, and now my sister is angry."}},
    ]
    metrics, kept = prepare(tmp_path, tmp_path / "training.jsonl", own, params_file())
    assert [dialogue.id for dialogue in kept] == ["mine-00001", "mine-00002"]
    assert metrics["removed"]["situation_of_training"] == 1
    assert metrics["dialogues"] == metrics["table_1"]["sessions"] == 2


@pytest.mark.parametrize(
    ("numbers", "name", "message"),
    [
        ([1, 2], "mine", r"own.json: no dialogue is left to test with"),
        ([30], "mine/x", r"field unseen.sets.name: 'mine/x' is no name"),
    ],
)
def test_a_set_that_cannot_be_used_is_an_error_and_leaves_nothing(
    tmp_path: Path,
    training: Path,
    params_file: Callable[..., Path],
    numbers: list[int],
    name: str,
    message: str,
):
    with pytest.raises(InputError, match=message):
        prepare(tmp_path, training, [as_sharegpt(talk(n)) for n in numbers], params_file(), name)
    assert not list(tmp_path.glob("mine.*"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unseen.sets": [{"name": "mine", "file": "own.json"}]}, r"field unseen\.sets\.0\.\w+: "),
        ({"unseen.sets": [{"name": "", "path": "own.json"}]}, r"field unseen\.sets\.0\.name: "),
        ({"unseen.asked": [{"name": "m0", "policy": "models/m0"}]}, r"field unseen\.asked\.0\.prompt: "),
    ],
)
def test_an_entry_with_an_unknown_an_empty_or_a_missing_key_is_named(
    tmp_path: Path,
    training: Path,
    params_file: Callable[..., Path],
    changes: dict[str, Any],
    message: str,
):
    with pytest.raises(InputError, match=message):
        prepare(tmp_path, training, [as_sharegpt(talk(n)) for n in (20, 21)], params_file(changes))


def test_a_further_set_gets_the_same_columns(
    tmp_path: Path,
    training: Path,
    backbone: Path,
    params_file: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    write_prompts(tmp_path / "prompts", task="You are a supporter.")
    changes = {"prompts.dir": str(tmp_path / "prompts"), "contexts.cutoff_len": 512}
    changes |= {"contexts.answer_tokens": 16, "respond.sampling.max_new_tokens": 16, "score.semantic": False}
    params = ["--params", str(params_file(changes))]
    prepare(tmp_path, training, [as_sharegpt(talk(n, 1)) for n in (20, 21)], Path(params[1]))
    monkeypatch.chdir(tmp_path)
    asked = ["--policy", str(backbone), "--metrics", "m.json", *params]
    contexts.main(["--test", "mine.jsonl", "--out", "contexts", *asked])
    respond.main(["--contexts", "contexts/test.jsonl", "--out", "responses.jsonl", *asked])
    files = ["--responses", "responses.jsonl", "--contexts", "contexts/test.jsonl", *params]
    score.main([*files, "--out", "metrics/m0/text.json"])
    capsys.readouterr()
    console.main(["m0", "m2", "--metrics", "metrics"])
    printed = capsys.readouterr().out
    for protocol in ("paper protocol", "standard protocol"):
        block = printed[printed.index(protocol) :].splitlines()
        assert block[1].split() == [SHORT[name] for name in TEXT]
        assert len(block[2].split()) == 1 + len(TEXT)
        assert block[3].split() == ["m2", "not", "run"]
