"""Judging as DVC stages: for every model and comparison, and only where it is asked for."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from stages import experiment


def test_every_model_and_comparison_can_be_judged_and_none_is_unless_asked_for(checkout: Path):
    params = yaml.safe_load((checkout / "params.yaml").read_text())
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1"}
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], check=True, env=environment)
    listed = subprocess.run(
        [sys.executable, "-m", "dvc", "stage", "list", "--name-only", "judging/dvc.yaml"],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    ).stdout.split()
    expected = [f"judge@{model}" for model in params["models"]]
    expected += [f"judge_pairs@{pair}" for pair in params["comparisons"]]
    assert [name.removeprefix("judging/dvc.yaml:") for name in listed] == expected
    assert all(one in params["models"] for pair in params["comparisons"].values() for one in pair.values())
    wanted = experiment.targets(experiment.chain(params, "m2"), params["iterations"], params["comparisons"])
    assert not [name for name in wanted if "judg" in name]
    made = [
        out
        for stage in yaml.safe_load((checkout / "judging/dvc.yaml").read_text())["stages"].values()
        for out in outs(stage)
    ]
    assert len(made) == 4
    assert not [path for path in made if path in (checkout / "dvc.yaml").read_text()]


def outs(stage: dict[str, Any]) -> list[str]:
    """The paths that a stage makes, options left out."""
    return [next(iter(out)) if isinstance(out, dict) else out for out in stage["do"]["outs"]]
