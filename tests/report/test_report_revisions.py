"""Reports of several experiments: each read from its commit, side by side, and nothing mixed up."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import publish_json
from tests.conftest import ROOT
from tests.support.reports import Page, make_report, text_scores, write_project

LLAMA, QWEN, HERE = text_scores(20), text_scores(30), text_scores(40)


def git(*arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
    command = ["git", *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def save(name: str, folder: Path, backbone: str, scores: dict[str, Any]) -> str:
    """Keep the project with these numbers as DVC keeps an experiment; the commit checked out stays."""
    base = git("rev-parse", "HEAD")
    files = {"metrics/m2/text.json": scores, "metrics/sample.json": {"matching": 0, "contexts": 3}}
    write_project(folder, files, {"backbone.name": backbone})
    git("add", "-A")
    git("commit", "-qm", name)
    commit = git("rev-parse", "HEAD")
    git("update-ref", f"refs/exps/{base[:2]}/{base[2:]}/{name}", commit)
    git("reset", "-q", "--hard", base)
    return commit


@pytest.fixture
def commits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.chdir(tmp_path)
    git("init", "-q")
    write_project(tmp_path, {"README.md": "a project"})
    git("add", "-A")
    git("commit", "-qm", "start")
    runs = {"llama3-m2": ("llama3", LLAMA), "qwen2-m2": ("qwen2", QWEN)}
    return {name: save(name, tmp_path, backbone, scores) for name, (backbone, scores) in runs.items()}


def shown(scores: dict[str, dict[str, float]], metric: str = "bleu_2") -> str:
    return f"{scores['paper'][metric]:.2f}"


def test_experiments_stand_in_their_backbones_blocks_of_table_2(commits: dict[str, str]):
    page = Page(make_report("--revs", "llama3-m2", "qwen2-m2")[0])
    assert page.row("Table 2", "M2", "llama3-m2")[0] == shown(LLAMA)
    assert page.row("Table 2", "M2", "qwen2-m2")[0] == shown(QWEN)
    assert page.row("Table 2", "M0", "qwen2-m2")[0] == "not run"
    blocks = page.tables["Table 2. Text metrics on the ESConv test set"]
    order = [row[0] if len(set(row[1:])) == 1 else row[1] for row in blocks]
    assert order.index("llama3-m2") < order.index("Qwen2-7B-Instruct") < order.index("qwen2-m2")
    missing = [row for row in blocks if row[:2] == ["all of them", "this project"]]
    assert len(missing) == 1  # Mistral
    assert page.row("Table 7", "M2", "llama3-m2: llama3")[0] == "not run"
    assert page.row("What was run", "commit") == list(commits.values())
    assert "llama3-m2: llama3: further dialogues: not available, a revision holds no data." in page.text
    assert len(page.ids) == len(set(page.ids))


def test_the_files_on_the_disk_can_stand_beside_an_experiment(tmp_path: Path, commits: dict[str, str]):
    publish_json(tmp_path / "metrics/m2/text.json", HERE)
    page = Page(make_report("--revs", "workspace", "llama3-m2", "llama3-m2")[0])
    assert page.row("Table 2", "M2", "workspace")[0] == shown(HERE)
    assert page.row("Table 2", "M2", "llama3-m2")[0] == shown(LLAMA)
    assert page.row("What was run", "files changed since") == ["none", "none: a commit was read"]


def test_branches_and_commits_are_runs_as_well(commits: dict[str, str]):
    git("branch", "of/mine", commits["qwen2-m2"])
    commit = commits["llama3-m2"][:10]
    page = Page(make_report("--revs", "of/mine", commit)[0])
    assert page.row("Table 2", "M2", "of/mine")[0] == shown(QWEN)
    assert page.row("Table 2", "M2", commit)[0] == shown(LLAMA)


def test_models_and_data_are_not_available_of_a_commit_and_not_said_to_be_not_run(commits: dict[str, str]):
    row = Page(make_report("--revs", "llama3-m2")[0]).row("Chains of models", "m2")
    assert row == ["models/m2", "task", "not available", "", "not available", "not run"]


def test_of_several_experiments_of_a_name_that_of_this_commit_is_meant(
    tmp_path: Path, commits: dict[str, str]
):
    git("commit", "-qm", "further", "--allow-empty")
    with pytest.raises(InputError, match=r"record nothing: Git knows no such revision"):
        make_report("--revs", "nothing")
    save("llama3-m2", tmp_path, "llama3", text_scores(50))
    assert Page(make_report("--revs", "llama3-m2")[0]).row("Table 2", "M2", "llama3-m2")[0] == shown(
        text_scores(50)
    )
    git("commit", "-qm", "and further", "--allow-empty")
    with pytest.raises(InputError, match="ambiguous Git revision 'llama3-m2'"):
        make_report("--revs", "llama3-m2")


def test_a_commit_without_any_of_the_files_is_an_error_of_one_line(commits: dict[str, str]):
    git("checkout", "-q", "--orphan", "old")
    git("rm", "-q", "--cached", "params.yaml")
    git("commit", "-qm", "before there were parameters")
    with pytest.raises(InputError, match=r"^old:params\.yaml: no such file"):
        make_report("--revs", "old")


def test_a_broken_file_of_a_revision_is_named_with_it(tmp_path: Path, commits: dict[str, str]):
    save("broken", tmp_path, "llama3", {"paper": {"bleu_2": "20"}})
    with pytest.raises(InputError, match=r"^broken:metrics/m2/text\.json: .*paper\.bleu_2"):
        make_report("--revs", "broken")


def test_a_link_out_of_a_revision_is_not_followed(tmp_path: Path, commits: dict[str, str]):
    outside = tmp_path.parent / "outside.json"
    publish_json(outside, HERE)
    (tmp_path / "metrics/m0").mkdir(parents=True, exist_ok=True)
    (tmp_path / "metrics/m0/text.json").symlink_to(outside)
    git("add", "-A")
    git("commit", "-qm", "a link")
    with pytest.raises(InputError, match=r"^HEAD:metrics/m0/text\.json: not JSON"):
        make_report("--revs", "HEAD")


def test_outside_of_git_the_files_are_still_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    write_project(tmp_path, {})
    assert Page(make_report()[0]).row("What was run", "commit") == ["not available (no Git repository)"]
    with pytest.raises(InputError, match="is not a git repository"):
        make_report("--revs", "m2")


def test_make_hands_on_the_names_and_makes_first_what_the_report_reads():
    command = ["make", "-n", "--no-print-directory", "report", "VENV=x", "REVS=llama3-m2 qwen2-m2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    *_, first, second, last = done.stdout.splitlines()
    assert first.startswith("python -m selfevolve.report.iterations --out metrics/iterations.json ")
    assert second == "python -m rating.report --exports ratings/exports --out metrics/human"
    assert last == "python -m selfevolve.report --out metrics/report --revs llama3-m2 qwen2-m2"
