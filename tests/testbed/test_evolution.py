"""Two iterations for real, small: an arm that differs in everything, killed and started again by DVC."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from selfevolve.records.jsonl import read_records
from selfevolve.records.schema import Preference
from testbed.evolution.results import Evolved, measures
from testbed.study.run_file import read_run_file
from tests.conftest import stage_environment
from tests.pipeline.test_pipeline import Clone
from tests.support.studies import load, save, study_clone

pytestmark = pytest.mark.slow
PATIENCE_S = 1800
EVOLUTION = {
    "seeds": [1, 2],
    "last": 2,
    "set": {"contexts.parts": 2, "pair.valid_share": 0.5},  # one dialogue held back has no interval
    "arms": ["fresh", "other"],
    "differs": {
        "fresh": {},
        "other": {"contexts": "same", "reference": "m0", "set": {"pair.replay": 0.5}},
    },
}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone in which a run of the other arm was killed while M2 was made, and then finished."""
    clone = study_clone(tmp_path_factory.mktemp("evolution"))
    file = clone.folder / "testbed/params.yaml"
    save(file, load(file) | {"evolution": EVOLUTION})
    clone.run("git", "commit", "-qam", "a small evolution")
    environment = stage_environment() | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = [sys.executable, "-m", "testbed.evolution", "other-1"]
    with (clone.folder / ".scratch.log").open("w") as log:
        child = subprocess.Popen(command, cwd=clone.folder, env=environment, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + PATIENCE_S
            while not (clone.folder / "testbed/runs/evolution-other-1/m2/rejected.jsonl").exists():
                assert child.poll() is None, (clone.folder / ".scratch.log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.05)
            child.send_signal(signal.SIGTERM)
            assert child.wait(60) == 128 + signal.SIGTERM
        finally:
            child.kill()
    assert len(trained(clone.folder)) == 3  # M0, the reward model and M1
    before = trained(clone.folder)
    clone.run(*command)
    assert before.items() < trained(clone.folder).items()
    return clone


def trained(folder: Path) -> dict[str, int]:
    """When the weights of each training were written last."""
    files = folder.glob(".scratch/train/*/output/adapter_model.safetensors")
    return {str(file): file.stat().st_mtime_ns for file in files}


@pytest.fixture(scope="module")
def run(clone: Clone) -> Evolved:
    return Evolved(read_run_file(clone.folder / "metrics/evolution/runs/other-1.json"))


def test_each_model_is_trained_on_the_one_before_and_measured_beside_it(clone: Clone, run: Evolved):
    assert run.last == 2
    policy = json.loads((clone.folder / ".scratch/evolution/other-1/m2/policy.json").read_text())
    assert policy["parent"] == "../m1"
    assert set(run.made.made_of) >= {".scratch/evolution/other-1/m2", "testbed/runs/base-1/models/m0"}
    for model in (1, 2):
        references = run.made.metrics[f"m{model}/drift"]["divergence"]
        assert set(references) == {"backbone", "m0", "previous"}
    assert set(run.made.metrics["m0/drift"]["divergence"]) == {"backbone"}
    first = run.made.metrics["m1/drift"]["divergence"]
    assert first["m0"] == first["previous"]
    assert not list((clone.folder / "testbed/runs/evolution-other-1").rglob("*.safetensors"))


def test_a_run_has_every_number_that_the_tables_and_the_rules_name(run: Evolved):
    named = {one.file for one in (*measures().models.values(), *measures().iterations.values())}
    named |= {rule.of for rule in measures().rules}
    named -= {"capability.score.average"}  # of no task in a small study
    # Untrained, the small model's reflections do not parse.
    named = {name for name in named if not name.startswith("reflections.") or name.endswith(".valid")}
    assert [name for name in sorted(named) if run.number(run.last, name) is None] == []


def test_the_arm_is_what_it_says(clone: Clone, run: Evolved):
    folder = clone.folder / "testbed/runs/evolution-other-1"
    first, second = ({pair.id: pair for pair in pairs_of(folder / f"m{n}")} for n in (1, 2))
    assert first.keys() == second.keys()  # the same contexts
    assert "replay" not in run.made.metrics["m1/preferences"]
    assert run.made.metrics["m2/preferences"]["replay"]["available"] > 0
    reference = run.made.metrics["m2/training"]["reference"]
    assert reference.startswith(".scratch/evolution/merged-m0/")
    assert run.made.metrics["m1/training"]["reward_chosen_first"] == pytest.approx(0, abs=1e-3)


def pairs_of(folder: Path) -> list[Preference]:
    files = [folder / f"preferences/{part}.jsonl" for part in ("train", "valid")]
    return [pair for file in files for pair in read_records(file, Preference)]
