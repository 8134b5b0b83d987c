"""What stages take is written down where DVC runs them, and belongs to what they made then."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.repo import Repo

from selfevolve.runtime.errors import InputError
from selfevolve.runtime.run_record import RunRecord, read_run_records, versions
from tests.conftest import read_lines, run_here, stage_environment
from tests.support.reports import Page, make_report, text_scores, write_project

ARGUMENTS = ("--text", "text.json", "--capability", "capability.json", "--out", "metrics/headline.json")
LINES = Path("metrics/runs.jsonl")


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pipeline of one small stage of ours, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path, {"text.json": text_scores(20), "capability.json": {"score": {"average": 3.5}}})
    (tmp_path / "requirements.in").write_text("pydantic\nno-such-package==1\n# a comment\n")
    command = f"{sys.executable} -m stages.headline {' '.join(ARGUMENTS)}"
    stage: dict[str, Any] = {"cmd": command, "deps": ["text.json"]}
    stage["outs"] = [{"metrics/headline.json": {"cache": False}}]
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"headline": stage}}))
    Repo.init(no_scm=True)
    return tmp_path


def dvc(*arguments: str) -> None:
    environment = stage_environment() | {"DVC_NO_ANALYTICS": "1"}
    subprocess.run([sys.executable, "-m", "dvc", *arguments], check=True, env=environment)


def test_a_stage_that_dvc_runs_says_how_long_it_ran_and_the_report_shows_it(pipeline: Path):
    dvc("repro", "--quiet")
    dvc("repro", "--quiet")  # nothing has changed, so nothing is run
    (line,) = read_lines(LINES)
    assert (line["stage"], line["packages"]["no-such-package"]) == ("headline", "not installed")
    assert 0 < line["seconds"] < 120
    (out,) = yaml.safe_load((pipeline / "dvc.lock").read_text())["stages"]["headline"]["outs"]
    assert line["outputs"] == {out["path"]: out["md5"]}  # and what it read is not among them
    page = Page(make_report()[0])
    assert page.row("Seconds of every stage", "headline")[0] == f"{line['seconds']:.1f}"
    assert page.row("Machines and packages of the stages", "pydantic") == [line["packages"]["pydantic"]]


def test_what_was_made_otherwise_since_has_no_seconds(pipeline: Path):
    dvc("repro", "--quiet")
    lock = yaml.safe_load((pipeline / "dvc.lock").read_text())
    lock["stages"]["headline"]["outs"][0]["md5"] = "0" * 32
    (pipeline / "dvc.lock").write_text(yaml.safe_dump(lock))
    assert "Seconds, hardware and packages of the stages: not recorded" in Page(make_report()[0]).text


def test_a_stage_that_is_run_by_hand_writes_nothing_down(pipeline: Path):
    done = run_here("headline", *ARGUMENTS, cwd=pipeline)
    assert done.returncode == 0, done.stderr
    assert not LINES.exists()


def test_a_stage_that_fails_took_nothing(pipeline: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DVC_STAGE", "headline")
    monkeypatch.setenv("DVC_ROOT", str(pipeline))
    (pipeline / "text.json").write_text("{")
    assert run_here("headline", *ARGUMENTS, cwd=pipeline).returncode == 1
    assert not LINES.exists()


def test_where_nothing_can_be_written_down_the_stage_ends_well(
    pipeline: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("DVC_STAGE", "headline")
    monkeypatch.setenv("DVC_ROOT", str(pipeline))
    LINES.mkdir(parents=True)
    done = run_here("headline", *ARGUMENTS, cwd=pipeline)
    assert done.returncode == 0
    assert "the run record of headline could not be written" in done.stderr


def test_a_line_that_a_kill_cut_off_is_left_out_and_a_broken_one_is_named():
    took = RunRecord(stage="a", seconds=1, ended="2020-01-01", outputs={}, machine={}, packages={})
    line = took.model_dump_json()
    assert read_run_records(f"{line}\n{line[:9]}", "runs.jsonl") == [took]
    with pytest.raises(InputError, match=r"runs\.jsonl: record line 2: is not a run record"):
        read_run_records(f"{line}\n{line[:9]}\n", "runs.jsonl")


def test_only_what_a_requirements_file_names_is_looked_up(tmp_path: Path):
    (tmp_path / "r.in").write_text("--extra-index-url x\n\npydantic>=2  # why\nlm_eval[ifeval]==0\n")
    assert list(versions(tmp_path / "r.in")) == ["pydantic", "lm_eval"]
    assert versions(tmp_path / "none.in") == {}
