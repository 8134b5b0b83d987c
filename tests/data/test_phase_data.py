"""What phase 1 trains on and what the models answer, cut from dialogues by the stages."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfevolve.records.jsonl import write_records
from selfevolve.records.schema import Dialogue, Turn
from selfevolve.runtime.errors import InputError
from stages import contexts, sft_data
from tests.conftest import TEXTS, read_lines, write_prompts

SMALL_WINDOW = {"sft_data.cutoff_len": 300, "contexts.cutoff_len": 512, "contexts.answer_tokens": 100}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in: twelve dialogues of four to thirty turns, and eight instruction items."""
    monkeypatch.chdir(tmp_path)
    dialogues = []
    for n in range(12):
        roles = ["seeker", "supporter"] * (2 + (n % 4) * 4)
        turns = [Turn(role=role, text=f"{TEXTS[(n + i) % 4]} {i}") for i, role in enumerate(roles)]
        dialogues.append(Dialogue(id=f"d-{n:02d}", source="own", turns=turns))
    write_records(tmp_path / "dialogues.jsonl", dialogues)
    items = [{"instruction": f"Say {n}.", "input": "", "output": str(n)} for n in range(8)]
    items.append({"instruction": "Say nothing.", "input": "", "output": " "})
    (tmp_path / "alpaca.json").write_text(json.dumps(items))
    write_prompts(tmp_path / "prompts", task="You are a supporter.")
    return tmp_path


def run_sft_data(backbone: Path, params: Path, *more: str) -> dict[str, Any]:
    arguments = ["--dialogues", "dialogues.jsonl", "--alpaca", "alpaca.json", "--policy", str(backbone)]
    sft_data.main([*arguments, "--out", "out", "--metrics", "m.json", "--params", str(params), *more])
    return json.loads(Path("m.json").read_text())


def run_contexts(backbone: Path, params: Path, *files: str) -> dict[str, Any]:
    arguments = ["--train", *files, "--test", "dialogues.jsonl", "--policy", str(backbone)]
    contexts.main([*arguments, "--out", "out", "--metrics", "m.json", "--params", str(params)])
    return json.loads(Path("m.json").read_text())


