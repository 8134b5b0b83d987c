"""A run that is ended in any way leaves no process: real make, real DVC and a training below a real guard."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml

from tests.conftest import ROOT, stage_environment

MARK = "TEST_OF_ENDING"
# A stage with a training below a guard, as stages.train has; the training has a server in another session.
STAGE = """
import pathlib, sys
from selfevolve.runtime import process_guard
from selfevolve.runtime.command import run

def main():
    guard = process_guard.start([sys.executable, "training.py"], pathlib.Path("training.log"))
    try:
        code = guard.wait()
    finally:
        process_guard.stop(guard)
    pathlib.Path("metrics").mkdir(exist_ok=True)
    pathlib.Path("metrics/headline.json").write_text('{"code": %d}' % code)

run(main)
"""
TRAINING = """
import pathlib, subprocess, time
server = subprocess.Popen(["sleep", "600"], start_new_session=True)
pathlib.Path("training").touch()
while not pathlib.Path("release").exists():
    time.sleep(0.1)
server.kill()
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the project's Makefile and parameters, and a pipeline of which one stage trains."""
    folder = tmp_path_factory.mktemp("template")
    for name in ("Makefile", "requirements.txt", ".gitignore", ".dvc/config", ".dvc/.gitignore"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    (folder / "params.yaml").write_text(yaml.safe_dump(params | {"headline": "m0"}), encoding="utf-8")
    nothing = {"foreach": ["vanilla", "m0"], "do": {"cmd": "true"}}
    stages = {
        "headline": {
            "cmd": f"{sys.executable} stage.py",
            "deps": ["stage.py"],
            "outs": [{"metrics/headline.json": {"cache": False}}],
        },
        "score": nothing,
        "capability": nothing,
        "compare": {"foreach": ["vanilla-m0"], "do": {"cmd": "true"}},
        "sample": {"cmd": "true"},
    }
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}), encoding="utf-8")
    (folder / "stage.py").write_text(STAGE, encoding="utf-8")
    (folder / "training.py").write_text(TRAINING, encoding="utf-8")
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "start"]):
        identity = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
        subprocess.run(["git", *identity, *command], cwd=folder, check=True)
    return folder


class Run:
    """`make m0` in a copy of the template, found again by a mark in the environment of its processes."""

    def __init__(self, template: Path, folder: Path, *before: str):
        shutil.copytree(template, folder)
        self.folder, self.mark = folder, f"{MARK}={folder}"
        self.make = self.start(*before)

    def start(self, *before: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [*before, "make", "m0", f"VENV={sys.prefix}"],
            cwd=self.folder,
            env=stage_environment() | dict([self.mark.split("=")]) | dict.fromkeys(WHO, "t@localhost"),
            stdout=(self.folder / "make.log").open("ab"),
            stderr=subprocess.STDOUT,
            preexec_fn=heed_signals,
        )

    def processes(self) -> list[psutil.Process]:
        """What the run has started and has not ended, make included."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                variables = (folder / "environ").read_bytes().split(b"\0")
                if self.mark.encode() in variables and int(folder.name) != os.getpid():
                    found.append(psutil.Process(int(folder.name)))
            except (OSError, psutil.NoSuchProcess):
                continue
        return found

    def process(self, name: str) -> psutil.Process:
        """The run's make, the experiment below it, or DVC."""
        if name == "make":
            return psutil.Process(self.make.pid)
        what = {"experiment": "selfevolve.experiment", "dvc": str(ROOT / "selfevolve/experiment/run_dvc.py")}
        (found,) = (one for one in self.processes() if one.cmdline()[2:3] == [what[name]])
        return found

    def kill(self) -> None:
        for process in self.processes():
            process.kill()
        self.make.wait()

    def log(self) -> str:
        return (self.folder / "make.log").read_text(encoding="utf-8", errors="replace")


WHO = [f"GIT_{who}_{what}" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")]


def heed_signals() -> None:
    """Undo what nohup or a shell's background has set for the tests."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@pytest.fixture
def runs(template: Path, tmp_path: Path) -> Iterator[dict[signal.Signals, Run]]:
    """Four runs whose trainings have begun, one for each signal."""
    signals = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL)
    made = {number: Run(template, tmp_path / number.name) for number in signals}
    try:
        for run in made.values():
            until(lambda run=run: (run.folder / "training").exists() or run.make.poll() is not None, 120)
            assert run.make.poll() is None, run.log()
        yield made
    finally:
        for run in made.values():
            run.kill()


def until(true, seconds: float) -> bool:
    """Wait until a condition is true, and tell whether it is."""
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.1)
    return true()


@pytest.mark.parametrize("name", ["make", "experiment", "dvc"])
def test_a_run_that_is_ended_leaves_no_process_and_the_same_command_goes_on(
    runs: dict[signal.Signals, Run], name: str
):
    for number, run in runs.items():
        assert len(run.processes()) >= 7  # make, experiment, guard, dvc, stage, guard, training, its server
        run.process(name).send_signal(number)
    for number, run in runs.items():
        ended = until(lambda run=run: not run.processes() and run.make.poll() is not None, 20)
        left = [" ".join(process.cmdline()) for process in run.processes()]
        assert ended, f"{name} got {number.name}; left are {left}; make printed {run.log()}"
        assert run.make.returncode != 0
        assert "Traceback" not in run.log()
    run = runs[signal.SIGKILL]
    (run.folder / "release").touch()
    assert run.start().wait(120) == 0, run.log()
    assert "kept as experiment m0" in run.log()
    assert (run.folder / "metrics/headline.json").read_text() == '{"code": 0}'


def test_below_nohup_a_run_outlives_its_terminal(template: Path, tmp_path: Path):
    run = Run(template, tmp_path / "run", "nohup")
    try:
        assert until(lambda: (run.folder / "training").exists(), 120), run.log()
        before = len(run.processes())
        for process in run.processes():
            if process.name() != "sleep":  # what the training has started itself
                process.send_signal(signal.SIGHUP)
        time.sleep(1)
        assert len(run.processes()) == before
        (run.folder / "release").touch()
        assert run.make.wait(120) == 0, run.log()
        assert until(lambda: not run.processes(), 20)
    finally:
        run.kill()


def test_no_shell_stands_between_make_and_a_run():
    recipes = re.findall(r"^\t@?(.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    started = [
        line for line in recipes if re.search(r"selfevolve\.experiment(?!\.checkout)|testbed\.study", line)
    ]
    assert len(started) >= 7
    assert [line for line in started if not line.startswith("exec python -m ")] == []
    assert [line for line in recipes if line.startswith("dvc repro")] == []
