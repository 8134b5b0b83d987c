"""Judging as DVC stages: for the models and pairs that `judged` names, and only where it is asked for."""

import subprocess
from pathlib import Path
from typing import Any

import yaml

from selfevolve.experiment.registry import read_registry
from selfevolve.report.paper import paper
from tests.support.graphs import Graph

ROOT = Path(__file__).parents[2]


def test_cleaning_keeps_what_a_judge_has_answered(tmp_path: Path):
    for folder in ("judge/0123", "refine"):
        (tmp_path / ".scratch" / folder).mkdir(parents=True)
        (tmp_path / ".scratch" / folder / "journal.jsonl").write_text("{}")
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    (tmp_path / "requirements.txt").touch()
    for _ in range(2):
        subprocess.run(["make", "clean"], cwd=tmp_path, check=True, capture_output=True)
        assert [path.name for path in (tmp_path / ".scratch").iterdir()] == ["judge"]
        assert (tmp_path / ".scratch/judge/0123/journal.jsonl").exists()


def test_what_is_named_is_judged_and_nothing_is_unless_asked_for(checkout: Path, graph: Graph):
    params = yaml.safe_load((checkout / "params.yaml").read_text())
    judged = params["judged"]
    expected = [f"judge@{model}" for model in judged["models"]]
    expected += [f"judge_pairs@{pair}" for pair in judged["pairs"]]
    file = "stages/judging/dvc.yaml:"
    listed = {name.removeprefix(file) for name in graph.stages if name.startswith(file)}
    assert listed == set(expected)
    registry = read_registry()
    wanted = registry.targets(registry.chain("m2"))
    assert not [name for name in wanted if "judg" in name]
    made = [
        out
        for stage in yaml.safe_load((checkout / "stages/judging/dvc.yaml").read_text())["stages"].values()
        for out in outs(stage)
    ]
    assert len(made) == 6
    assert not [path for path in made if path in (checkout / "dvc.yaml").read_text()]


def test_table_7_s_models_are_judged_and_none_that_make_m2_does_not_make(checkout: Path):
    """`make judge` after `make m2` trains nothing more, and pays for no more than table 7."""
    params = yaml.safe_load((checkout / "params.yaml").read_text())
    judged = params["judged"]
    assert judged["models"] == [row.model for row in paper().tables[7].rows if row.model != "correlation"]
    made = set(read_registry().chain("m2"))
    assert set(judged["models"]) <= made
    for name, pair in judged["pairs"].items():
        assert set(pair.values()) <= made
        assert name == f"{pair['first']}-{pair['last']}"


def outs(stage: dict[str, Any]) -> list[str]:
    """The paths that a stage makes, options left out."""
    return [next(iter(out)) if isinstance(out, dict) else out for out in stage["do"]["outs"]]