def test_phase_1_learns_every_supporter_turn_once(
    folder: Path, backbone: Path, params_file: Callable[..., Path]
):
    changes = {**SMALL_WINDOW, "prompts.dir": str(folder / "prompts"), "sft_data.alpaca_items": 10}
    changes["sft_data.valid_share"] = 0.2
    counts = run_sft_data(backbone, params_file(changes))
    assert counts["alpaca_items"] == 8
    assert counts["alpaca_missing"] == 2
    assert counts["alpaca_blank_output"] == 1
    assert counts["continued_samples"] > 0 == counts["exchanges_too_long"]
    samples = {name: read_lines(folder / "out" / f"{name}.jsonl") for name in ("train", "valid")}
    assert {name: len(lines) for name, lines in samples.items()} == {k: counts[k] for k in samples}
    answers: dict[str, list[str]] = {}
    for sample in samples["train"] + samples["valid"]:
        turns = sample["conversations"]
        assert [turn["from"] for turn in turns] == ["human", "gpt"] * (len(turns) // 2)
        assert sample["system"] == ("" if sample["id"].startswith("alpaca") else "You are a supporter.")
        answers.setdefault(sample["id"].split("#")[0], []).extend(t["value"] for t in turns[1::2])
    for dialogue in read_lines(folder / "dialogues.jsonl"):
        assert answers.pop(dialogue["id"]) == [turn["text"] for turn in dialogue["turns"][1::2]]
    assert sorted(answers.values()) == sorted([str(n)] for n in range(8))
    held_back = {sample["id"].split("#")[0] for sample in samples["valid"]}
    assert len(held_back) == 2
    assert not held_back & {sample["id"].split("#")[0] for sample in samples["train"]}


def test_a_baseline_without_replay_learns_from_the_dialogues_alone(
    folder: Path, backbone: Path, params_file: Callable[..., Path]
):
    params = params_file({**SMALL_WINDOW, "prompts.dir": str(folder / "prompts")})
    ids, counts = {}, {}
    for replay in ("alpaca", "none"):
        counts[replay] = run_sft_data(backbone, params, "--replay", replay)
        files = [folder / "out" / f"{name}.jsonl" for name in ("train", "valid")]
        ids[replay] = [{line["id"] for line in read_lines(file)} for file in files]
    assert counts["none"]["alpaca_items"] == 0 < counts["alpaca"]["alpaca_items"]
    assert not {name for name in counts["none"] if name.startswith("alpaca")} - {"alpaca_items"}
    replayed = ids["alpaca"][0] - ids["none"][0]
    assert len(replayed) == counts["alpaca"]["alpaca_items"]
    assert all(identity.startswith("alpaca") for identity in replayed)
    assert (ids["none"][0] < ids["alpaca"][0], ids["none"][1]) == (True, ids["alpaca"][1])


def test_every_file_is_cut_in_parts_named_after_it(
    folder: Path, backbone: Path, params_file: Callable[..., Path]
):
    lines = (folder / "dialogues.jsonl").read_text().splitlines()
    (folder / "other.jsonl").write_text("\n".join(lines[:5]).replace("d-", "e-"))
    params = params_file({**SMALL_WINDOW, "prompts.dir": str(folder / "prompts")})
    alone = run_contexts(backbone, params, "dialogues.jsonl")
    before = (folder / "out/dialogues-1.jsonl").read_bytes()
    counts = run_contexts(backbone, params, "dialogues.jsonl", "other.jsonl")
    assert {name: counts[name] for name in alone} == alone  # what one file gives does not hang on the others
    assert (folder / "out/dialogues-1.jsonl").read_bytes() == before
    assert sorted(file.stem for file in (folder / "out").iterdir()) == sorted(counts)
    assert set(counts) == {"test", "dialogues-1", "dialogues-2", "other-1", "other-2"}
    assert counts["other-1"]["dialogues"] + counts["other-2"]["dialogues"] == 5
    other = [line["id"] for line in read_lines(folder / "out/other-1.jsonl")]
    assert other
    assert all(identity.startswith("e-") for identity in other)


def test_files_that_cannot_be_cut_are_named_and_nothing_is_written(
    folder: Path, backbone: Path, params_file: Callable[..., Path], capsys: pytest.CaptureFixture[str]
):
    params = params_file({**SMALL_WINDOW, "prompts.dir": str(folder / "prompts")})
    (folder / "one.jsonl").write_text((folder / "dialogues.jsonl").read_text().splitlines()[0])
    with pytest.raises(InputError, match=r"^one\.jsonl: 1 dialogues cannot be split into 2"):
        run_contexts(backbone, params, "dialogues.jsonl", "one.jsonl")
    with pytest.raises(SystemExit):
        run_contexts(backbone, params, "dialogues.jsonl", "more/dialogues.jsonl")
    assert "two of these have the same name" in capsys.readouterr().err
    assert not (folder / "out").exists()


def test_contexts_fit_the_window_and_parts_are_disjoint(
    folder: Path, backbone: Path, params_file: Callable[..., Path]
):
    changes = {**SMALL_WINDOW, "prompts.dir": str(folder / "prompts"), "contexts.part_limit": 9}
    counts = run_contexts(backbone, params_file(changes), "dialogues.jsonl")
    test = read_lines(folder / "out" / "test.jsonl")
    assert counts["test"]["found"] == 3 * (2 + 6 + 10 + 14) == len(test)
    assert counts["test"]["shortened"] > 0 == counts["test"]["too_long"]
    dialogues = {line["id"]: line["turns"] for line in read_lines(folder / "dialogues.jsonl")}
    for context in test:
        name, _, turn = context["id"].partition("#")
        assert context["golden"] == dialogues[name][int(turn)]["text"]
        said = [message["content"] for message in context["messages"]]
        assert said == [t["text"] for t in dialogues[name][: int(turn)]][-len(said) :]
        assert context["messages"][0]["role"] == context["messages"][-1]["role"] == "user"
    parts = [{c["id"] for c in read_lines(folder / "out" / f"dialogues-{n}.jsonl")} for n in (1, 2)]
    assert [len(part) for part in parts] == [9, 9]
    drawn = [Counter(identity.split("#")[0] for identity in part) for part in parts]
    assert {*drawn[0], *drawn[1]} == {name for name in dialogues if len(dialogues[name]) > 4}
    for number, per_dialogue in enumerate(drawn, start=1):
        assert max(per_dialogue.values()) - min(per_dialogue.values()) <= 1
        assert counts[f"dialogues-{number}"]["dialogues_sampled"] == len(per_dialogue)
    assert not {i.split("#")[0] for i in parts[0]} & {i.split("#")[0] for i in parts[1]}
    for identity in parts[0] | parts[1]:
        name, _, turn = identity.partition("#")
        assert 2 <= int(turn) < len(dialogues[name]) - 2  # no greeting: appendix A


def test_a_task_prompt_that_leaves_no_room_is_told_before_any_context_is_cut(
    folder: Path, backbone: Path, params_file: Callable[..., Path]
):
    write_prompts(folder / "long", task="You are a supporter. " * 60)
    params = params_file({**SMALL_WINDOW, "prompts.dir": str(folder / "long")})
    message = r"the task prompt alone takes \d+ tokens, the window is 511 tokens with 100 for the answer"
    with pytest.raises(InputError, match=message):
        run_contexts(backbone, params, "dialogues.jsonl")
    assert not Path("out").exists()
