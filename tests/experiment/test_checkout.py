"""A folder in which a run could not be kept is told so in one line, before anything runs."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT

OTHER_OWNER = {"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"}  # what Git's own tests set


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True)


def repository(folder: Path) -> Path:
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "start")
    return folder


def torn(folder: Path) -> Path:
    repository(folder)
    (folder / ".git" / "HEAD").write_text("")
    return folder


def inside_another(folder: Path) -> Path:
    (repository(folder) / "unpacked").mkdir()
    for name in ("Makefile", "params.yaml"):
        shutil.copyfile(ROOT / name, folder / "unpacked" / name)
    return folder / "unpacked"


def without_commit(folder: Path) -> Path:
    git(folder, "init", "-q")
    return folder


# What is done to the folder, what the environment has, and what must be said.
CASES: dict[str, tuple[Callable[[Path], Path], dict[str, str], str]] = {
    "a downloaded archive": (
        lambda folder: folder,
        {},
        "is no Git repository (a downloaded archive is none)",
    ),
    "another owner": (repository, OTHER_OWNER, "`git config --global --add safe.directory {folder}`"),
    "inside another repository": (inside_another, {}, "it lies in {parent}: clone it"),
    "no commit": (without_commit, {}, "has no commit: make one with `git add -A"),
    "torn": (torn, {}, "is no Git repository"),
    "no Git": (repository, {"PATH": "/nowhere"}, "Git is not installed"),
    "a setting that Git cannot read": (repository, {"GIT_CONFIG_COUNT": "none"}, "Git refuses it: "),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("Makefile", "params.yaml", "requirements.txt"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    return tmp_path


def run(command: list[str], folder: Path, more: dict[str, str]) -> subprocess.CompletedProcess[str]:
    # Without the settings of the Git and the make that these tests may run under.
    foreign = ("GIT_", "MAKE", "MFLAGS")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    environment = {**kept, "PYTHONPATH": str(ROOT), "HOME": str(folder.parent), **more}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", CASES)
def test_what_is_missing_is_said_in_one_line(folder: Path, name: str):
    change, more, expected = CASES[name]
    here = change(folder)
    before = sorted(here.rglob("*"))
    for module in (["-S", "-m", "selfevolve.experiment.checkout"], ["-m", "selfevolve.experiment", "m0"]):
        done = run([sys.executable, *module], here, more)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
        assert done.stderr.startswith("error: ")
        assert expected.format(folder=here, parent=here.parent) in done.stderr
    assert sorted(here.rglob("*")) == before


@pytest.mark.parametrize("target", ["m0", "m2", "tables"])
def test_make_asks_before_it_builds_its_environment(folder: Path, target: str):
    done = run(["make", target, "VENV=built", f"PYTHON={sys.executable}"], folder, {})
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {folder}: is no Git repository")
    assert not (folder / "built").exists()


def test_a_repository_of_its_own_passes(folder: Path):
    done = run([sys.executable, "-m", "selfevolve.experiment.checkout"], repository(folder), {})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    git(folder, "worktree", "add", "-q", "beside")
    done = run([sys.executable, "-m", "selfevolve.experiment.checkout"], folder / "beside", {})
    assert (done.returncode, done.stderr) == (0, "")
