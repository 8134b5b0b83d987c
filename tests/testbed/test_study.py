"""A small study for real: two processes at once that need the same base, one killed and started again."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from testbed.study.findings import run_of
from testbed.study.run_file import read_run_file
from tests.conftest import stage_environment
from tests.pipeline.test_pipeline import Clone
from tests.support.studies import study_clone

pytestmark = pytest.mark.slow
PATIENCE_S = 1200
TABLES = ("study.json", "README.md")


def trained(folder: Path) -> dict[str, int]:
    """When the weights of each training were written last."""
    files = folder.glob(".scratch/train/*/output/adapter_model.safetensors")
    return {str(file): file.stat().st_mtime_ns for file in files}


@contextmanager
def making(folder: Path, *runs: str) -> Iterator[subprocess.Popen[str]]:
    """`make study` of these runs as a process, which is ended with the block."""
    environment = stage_environment() | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = [sys.executable, "-m", "testbed.study", *runs]
    with (folder / f".scratch-{runs[0]}.log").open("a") as log:
        child = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, text=True)
        try:
            yield child
        finally:
            child.kill()
            child.wait()


def said(folder: Path, run: str) -> str:
    """What the processes that made a run have printed."""
    return (folder / f".scratch-{run}.log").read_text()


def wait_for(file: Path, child: subprocess.Popen[str]) -> None:
    """Return when a file is there, which the process is about to make."""
    deadline = time.monotonic() + PATIENCE_S
    while not file.exists():
        assert child.poll() is None, f"it ended before there was {file}"
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    return study_clone(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def made(clone: Clone) -> dict[str, int]:
    """Make a run and beside it its base, and kill the run while M1 is measured; its trainings until then."""
    folder = clone.folder
    with making(folder, "self-1") as first:
        wait_for(folder / "testbed/runs/base-1/params.yaml", first)
        with making(folder, "base-1") as second:
            wait_for(folder / "testbed/runs/self-1/m1/responses.jsonl", first)
            first.send_signal(signal.SIGTERM)
            assert first.wait(60) == 128 + signal.SIGTERM
            before = trained(folder)
            assert second.wait(PATIENCE_S) == 0, said(folder, "base-1")
        with making(folder, "self-1") as again:
            assert again.wait(PATIENCE_S) == 0, said(folder, "self-1")
    return before


def test_of_two_processes_one_makes_what_both_need(clone: Clone, made: dict[str, int]):
    first, second = (said(clone.folder, name) for name in ("self-1", "base-1"))
    assert "waiting for base-1, which another process makes" in second
    assert "Running stage" not in second
    assert "no tables: they need 2 seeds of self, and 0 are there" in second
    stages = re.findall(r"Running stage '(?:testbed/dvc.yaml:)?(.*)'", first)
    assert set(stages[:3]) == {"mini", "prepare", "backbone"}  # DVC's order of these differs between runs
    assert stages[3:] == ["base@1", "arm@self-1", "arm@self-1"]
    assert first.endswith("no tables: they need 2 seeds of self, and 1 are there\n")


def test_a_killed_run_goes_on_and_trains_nothing_twice(clone: Clone, made: dict[str, int]):
    assert "ended by SIGTERM: the same command goes on where it stopped" in said(clone.folder, "self-1")
    assert made.items() < trained(clone.folder).items()
    assert len(trained(clone.folder)) == 4  # M0, the reward model, M1 and M2
    assert not list((clone.folder / "testbed/runs/self-1").rglob("*.safetensors"))
    policy = clone.folder / ".scratch/study/self-1/m1/policy.json"
    parent = json.loads(policy.read_text())["parent"]
    assert parent == "../../../../testbed/runs/base-1/models/m0"  # a clone elsewhere finds it as well


def test_a_run_leaves_what_it_measured_in_one_small_file(clone: Clone, made: dict[str, int]):
    files = {name: clone.folder / f"metrics/study/runs/{name}.json" for name in ("base-1", "self-1")}
    base, own = (run_of(read_run_file(file), file) for file in files.values())
    assert (set(base.models), set(own.models)) == (
        {"m0", "vanilla", "same", "best_of"},
        {"m1", "m2", "shuffled"},
    )
    assert set(base.iterations) == {"m1-synesc"}
    assert own.iterations["m1"]["chosen_source"]["golden_parse"] == own.iterations["m1"]["pairs"]
    assert {"bleu_2_paper", "own_share"} <= set(own.models["m2"])
    assert len(own.responses["m2.personal"]) == 4
    assert len(own.responses["m2.session_disclosed"]) == 2
    assert {"session_disclosed", "session_emotion_change"} <= set(own.models["shuffled"]) & set(
        base.models["same"]
    )
    made_of = [read_run_file(file).made_of for file in files.values()]
    assert len({one["testbed/runs/base-1/models/m0"] for one in made_of}) == 1
    assert all(file.stat().st_size < 40_000 for file in files.values())


def test_a_fresh_clone_makes_the_same_tables_of_the_files_alone(
    clone: Clone, made: dict[str, int], tmp_path: Path
):
    """The other files are copies of the first's: how tables are made is tested elsewhere."""
    runs = clone.folder / "metrics/study/runs"
    for arm, seed, source in (
        ("swapped", 1, "self"),
        *((arm, 2, arm) for arm in ("base", "self", "swapped")),
    ):
        text = (runs / f"{source}-1.json").read_text()
        text = text.replace('"seed":1,', f'"seed":{seed},', 1).replace(
            f'"arm":"{source}"', f'"arm":"{arm}"', 1
        )
        text = text.replace("runs/base-1/models", f"runs/base-{seed}/models")
        (runs / f"{arm}-{seed}.json").write_text(text)
    clone.run("python", "-m", "testbed.study.tables")
    tables = [(clone.folder / "metrics/study" / name).read_bytes() for name in TABLES]
    head = clone.run("git", "rev-parse", "HEAD").stdout
    clone.run("git", "add", "metrics/study/runs")
    clone.run("git", "commit", "-qm", "runs")
    study = json.loads(tables[0])
    assert (study["commit"], study["seeds"]) == (head[:12], [1, 2])
    assert [(run["arm"], run["seed"]) for run in study["runs"]] == [
        (arm, seed) for arm in ("base", "self", "swapped") for seed in (1, 2)
    ]
    clone.run("git", "clone", "-q", ".", str(tmp_path / "fresh"))
    subprocess.run([sys.executable, "-m", "testbed.study.tables"], cwd=tmp_path / "fresh", check=True)
    assert [(tmp_path / "fresh/metrics/study" / name).read_bytes() for name in TABLES] == tables


def test_a_run_that_does_not_exist_is_named_before_anything_runs(clone: Clone):
    done = clone.run(sys.executable, "-m", "testbed.study", "self-9", check=False)
    assert done.returncode == 1
    expected = (
        "error: testbed/params.yaml: field study.runs: there is no run self-9; there are base-1, base-2,"
    )
    assert done.stderr.startswith(expected)
