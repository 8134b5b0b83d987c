"""Several stages at a time: real DVC projects whose stages are small scripts."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

from stages import repro
from stages.records.errors import InputError
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


def test_two_stages_that_do_not_need_each_other_run_at_the_same_time(project: Path):
    write(project, left=stage("left", what="meet"), right=stage("right", what="meet"))
    repro.repro([], 2)
    assert sorted(ran(project)) == ["left", "right"]


def test_what_comes_out_is_what_dvc_makes_one_by_one(project: Path):
    diamond(project)
    repro.repro([], 1)
    assert sorted(ran(project)) == ["a", "apart", "b", "c", "d"]
    alone = yaml.safe_load((project / "dvc.lock").read_text())
    made = {name: (project / name).read_text() for name in "abcd"}
    for name in ("dvc.lock", *"abcd", "apart"):
        (project / name).unlink()
    shutil.rmtree(project / ".dvc" / "cache")
    repro.repro([], 2)
    order = ran(project)
    assert sorted(order) == ["a", "apart", "b", "c", "d"]
    assert order.index("a") < min(order.index("b"), order.index("c")) < order.index("d")
    assert yaml.safe_load((project / "dvc.lock").read_text()) == alone
    assert {name: (project / name).read_text() for name in "abcd"} == made
    command = [sys.executable, "-m", "dvc", "status"]
    assert "up to date" in subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_only_what_changed_and_what_follows_from_it_runs(project: Path, capsys: pytest.CaptureFixture[str]):
    diamond(project)
    repro.repro([], 2)
    ran(project)
    repro.repro([], 2)
    assert ran(project) == []
    assert "Data and pipelines are up to date." in capsys.readouterr().out
    graph = yaml.safe_load((project / "dvc.yaml").read_text())
    graph["stages"]["b"]["cmd"] += " source"
    (project / "dvc.yaml").write_text(yaml.safe_dump(graph))
    repro.repro([], 2)
    assert ran(project) == ["b", "d"]
    assert (project / "d").read_text() == "dba11ca1"


def test_targets_leave_out_what_they_do_not_need(project: Path):
    diamond(project)
    repro.repro(["b"], 2)
    assert ran(project) == ["a", "b"]
    with pytest.raises(InputError, match="jobs: is 0"):
        repro.repro(["b"], 0)


def test_the_longest_chain_begins_first():
    needs = {"short": set(), "a": set(), "b": {"a"}, "c": {"b"}, "d": {"a"}}
    assert repro.heights(needs) == {"short": 0, "a": 2, "b": 1, "c": 0, "d": 0}


def test_after_a_failure_nothing_begins_and_the_log_is_shown(project: Path):
    write(
        project,
        good=stage("good", what="held"),
        bad=stage("bad", what="fail"),
        after=stage("after", "bad"),
        last=stage("last", "good"),
    )
    done = run_repro()
    assert "bad: failed after" in done.stdout.readline()
    (project / "release").touch()
    printed, errors = done.communicate(timeout=60)
    assert done.returncode == 1
    assert "no luck with bad" in printed
    assert "error: .scratch/repro/bad.log: record bad: the stage failed" in errors
    assert sorted(ran(project)) == ["bad", "good"]
    assert (project / "good").exists()
    write(project, good=stage("good", what="held"), bad=stage("bad"), last=stage("last", "good"))
    repro.repro([], 2)
    assert sorted(ran(project)) == ["bad", "last"]  # what had been finished is not run again


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_it_leaves_no_process(project: Path, number: signal.Signals):
    write(project, one=stage("one", what="hang"), two=stage("two", what="hang"))
    process = run_repro()
    while len((project / "ran.txt").read_text().split() if (project / "ran.txt").exists() else []) < 2:
        assert process.poll() is None
        time.sleep(0.05)
    below = psutil.Process(process.pid).children(recursive=True)
    assert sum("make.py" in " ".join(child.cmdline()) for child in below) >= 2
    process.send_signal(number)
    assert process.wait(timeout=60) == 130
    assert "interrupted" in process.stderr.read()
    assert not [child for child in below if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    write(project, one=stage("one"), two=stage("two"))
    repro.repro([], 2)  # and no lock stays behind
    assert (project / "two").read_text() == "two"


@pytest.mark.parametrize("left", ["", '{"read": {"'])
def test_what_a_kill_left_of_dvcs_lock_stops_nobody(
    project: Path, left: str, capsys: pytest.CaptureFixture[str]
):
    write(project, one=stage("one"), two=stage("two"))
    lock = project / ".dvc" / "tmp" / "rwlock"
    lock.parent.mkdir(exist_ok=True)
    lock.write_text(left)
    repro.repro([], 2)
    assert (project / "two").read_text() == "two"
    assert "rwlock: a process was killed" in capsys.readouterr().err


def test_a_dvc_that_does_not_let_go_is_one_line(project: Path, monkeypatch: pytest.MonkeyPatch):
    import dvc.lock
    import zc.lockfile

    write(project, one=stage("one"))
    monkeypatch.setattr(dvc.lock, "DEFAULT_TIMEOUT", 0.1)
    folder = project / ".dvc" / "tmp"
    folder.mkdir(exist_ok=True)
    held = zc.lockfile.LockFile(str(folder / "rwlock.lock"))
    with pytest.raises(InputError, match=r"rwlock\.lock: another DVC holds it: try again"):
        repro.repro([], 2)
    assert not (project / "one").exists()
    held.close()
    repro.repro([], 2)
    assert (project / "one").exists()


def test_threads_are_shared_unless_they_are_given(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with repro._shared_cores(2):
        assert os.environ["OMP_NUM_THREADS"] == str(max(1, (os.cpu_count() or 1) // 2))
    assert "OMP_NUM_THREADS" not in os.environ
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    with repro._shared_cores(2):
        assert os.environ["OMP_NUM_THREADS"] == "3"
    assert os.environ["OMP_NUM_THREADS"] == "3"


def run_repro() -> "subprocess.Popen[str]":
    """Start it as make does, with Ctrl-C as it is in a terminal."""
    return subprocess.Popen(
        [sys.executable, "-m", "stages.repro", "--jobs", "2"],
        env=stage_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
