"""A real study in a folder of its own: two seeds of a random policy, killed in the middle."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from stages.prompts.templates import load_prompts
from stages.records.jsonl import read_records
from stages.records.schema import Dialogue
from tests.conftest import random_backbone, run_stage, stage_command, stage_environment
from tests.studies import edit, load, make_world

pytestmark = pytest.mark.slow


def finished(folder: Path) -> dict[str, int]:
    """When each arm was finished, by `seed-1/self`."""
    files = folder.glob(".scratch/study/*/*/finished")
    return {f"{file.parts[-3]}/{file.parts[-2]}": file.stat().st_mtime_ns for file in files}


def run_until(folder: Path, enough: Callable[[Collection[str]], bool]) -> dict[str, int]:
    """Run the study until enough arms are finished, then kill it and all that it has started."""
    command = stage_command("study", "--out", "metrics/study")
    with (folder / "killed.txt").open("w") as log:
        child = subprocess.Popen(
            command, cwd=folder, env=stage_environment(), stdout=log, stderr=log, start_new_session=True
        )
        try:
            deadline = time.monotonic() + 280
            while not enough(finished(folder)):
                assert child.poll() is None, (folder / "killed.txt").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.05)
        finally:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    return finished(folder)


def run_study(folder: Path) -> "subprocess.CompletedProcess[str]":
    return run_stage("study", "--out", "metrics/study", cwd=folder)


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, int]]:
    """The folder of a study that was killed and started again; what was finished before the kill."""
    folder = make_world(tmp_path_factory.mktemp("study"))
    dialogues = read_records(folder / "data/dialogues/synesc.jsonl", Dialogue)
    prompts = load_prompts(load(folder)["prompts"]["dir"]).texts.values()
    texts = [turn.text for dialogue in dialogues for turn in dialogue.turns]
    random_backbone(folder / "models/backbone", [*texts, *prompts], 600, 2048)
    before = run_until(folder, lambda arms: any("base" not in arm for arm in arms))
    done = run_study(folder)
    assert done.returncode == 0, done.stderr
    return folder, before


def test_what_was_finished_before_the_kill_is_not_run_again(studied: tuple[Path, dict[str, int]]):
    folder, before = studied
    assert {"seed-1/base", "seed-2/base"} < set(before)
    after = finished(folder)
    assert len(before) < len(after) == 2 * 3
    assert {arm: after[arm] for arm in before} == before


def test_the_study_has_effects_controls_and_what_made_it(studied: tuple[Path, dict[str, int]]):
    folder, _ = studied
    made = json.loads((folder / "metrics/study/study.json").read_text(encoding="utf-8"))
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=True
    )
    assert (made["commit"], made["seeds"]) == (head.stdout[:12], [1, 2])
    runs = [(run["arm"], run["seed"]) for run in made["runs"]]
    assert runs == [(arm, seed) for arm in ("base", "self", "swapped") for seed in (1, 2)]
    effects = {effect["name"]: effect for effect in made["effects"]}
    assert "own facts taken up without reflecting: M2 - M0" in effects
    assert "capability: M2 - M0, points" in effects
    assert [control["arm"] for control in made["controls"]] == ["swapped", "swapped"]
    # A random policy writes no JSON: no reflection is valid, and there is nothing refined to measure.
    assert effects["valid reflections of M0 at the first attempt"]["mean"] == 0
    missing = [f"own facts taken up, {model}: refined - direct" for model in ("M0", "M1")]
    assert set(missing) <= set(made["not_available"])
    assert not set(made["not_available"]) & set(effects)
    page = (folder / "metrics/study/README.md").read_text(encoding="utf-8")
    assert all(f"- {name}" in page for name in missing)
    assert f"Commit {made['commit']}, seeds 1, 2" in page


def test_arms_of_a_seed_share_their_base_and_differ_in_what_they_prefer(
    studied: tuple[Path, dict[str, int]],
):
    folder, _ = studied
    for seed in (1, 2):
        work = folder / f".scratch/study/seed-{seed}"
        parents = {
            json.loads((work / arm / "models/m1/policy.json").read_text())["parent"]
            for arm in ("self", "swapped")
        }
        assert parents == {str((work / "base/models/m0").resolve())}
        own, swapped = (
            json.loads((work / arm / "m1/preferences.json").read_text()) for arm in ("self", "swapped")
        )
        assert own["chosen_source"] == swapped["chosen_source"]
        assert own["chosen_source"]["golden_parse"] == own["pairs"]
        assert (own["words_chosen"], own["words_rejected"]) == (
            swapped["words_rejected"],
            swapped["words_chosen"],
        )
    weights = {
        file.read_bytes() for file in folder.glob(".scratch/study/*/*/models/m*/adapter_model.safetensors")
    }
    assert len(weights) == 2 * (1 + 2 + 2)  # no two models are the same


def test_a_second_study_runs_nothing_and_gives_the_same_bytes(studied: tuple[Path, dict[str, int]]):
    folder, _ = studied
    tables = [folder / "metrics/study" / name for name in ("study.json", "README.md")]
    before = finished(folder), [table.read_bytes() for table in tables]
    done = run_study(folder)
    assert done.returncode == 0, done.stderr
    assert (finished(folder), [table.read_bytes() for table in tables]) == before


@pytest.mark.parametrize(
    ("arm", "message"),
    [
        ({"no_section.key": 1}, r"error: params\.yaml: field no_section\.key: there is no such section\n"),
        (
            {"pair.no_key": 1},
            r"error: \S+/seed-\d/broken/log\.txt: record broken: seed \d: .*field pair\.no_key: .*\n",
        ),
    ],
)
def test_a_broken_arm_is_one_line_and_leaves_the_tables(
    studied: tuple[Path, dict[str, int]], arm: dict[str, int], message: str
):
    folder, _ = studied
    before = (folder / "params.yaml").read_text(), (folder / "metrics/study/study.json").read_bytes()
    edit(folder, lambda params: params["study"]["arms"].update(broken={"set": arm}))
    done = run_study(folder)
    (folder / "params.yaml").write_text(before[0])
    assert done.returncode == 1
    assert re.fullmatch(message, done.stderr), done.stderr
    assert (folder / "metrics/study/study.json").read_bytes() == before[1]
    assert "seed-1/broken" not in finished(folder)
