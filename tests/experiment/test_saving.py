"""What is kept of a run, and when there is something new to keep: DVC saves, in a project of small files."""

import subprocess
import sys
from pathlib import Path

import pytest

from selfevolve.experiment.pipeline import save
from selfevolve.runtime.files import publish_json

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:dvc")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one stage that has run, and a report that Git ignores."""
    monkeypatch.chdir(tmp_path)
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "t")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "t@localhost")
    stage = "{cmd: 'true', params: [a], outs: [{metrics/headline.json: {cache: false}}]}"
    files = {
        "params.yaml": "a: 1\n",
        "dvc.yaml": f"stages:\n  headline: {stage}\n",
        ".gitignore": "/.scratch/\n/metrics/report/\n",
        "metrics/headline.json": "{}\n",
        "metrics/report/index.html": "a page\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    run("git", "init", "-q")
    dvc = (sys.executable, "-m", "dvc")
    run(*dvc, "init", "-q")
    run("git", "add", "-A", "--", ":!metrics")
    run("git", "commit", "-qm", "start")
    run(*dvc, "commit", "-q", "--force", "headline")
    return tmp_path


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def kept() -> tuple[str, set[str]]:
    """The commit of the experiment, and its files in metrics/ and its locks."""
    commit = run("git", "for-each-ref", "--format=%(objectname)", "refs/exps/**/m2").split()[0]
    listed = run("git", "ls-tree", "-r", "--name-only", commit).splitlines()
    return commit, {name for name in listed if name.startswith("metrics/") or name.endswith("dvc.lock")}


def test_what_a_judge_and_analyses_made_since_is_kept_and_the_report_is_not(project: Path):
    save("m2")
    first, files = kept()
    assert files == {"metrics/headline.json", "dvc.lock"}
    save("m2")
    assert kept()[0] == first  # nothing is new
    for name in ("judging", "analyses"):
        publish_json(project / f"metrics/m2/{name}.json", {"x": 1})
        (project / "stages" / name).mkdir(parents=True)
        (project / "stages" / name / "dvc.lock").write_text(f"schema: '2.0'  # {name}\n")
    save("m2")
    again, files = kept()
    assert again != first
    assert files == {
        *("metrics/headline.json", "metrics/m2/judging.json", "metrics/m2/analyses.json"),
        *("dvc.lock", "stages/judging/dvc.lock", "stages/analyses/dvc.lock"),
    }
