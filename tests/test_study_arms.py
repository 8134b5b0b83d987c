"""What makes an arm of the study run again, and what stops it. No model is made here."""

import argparse
import contextlib
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stages import evolve, study
from stages.command import read_params
from stages.records.errors import InputError
from tests.conftest import ROOT, stage_environment
from tests.studies import Change, edit, make_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("study"))


@pytest.fixture
def place(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder to work in, with something in the backbone's place."""
    folder = shutil.copytree(world, tmp_path / "place")
    (folder / "models/backbone").mkdir(parents=True)
    (folder / "models/backbone/policy.json").write_text("{}")
    monkeypatch.chdir(folder)
    study.input_digest.cache_clear()
    return folder


def unfinished(folder: Path, *, finish: bool = False) -> set[str]:
    """The arms of which not all seeds count as finished; with `finish`, all of them will."""
    study.input_digest.cache_clear()
    args = argparse.Namespace(work=folder / "work", params=folder / "params.yaml")
    bases, arms = study._tasks(args, read_params("study", evolve.StudyParams, args.params))
    tasks = [*bases, *(task for those in arms.values() for task in those)]
    for task in tasks if finish else ():
        task.folder.mkdir(parents=True)
        (task.folder / "finished").write_text(task.made_of)
    return {task.arm for task in tasks if not task.finished}


def add_arm(**arm: Any) -> Change:
    return lambda params: params["study"]["arms"].update({"other": arm})


ALL = {"base", "self", "swapped"}


@pytest.mark.parametrize(
    ("change", "stale"),
    [
        (lambda p: p["pair"].update(valid_share=0.2), ALL),
        (lambda p: p["study"]["set"].update({"contexts.test_limit": 5}), ALL),
        (lambda p: p["study"]["arms"]["swapped"]["set"].update({"train.dpo.pref_beta": 0.2}), {"swapped"}),
        (lambda p: p["study"]["arms"]["swapped"].update(contexts="esconv_train"), {"base", "swapped"}),
        (add_arm(set={"pair.max_length_ratio": None}), {"other"}),
        (lambda p: p["study"]["arms"]["swapped"].update(chosen="golden"), {"base", "swapped"}),
        (add_arm(contexts="esconv_train", chosen="golden"), {"base", "other"}),
        (lambda p: p["study"].update(seeds=[1, 2, 3]), {"base", "self"}),  # those of the third seed
        (lambda p: p["study"].update(workers=1) or p.update(headline="m1"), set()),
    ],
)
def test_an_arm_runs_again_when_its_own_parameters_change(place: Path, change: Change, stale: set[str]):
    assert unfinished(place, finish=True) == set()
    edit(place, change)
    assert unfinished(place) == stale


@pytest.mark.parametrize(
    "name", ["data/dialogues/synesc.jsonl", "data/mini/alpaca.json", "models/backbone/policy.json"]
)
def test_all_run_again_when_what_they_start_from_changes(place: Path, name: str):
    assert unfinished(place, finish=True) == set()
    (place / name).write_text((place / name).read_text() + "\n")
    assert unfinished(place) == ALL


def test_the_parameters_that_a_run_reads_are_those_that_count():
    read = {"data"}  # of which only the file of Alpaca items counts, by its content
    for name in ("evolve", *evolve.STAGES):
        text = (ROOT / "stages" / f"{name}.py").read_text(encoding="utf-8")
        read |= set(re.findall(r'(?:load|read)_params\("(\w+)"', text))
    assert read == {*study.SECTIONS, "data", "study"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p["study"]["arms"].pop("self"), "field study.arms: the method itself, self, is missing"),
        (lambda p: p["study"].update(seeds=[1, 1]), "field study.seeds: a seed occurs twice"),
        (lambda p: p["study"].update(seeds=[1]), "field study.seeds: List should have at least 2 items"),
        (lambda p: p["study"]["arms"].update(base={}), "field study.arms.base: this is the name of"),
        (
            lambda p: p["study"]["arms"]["self"].update(contexts="esconv_train"),
            "field study.arms.self: the method runs with all seeds, on contexts of synesc",
        ),
        (
            lambda p: p["study"]["arms"]["self"].update(chosen="golden"),
            "field study.arms.self: the method .* chooses refined responses",
        ),
        (add_arm(chosen="gold"), "field study.arms.other.chosen: Input should be 'refined' or 'golden'"),
        (
            lambda p: p["study"].update(seeds=[1, 2, 3]) or p["study"]["arms"]["self"].update(seeds=2),
            "field study.arms.self: the method runs with all seeds",
        ),
        (add_arm(set={"pairs.seed": 1}), "field pairs.seed: there is no such section"),
        (add_arm(set={"pair.seed.x": 1}), "field pair.seed.x: there is no such section"),
    ],
)
def test_parameters_that_make_no_study_are_named(place: Path, change: Change, message: str):
    edit(place, change)
    with pytest.raises(InputError, match=f"^params.yaml: {message}"):
        study.main(["--out", "metrics/study"])
    assert not (place / "metrics").exists()


@pytest.mark.parametrize("name", [*map(str, evolve.INPUTS), "data/mini/alpaca.json"])
def test_what_is_not_there_is_named(place: Path, name: str):
    shutil.move(name, "elsewhere")
    with pytest.raises(InputError, match=f"^{name}: is not there: run `make study`"):
        study.main(["--out", "metrics/study"])


def test_two_studies_do_not_run_at_once(place: Path):
    study.LOCK.parent.mkdir()
    with study.LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="another study is running here"):
            study.main(["--out", "metrics/study"])


