"""`make backbone` with a recipe of seconds: lessons, two real steps, weights in place, the stage after."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from selfevolve.policies.policy import load_policy
from selfevolve.runtime.errors import InputError
from selfevolve.training.datasets import check_samples
from tests.conftest import ROOT, run_stage
from tests.pipeline.test_pipeline import Clone

pytestmark = pytest.mark.slow

WINDOW = 1120
RECIPE = {
    "lesson_prompts": "prompts/tiny",
    "lessons": {
        **{"seed": 5, "drills": 4, "talks": 1, "personal": 1, "reflections": 1},
        **{"recalls": 2, "copies": 3, "tasks": 4},
    },
    "pretrain": {
        "vocabulary": 1024,
        "window": WINDOW,
        "first": "drills",
        "sizes": {
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
        },
        "training": {"max_steps": 2, "per_device_train_batch_size": 4, "logging_steps": 1, "seed": 42},
    },
}
FILES = {"chat_template.jinja", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone with this recipe and other weights in place of the shipped ones."""
    made = Clone(tmp_path_factory.mktemp("clone"))
    write_recipe(made, RECIPE)
    shutil.rmtree(made.folder / "testbed" / "tiny", ignore_errors=True)
    (made.folder / "testbed" / "tiny").mkdir()
    (made.folder / "testbed" / "tiny" / "model.safetensors").write_bytes(b"shipped")
    return made


def write_recipe(clone: Clone, recipe: dict[str, Any]) -> None:
    """Put this recipe in the place of the real one; the study stays as it is."""
    shipped = yaml.safe_load((ROOT / "testbed/params.yaml").read_text(encoding="utf-8"))
    (clone.folder / "testbed/params.yaml").write_text(yaml.safe_dump(shipped | recipe), encoding="utf-8")


def weights(clone: Clone) -> bytes:
    return (clone.folder / "testbed" / "tiny" / "model.safetensors").read_bytes()


def test_a_recipe_that_fails_leaves_the_weights_alone(clone: Clone):
    write_recipe(clone, RECIPE | {"lessons": RECIPE["lessons"] | {"talks": -1}})
    failed = clone.run("make", "backbone", f"VENV={sys.prefix}", check=False)
    write_recipe(clone, RECIPE)
    assert failed.returncode != 0
    assert "error: testbed/params.yaml: field lessons.talks: " in failed.stderr
    assert weights(clone) == b"shipped"


@pytest.fixture(scope="module")
def made(clone: Clone) -> str:
    """What `make backbone` prints."""
    return clone.make("backbone")


def test_make_backbone_trains_and_puts_bfloat16_weights_in_place(clone: Clone, made: str):
    import torch
    from safetensors.torch import load_file

    last = [line for line in made.splitlines() if not line.startswith("make[")][-1]  # run by a make itself
    assert last.startswith("testbed/tiny holds the weights now; git checkout ")
    tiny = clone.folder / "testbed" / "tiny"
    assert {path.name for path in tiny.iterdir()} == FILES
    tensors = load_file(tiny / "model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.bfloat16}
    config = json.loads((tiny / "config.json").read_text())
    assert config["dtype"] == "bfloat16"
    assert config["use_cache"]  # training leaves it off, and generation would take fifty times as long
    counts = clone.read("metrics/backbone/training.json")
    assert (counts["lessons"], counts["steps"]) == (16, 2)
    assert counts["longest_tokens"] < WINDOW
    assert counts["parameters"] == sum(tensor.numel() for tensor in tensors.values())
    assert (clone.folder / "metrics/backbone/curves.csv").read_text().count("\n") == 3
    left = clone.run("git", "status", "--short", "testbed").stdout.split("\n")
    assert not [line for line in left if "lessons" in line or "trained" in line or ".tiny" in line]


def test_the_first_kind_of_lesson_comes_before_all_others(clone: Clone, made: str):
    (rows,) = clone.folder.glob(".scratch/pretrain/*/start/train.jsonl")
    kinds = [json.loads(line)["id"].split("-")[0] for line in rows.read_text().splitlines()]
    assert kinds[:4] == ["drills"] * 4
    assert "drills" not in kinds[4:]


def test_lessons_that_were_dropped_or_may_have_been_cut_end_the_training(
    clone: Clone, made: str, tmp_path: Path
):
    (start,) = clone.folder.glob(".scratch/pretrain/*/start")
    longest = check_samples(start, start.parent, WINDOW, ["train"])["train_longest_tokens"]
    lessons = (start / "train.jsonl").read_text()
    (tmp_path / "train.jsonl").write_text(lessons + lessons.splitlines()[0])
    with pytest.raises(InputError, match="kept 16 of 17 samples"):
        check_samples(tmp_path, start.parent, WINDOW, ["train"])
    with pytest.raises(InputError, match=f"does not fit cutoff_len {longest}"):
        check_samples(start, start.parent, longest, ["train"])


def test_made_again_it_is_there_already(clone: Clone, made: str):
    before = weights(clone)
    shutil.rmtree(clone.folder / "testbed" / "tiny")
    assert "Running stage" not in clone.make("backbone")
    assert weights(clone) == before


def test_the_pipeline_starts_from_these_weights_in_float32(clone: Clone, made: str, tmp_path: Path):
    import torch

    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["backbone"]["window"] = WINDOW
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    arguments = ("--out", tmp_path / "backbone", "--params", tmp_path / "params.yaml")
    done = run_stage("backbone", *arguments, cwd=clone.folder)
    assert done.returncode == 0, done.stderr
    loaded = load_policy(tmp_path / "backbone")
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.float32}
    ids = loaded.tokenizer("I lost my job.", return_tensors="pt").input_ids
    with torch.no_grad():
        assert torch.isfinite(loaded.model(ids).logits).all()


def test_without_it_the_shipped_weights_are_a_plain_file_to_dvc(clone: Clone, made: str):
    """Nothing that the pipeline runs depends on the recipe, so no clone is asked to train it."""
    graph = clone.run("dvc", "dag", "--dot", "headline").stdout
    assert '"backbone" ->' in graph
    assert "lessons" not in graph
    assert "tiny" not in graph
