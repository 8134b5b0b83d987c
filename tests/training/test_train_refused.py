"""Trainings that are refused before they have cost anything."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from selfevolve.training.datasets import sample_counts
from tests.conftest import run_here
from tests.support.trainings import SMALL, arguments

pytestmark = pytest.mark.slow


def test_a_wrong_key_of_llamafactory_is_one_line_with_the_log(
    models: Path, params_file: Callable[..., Path], tmp_path: Path
):
    for name in ("backbone", "sft"):
        shutil.copytree(models / name, tmp_path / name)
    params = params_file({"train.sft": SMALL | {"learning_rat": 1}})
    done = run_here("train", *arguments("sft", "backbone", "m0", params), cwd=tmp_path)
    assert done.returncode == 1
    last = done.stderr.strip().split("\n")[-1]
    assert last.startswith("error: .scratch/train/")
    assert "learning_rat" in last
    assert not (tmp_path / "m0").exists()


def test_samples_that_would_be_cut_are_refused(
    models: Path, params_file: Callable[..., Path], tmp_path: Path
):
    for name in ("backbone", "sft"):
        shutil.copytree(models / name, tmp_path / name)
    params = params_file({"train.sft": SMALL | {"cutoff_len": 40, "num_train_epochs": 500.0}})
    done = run_here("train", *arguments("sft", "backbone", "m0", params), cwd=tmp_path)
    assert done.returncode == 1
    assert "a sample does not fit cutoff_len 40" in done.stderr
    assert not list(tmp_path.glob(".scratch/train/*/output/checkpoint-*"))  # found before it was trained
    assert sample_counts(next(tmp_path.glob(".scratch/train/*")), 40)["train"] == 32


def test_a_training_that_the_machine_cannot_hold_is_ended_before_its_first_checkpoint(
    models: Path, params_file: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in ("backbone", "sft"):
        shutil.copytree(models / name, tmp_path / name)
    monkeypatch.setattr("selfevolve.training.memory.memory_there", lambda _: ("this machine", 1e6))
    params = params_file({"train.sft": SMALL | {"num_train_epochs": 500.0}})
    done = run_here("train", *arguments("sft", "backbone", "m0", params), cwd=tmp_path)
    assert done.returncode == 1
    assert "error: field hardware.training.batch: 4 samples of" in done.stderr
    assert "this machine has 0.0: one at a time does not fit either" in done.stderr
    assert not list(tmp_path.glob(".scratch/train/*/output/checkpoint-*"))