def test_the_commit_does_not_depend_on_the_tables_that_name_it(place: Path):
    git = ("git", "-c", "user.name=t", "-c", "user.email=t@localhost")
    tables = place / "metrics/study/README.md"
    tables.parent.mkdir(parents=True)
    tables.write_text("old")
    subprocess.run([*git, "add", "metrics"], check=True)
    subprocess.run([*git, "commit", "-qm", "tables"], check=True)
    clean = study.commit(Path("metrics/study"))
    assert re.fullmatch("[0-9a-f]{12}", clean)
    tables.write_text("new")
    assert study.commit(Path("metrics/study")) == study.commit(place / "metrics/study") == clean
    assert study.commit(place.parent / "elsewhere") == f"{clean}+"
    edit(place, lambda params: params.update(headline="m1"))
    assert study.commit(Path("metrics/study")) == f"{clean}+"
    shutil.rmtree(".git")
    with pytest.raises(InputError, match="Git cannot tell it"):
        study.commit(Path("metrics/study"))


# --- the processes: a study whose arms only wait, say who they are, and do what ARM says

DRIVER = """
import os, signal, time
from stages import evolve, study
from stages.command import run
from stages.records.errors import InputError

def wait(work, arm, seed, params):
    (work / "busy").mkdir()  # fails where another arm of this seed is running
    if arm != "base":
        print(params, os.getpid(), flush=True)
        if seed == 1 and os.environ["ARM"] == "fails":
            raise InputError("bad luck", file="x.jsonl")
        if seed == 1 and os.environ["ARM"] == "dies":
            os.kill(os.getpid(), 9)
        time.sleep(float(os.environ["SECONDS"]))
    (work / "busy").rmdir()

evolve.evolve = wait
if __name__ == "__main__":
    # Python leaves Ctrl-C ignored where it was at the start, as in what a shell runs in the background.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    run(study.main)
"""


Start = Callable[[str, float], "subprocess.Popen[str]"]


@pytest.fixture
def start(place: Path) -> Iterator[Start]:
    """Starts such a study; whatever it leaves running is killed in the end."""
    (place / "driver.py").write_text(DRIVER)
    started = []

    def run(arm: str, seconds: float) -> "subprocess.Popen[str]":
        child = subprocess.Popen(
            [sys.executable, "driver.py", "--out", "metrics/study"],
            env=stage_environment() | {"ARM": arm, "SECONDS": str(seconds)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(child)
        return child

    yield run
    for child in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)


def workers(place: Path) -> list[int]:
    """The processes of the arms that have said who they are."""
    said = [log.read_text() for log in place.glob(".scratch/study/*/*/log.txt")]
    return [int(text.split()[-1]) for text in said if text.endswith("\n")]


def both_workers(place: Path, child: "subprocess.Popen[str]") -> list[int]:
    deadline = time.monotonic() + 60
    while len(workers(place)) < 2:
        assert child.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return workers(place)


def wait_for_end(process: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return
        time.sleep(0.02)
    raise AssertionError(f"{process} outlived the study")


@pytest.mark.parametrize(
    ("arm", "message"),
    [
        ("fails", r"error: \S+/seed-1/self/log\.txt: record self: seed 1: x\.jsonl: bad luck\n"),
        ("dies", r"error: \S+/seed-\d/self/log\.txt: record self: seed \d: its process, .* was killed .*\n"),
    ],
)
def test_an_arm_that_fails_ends_the_study_at_once(place: Path, start: Start, arm: str, message: str):
    child = start(arm, 300)
    _, errors = child.communicate(timeout=60)
    assert child.returncode == 1
    assert re.fullmatch(message, errors), errors
    for process in workers(place):
        wait_for_end(process)
    assert {file.parent.name for file in place.glob(".scratch/study/*/*/finished")} == {"base"}


@pytest.mark.parametrize(
    ("end", "code", "errors"),
    [
        (lambda child: os.killpg(child.pid, signal.SIGINT), 130, "interrupted: the same command goes on"),
        (lambda child: os.kill(child.pid, signal.SIGKILL), -signal.SIGKILL, ""),
    ],
)
def test_no_arm_outlives_a_study_that_was_stopped(
    place: Path, start: Start, end: Callable[["subprocess.Popen[str]"], None], code: int, errors: str
):
    work = place / ".scratch/study/seed-1/self"
    for left in ("finished", "m1/facts.json"):  # by a run with other parameters
        (work / left).parent.mkdir(parents=True, exist_ok=True)
        (work / left).write_text("old")
    child = start("waits", 300)
    running = both_workers(place, child)
    assert [file.name for file in work.iterdir()] == ["log.txt"]
    end(child)
    assert child.communicate(timeout=60)[1].startswith(errors)
    assert child.returncode == code
    for process in running:
        wait_for_end(process)


def test_arms_of_one_seed_run_one_after_another(place: Path, start: Start):
    edit(place, lambda params: params["study"].update(workers=4))
    given = (place / "params.yaml").read_text()
    child = start("waits", 0.3)
    _, errors = child.communicate(timeout=60)
    assert errors == "error: .scratch/study/seed-1/self: holds no model that was measured\n"
    assert len(list(place.glob(".scratch/study/*/*/finished"))) == 2 * 3
    copy = place / ".scratch/study/params.yaml"  # which no edit of params.yaml changes while arms are waiting
    assert copy.read_text() == given
    logs = [log.read_text() for log in place.glob(".scratch/study/*/s*/log.txt")]
    assert all(log.startswith(f"{copy.relative_to(place)} ") for log in logs)
