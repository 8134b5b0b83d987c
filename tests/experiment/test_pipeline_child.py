"""DVC as a child process: real DVC projects whose stages are small scripts."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

from selfevolve.experiment import pipeline
from selfevolve.runtime.errors import InputError
from tests.conftest import stage_environment

# Copies its inputs and its own name into its output; `meet` waits until the other one has begun as well,
# `held` until there is a file of the name "release".
SCRIPT = """
import pathlib, sys, time
name, what, *inputs = sys.argv[1:]
pathlib.Path("ran.txt").open("a").write(name + "\\n")
print("this is", name)
if what == "fail":
    sys.exit("no luck with " + name)
if what == "meet":
    while len(pathlib.Path("ran.txt").read_text().split()) < 2:
        time.sleep(0.05)
if what == "held":
    while not pathlib.Path("release").exists():
        time.sleep(0.05)
if what == "hang":
    time.sleep(600)
pathlib.Path(name).write_text(name + "".join(pathlib.Path(one).read_text() for one in inputs))
"""


def stage(name: str, *inputs: str, what: str = "") -> dict[str, object]:
    """A stage that makes the file of its name from its inputs."""
    words = " ".join((name, what or "plain", *inputs))
    return {"cmd": f"{sys.executable} make.py {words}", "deps": [*inputs], "outs": [name]}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty DVC project with a source file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "make.py").write_text(SCRIPT)
    (tmp_path / "source").write_text("1")
    subprocess.run(["git", "init", "-q"], check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], check=True)
    return tmp_path


def write(project: Path, **stages: dict[str, object]) -> None:
    (project / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))


def ran(project: Path) -> list[str]:
    """Which stages ran since this was asked, in the order of their beginnings."""
    file = project / "ran.txt"
    names = file.read_text().split() if file.exists() else []
    file.unlink(missing_ok=True)
    return names


def diamond(project: Path) -> None:
    write(
        project,
        a=stage("a", "source"),
        b=stage("b", "a"),
        c=stage("c", "a"),
        d=stage("d", "b", "c"),
        apart=stage("apart"),
    )


def test_only_what_changed_and_what_follows_from_it_runs(project: Path, capfd: pytest.CaptureFixture[str]):
    diamond(project)
    pipeline.repro([])
    ran(project)
    pipeline.repro([])
    assert ran(project) == []
    assert "Data and pipelines are up to date." in capfd.readouterr().out
    graph = yaml.safe_load((project / "dvc.yaml").read_text())
    graph["stages"]["b"]["cmd"] += " source"
    (project / "dvc.yaml").write_text(yaml.safe_dump(graph))
    pipeline.repro([])
    assert ran(project) == ["b", "d"]
    assert (project / "d").read_text() == "dba11ca1"


def test_targets_leave_out_what_they_do_not_need(project: Path):
    diamond(project)
    pipeline.repro(["b"])
    assert ran(project) == ["a", "b"]


def test_after_a_failure_nothing_begins_and_the_reason_is_shown(project: Path):
    write(project, good=stage("good"), bad=stage("bad", what="fail"), after=stage("after", "bad"))
    process = run_repro("good", "after")
    printed, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "no luck with bad" in printed + errors
    assert errors.endswith("error: `dvc repro` failed (exit code 255); its reason stands above\n")
    before = ran(project)
    assert "after" not in before
    write(project, good=stage("good"), bad=stage("bad"), after=stage("after", "bad"))
    pipeline.repro(["good", "after"])
    finished = {"good"} & set(before)  # is not run again
    assert set(ran(project)) == {"good", "bad", "after"} - finished


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_stopped_it_leaves_no_process(project: Path, number: signal.Signals):
    write(project, one=stage("one", what="hang"))
    process = run_repro("one")
    while not (project / "ran.txt").exists():
        assert process.poll() is None
        time.sleep(0.05)
    below = psutil.Process(process.pid).children(recursive=True)
    assert sum("make.py" in " ".join(child.cmdline()) for child in below) >= 1
    process.send_signal(number)
    assert process.wait(timeout=60) == (130 if number == signal.SIGINT else -number)
    _gone, alive = psutil.wait_procs(below, timeout=60)
    assert not alive
    write(project, one=stage("one"))
    pipeline.repro([])  # and no lock stays behind
    assert (project / "one").read_text() == "one"


def test_a_stage_runs_beside_one_that_reads_the_same(project: Path, capfd: pytest.CaptureFixture[str]):
    write(project, shared=stage("shared"), long=stage("long", "shared", what="held"), b=stage("b", "shared"))
    assert not pipeline.is_current(["shared"])
    pipeline.repro(["shared"])
    process = run_repro("long")
    while "long" not in (project / "ran.txt").read_text():
        assert process.poll() is None
        time.sleep(0.05)
    assert pipeline.is_current(["shared"])
    with pytest.raises(InputError, match="`dvc repro` failed"):
        pipeline.repro(["b"])  # asks for what `long` reads
    assert "is busy, it is being blocked by" in capfd.readouterr().err
    pipeline.repro(["b"], beside_others=True)
    assert (project / "b").read_text() == "bshared"
    (project / "release").touch()
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert pipeline.is_current(["long", "b"])


@pytest.mark.parametrize("left", ["", '{"read": {"'])
def test_what_a_kill_left_of_dvcs_lock_stops_nobody(
    project: Path, left: str, capsys: pytest.CaptureFixture[str]
):
    write(project, one=stage("one"), two=stage("two"))
    lock = project / ".dvc" / "tmp" / "rwlock"
    lock.parent.mkdir(exist_ok=True)
    lock.write_text(left)
    pipeline.repro([])
    assert (project / "two").read_text() == "two"
    assert "rwlock: a process was killed" in capsys.readouterr().err


def test_another_dvc_that_is_at_work_is_named(project: Path, capfd: pytest.CaptureFixture[str]):
    import zc.lockfile

    write(project, one=stage("one"))
    folder = project / ".dvc" / "tmp"
    folder.mkdir(exist_ok=True)
    held = zc.lockfile.LockFile(str(folder / "rwlock.lock"))
    with pytest.raises(InputError, match="`dvc repro` failed"):
        pipeline.repro([])
    assert "another DVC process is running" in capfd.readouterr().err
    assert not (project / "one").exists()
    held.close()
    pipeline.repro([])
    assert (project / "one").exists()


def test_a_torn_lock_that_another_dvc_still_guards_is_one_line(
    project: Path, monkeypatch: pytest.MonkeyPatch
):
    import dvc.lock
    import zc.lockfile

    monkeypatch.setattr(dvc.lock, "DEFAULT_TIMEOUT", 0.1)
    folder = project / ".dvc" / "tmp"
    folder.mkdir(exist_ok=True)
    (folder / "rwlock").write_text("")
    held = zc.lockfile.LockFile(str(folder / "rwlock.lock"))
    with pytest.raises(InputError, match=r"rwlock\.lock: another DVC holds it: try again"):
        pipeline.remove_torn_lock()
    held.close()


def run_repro(*targets: str) -> "subprocess.Popen[str]":
    """Start it in a process of its own, with Ctrl-C as it is in a terminal."""
    code = "import sys; from selfevolve.experiment.pipeline import repro; "
    code += "from selfevolve.runtime.command import run; run(lambda: repro(sys.argv[1:]))"
    return subprocess.Popen(
        [sys.executable, "-c", code, *targets],
        env=stage_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
