"""A run's folder becomes one file, and the study reads its numbers from that."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfevolve.records.jsonl import write_records
from selfevolve.records.schema import FactMentions
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import publish_json
from selfevolve.runtime.git import last_commit
from testbed.study import run_file
from testbed.study.findings import Run, run_of

MODEL = {
    "own_share": 20.0,
    "own_count": 1.0,
    "personal": 50.0,
    "generic": 40.0,
    "garbled": 0.0,
    "wrong": 10.0,
    "words": 12.0,
}
SCORES = {"paper": {"bleu_2": 5.0, "distinct_2": 90.0, "meteor": 7.0}}
SCORES |= {"standard": {"bleu_2": 4.0, "distinct_2": 50.0}}
TEXT = {"bleu_2_paper": 5.0, "bleu_2_standard": 4.0, "distinct_2_paper": 90.0, "distinct_2_standard": 50.0}
TEXT |= {"meteor_paper": 7.0}
STARTED = {"reward_chosen_first": 0.0, "reward_rejected_first": 0.0}
KEPT = {"reward_chosen": {"mean": 0.5, "low": 0.25, "high": 0.75}, "eval_loss": {"mean": 1.5}}
TRAINED = STARTED | {"kept_step": 4, "steps": 8, "kept.reward_chosen.mean": 0.5}
COUNTS = {"pairs": 9, "chosen_source": {"refined": 9}, "words_chosen": 12.5, "words_rejected": 10.0}
TURNS = {"2": {"contexts": 1, "fields_right": 100.0, "profile_named": 30.0, "wrong": 0.0}}
REFLECTIONS = {
    "valid_first": 90.0,
    "valid": 95.0,
    "refined_own_share": 80.0,
    "direct_own_share": 20.0,
    "by_seeker_turns": TURNS,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files of an arm: M1 without capability, M2 with everything, and M0's reflections beside them."""
    for name in ("m1", "m2"):
        publish_json(tmp_path / name / "facts.json", {"responses": 2, "with_profile": 2} | MODEL)
        publish_json(tmp_path / name / "text.json", SCORES | {"count": 2})
        training = STARTED | {"kept_step": 4, "steps": 8, "kept_because": "last step", "kept": KEPT}
        publish_json(tmp_path / name / "training.json", training)
        publish_json(tmp_path / name / "preferences.json", COUNTS | {"train": 8})
        taken = [
            FactMentions(
                id="d1#3", known=["cause", "person"], own=["cause"], early=[], wrong=[], fragments=[], words=9
            ),
            FactMentions(id="d2#3", known=[], own=[], early=[], wrong=[], fragments=[], words=9),
            FactMentions(id="d3#3", known=["cause"], own=[], early=[], wrong=[], fragments=[], words=9),
        ]
        write_records(tmp_path / name / "facts.jsonl", taken)
    publish_json(tmp_path / "m2" / "capability.json", {"score": {"smoke": 40.0, "average": 40.0}})
    for name in ("m1-synesc", "m2"):
        publish_json(tmp_path / name / "reflections.json", {"count": 2} | REFLECTIONS)
    (tmp_path / "log.txt").write_text("")
    (tmp_path / "params.yaml").write_text("pair: {}")
    return tmp_path


def read(folder: Path) -> Run:
    """What is read of the file that is made of a folder."""
    file = folder.with_name("self-3.json")
    made_of = ["--made-of", str(folder / "m1")]
    arguments = ["--run", str(folder), "--arm", "self", "--seed", "3", *made_of, "--out", str(file)]
    run_file.main(arguments)
    return run_of(run_file.read_run_file(file), file)


