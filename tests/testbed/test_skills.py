"""The examination of a backbone, on one that has learnt nothing."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from selfevolve.policies.policy import read_policy
from selfevolve.prompts.templates import load_prompts
from testbed import skills
from tests.conftest import ROOT, TEXTS
from tests.support.backbones import random_backbone

RECIPE = {
    "seed": 5,
    "talks": 3,
    "reflections_a_turn": 2,
    "turns": [1, 3],
    "recalls": 4,
    "copies": 2,
    "tasks": 5,
}
ASKED = {
    "generic answer, plain prompt": 3,
    "generic answer, task prompt": 3,
    "valid reflection": 4,
    "profile fields right, after 1 seeker turn": 2,
    "whole profile named, after 1 seeker turn": 2,
    "profile fields right, after 3 seeker turns": 2,
    "whole profile named, after 3 seeker turns": 2,
    "own facts in the refined response": 0,  # there is none: a random policy writes no JSON
    "own facts in the original response": 0,
    "refined response with a wrong fact": 0,
    "recall": 4,
    "copying": 2,
    "tasks": 5,
}


def test_every_skill_is_examined_with_its_interval(
    params_file: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    texts = [*TEXTS, *load_prompts(ROOT / "prompts/paper").texts.values()]
    policy = random_backbone(tmp_path / "backbone", texts, 500, 2048)  # room for the reflection prompt
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump({"skills": RECIPE}))
    changes = {"respond.sampling.max_new_tokens": 8, "refine.sampling.max_new_tokens": 8}
    arguments = ["--policy", policy, "--recipe", tmp_path / "recipe.yaml", "--out", tmp_path / "skills.json"]
    monkeypatch.chdir(tmp_path)
    skills.main([str(argument) for argument in (*arguments, "--params", params_file(changes))])
    report = json.loads((tmp_path / "skills.json").read_text(encoding="utf-8"))
    assert report["policy"] == read_policy(policy).digest
    shares = report["skills"]
    assert {name: share["n"] for name, share in shares.items()} == ASKED
    for name, share in shares.items():
        if share["n"]:
            assert 0 <= share["low"] <= share["percent"] <= share["high"] <= 100, name
        else:
            assert share == {"n": 0}
    for name in ("valid reflection", "profile fields right, after 3 seeker turns", "recall", "copying"):
        assert shares[name]["percent"] == 0
    printed = {line[:52].strip(): line[52:].split() for line in capsys.readouterr().out.splitlines()}
    assert printed["recall"] == ["0.0", "[0.0,", "0.0]", "n", "4"]
    assert printed["own facts in the refined response"] == ["not", "measured", "n", "0"]