def test_a_run_is_read_from_its_file(folder: Path):
    run = read(folder)
    assert (run.arm, run.seed, list(run.models)) == ("self", 3, ["m1", "m2"])
    assert run.models["m1"] == MODEL | TEXT
    assert run.models["m2"] == MODEL | TEXT | {"capability": 40.0}
    assert run.responses["m2.own_share"] == {"d1#3": 50.0, "d3#3": 0.0}  # before d2#3 no fact was known
    assert run.responses["m2.generic"] == {"d1#3": 0.0, "d2#3": 100.0, "d3#3": 100.0}
    assert run.iterations["m1"] == COUNTS | TRAINED
    assert run.iterations["m2"] == COUNTS | TRAINED | REFLECTIONS
    assert run.iterations["m1-synesc"] == REFLECTIONS


def test_what_was_not_measured_is_absent(folder: Path):
    publish_json(folder / "m2" / "reflections.json", {"valid_first": 0.0, "by_seeker_turns": TURNS})
    publish_json(folder / "m2" / "capability.json", {"score": {"average": None}})
    facts = {name: value for name, value in MODEL.items() if name != "own_share"}
    publish_json(folder / "m2" / "facts.json", facts)
    run = read(folder)
    assert run.models["m2"] == facts | TEXT
    assert "refined_own_share" not in run.iterations["m2"]
    assert run.iterations["m2"]["valid_first"] == 0


def test_the_file_says_what_made_the_run_and_is_small(folder: Path):
    read(folder)
    text = folder.with_name("self-3.json").read_text()
    made = json.loads(text)
    assert {len(one) for one in made["made_of"].values()} == {64}
    assert [Path(name).name for name in made["made_of"]] == ["params.yaml", "m1"]
    assert len(made["commit"].rstrip("+")) == 12
    assert made["machine"]["cores"]
    assert made["seconds"] < 600
    assert made["contexts"]["m1"] == ["d1#3", "d2#3", "d3#3"]
    assert text.count("\n") == 1  # compact
    with pytest.raises(InputError, match="other: the run was made of it, and it is not there"):
        run_file.digest(folder / "other")


def remove(name: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (remove("m1/facts.json"), r"self-3\.json: field metrics\.m1/facts: missing field"),
        (remove("m2/text.json"), r"self-3\.json: field metrics\.m2/text: missing field"),
        (remove("m2/training.json"), r"self-3\.json: field metrics\.m2/training: missing field"),
        (lambda folder: (folder / "m2/text.json").write_text("{"), r"m2/text\.json: not JSON"),
    ],
)
def test_what_is_missing_or_broken_is_named(folder: Path, spoil: Callable[[Path], Any], message: str):
    spoil(folder)
    with pytest.raises(InputError, match=message):
        read(folder)


def test_a_file_that_holds_no_run_is_named(tmp_path: Path):
    file = tmp_path / "self-3.json"
    with pytest.raises(InputError, match=r"self-3\.json: no such file"):
        run_file.read_run_file(file)
    file.write_text('{"arm": "self"}')
    with pytest.raises(InputError, match=r"self-3\.json: field seed: missing field"):
        run_file.read_run_file(file)


def test_a_run_s_commit_is_the_last_that_changed_its_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)

    def commit(*files: str) -> None:
        for name in files:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(f"{name} {len(list(tmp_path.rglob('*')))}")
        for words in (
            ["add", "."],
            ["-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qm", "x"],
        ):
            subprocess.run(["git", *words], check=True)

    subprocess.run(["git", "init", "-q"], check=True)
    commit("selfevolve/a.py", "testbed/README.md")
    clean = last_commit(run_file.CODE)
    assert len(clean) == 12
    commit("metrics/study/runs/self-1.json", "testbed/README.md", "testbed/dvc.lock", "docs/page.md")
    assert last_commit(run_file.CODE) == clean
    (tmp_path / "testbed/README.md").write_text("new")
    assert last_commit(run_file.CODE) == clean
    (tmp_path / "selfevolve/a.py").write_text("new")
    assert last_commit(run_file.CODE) == f"{clean}+"
    commit("stages/b.py")
    assert last_commit(run_file.CODE) != clean
