"""Training through LLaMA-Factory, with real steps: the reference, what is kept, what survives a kill."""

import json
import math
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from selfevolve.policies.policy import add_adapter, load_policy, read_policy
from selfevolve.records.jsonl import read_records, write_records
from selfevolve.records.schema import Conversation, Preference
from selfevolve.runtime.errors import InputError
from selfevolve.training.configuration import Training, method_arguments, policy_arguments
from selfevolve.training.datasets import dataset_arguments
from selfevolve.training.llamafactory import train
from selfevolve.training.results import check_reference, first_values, read_log
from tests.conftest import ROOT, TEXTS, run_here, run_stage, stage_command, stage_environment
from tests.support.trainings import (
    REJECTED,
    SMALL,
    answer_log_probs,
    arguments,
    metrics,
    nll,
    small_config,
)


@pytest.fixture(scope="module")
def trained(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """M0, M1 and M2 of the small policy, and table 5's first model, by the stage."""
    import yaml

    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["train"] = {"sft": SMALL, "dpo": SMALL | {"pref_beta": 0.1, "pref_ftx": 1.0}}
    file = models / "params.yaml"
    file.write_text(yaml.safe_dump(params))
    steps = [("sft", "backbone", "m0"), ("dpo", "m0", "m1"), ("dpo", "m1", "m2"), ("dpo", "backbone", "hm1")]
    for method, policy, out in steps:
        done = run_here("train", *arguments(method, policy, out, file), cwd=models)
        assert done.returncode == 0, done.stderr
    return models


@pytest.mark.parametrize("model", ["m1", "m2", "hm1"])
def test_at_step_0_the_reference_is_the_policy_trained_on(trained: Path, model: str):
    first = metrics(trained, model)
    assert first["reward_chosen_first"] == first["reward_rejected_first"] == first["reward_margin_first"] == 0
    assert first["kept"]["reward_margin"]["mean"] > 0.05  # and then they part


@pytest.mark.parametrize("model", ["m0", "m1", "m2", "hm1"])
def test_the_published_adapter_has_the_loss_that_was_logged_at_the_last_step(trained: Path, model: str):
    found = metrics(trained, model)
    assert (found["kept_step"], found["steps"], found["kept_because"]) == (16, 16, "last step")
    kept = found["kept"]
    assert kept["eval_loss"]["mean"] == pytest.approx(kept["eval_loss_logged"], abs=1e-4)
    assert kept["dialogues"] == 5
    curve = (trained / f"{model}.csv").read_text().splitlines()
    assert curve[-1].startswith("16,")
    assert str(kept["eval_loss_logged"]) in curve[-1]
    for number in (number for name, number in kept.items() if isinstance(number, dict) and "low" in number):
        assert number["low"] <= number["mean"] <= number["high"]


def test_what_is_kept_is_measured_on_the_held_out_samples(trained: Path):
    """The same numbers from the texts themselves, with our own tokens, policy by policy."""
    pairs = read_records(trained / "pairs" / "valid.jsonl", Preference)
    likely = {
        (policy, side): [answer_log_probs(trained, policy, pair, getattr(pair, side).value) for pair in pairs]
        for policy in ("m1", "m2")
        for side in ("chosen", "rejected")
    }
    kept = metrics(trained, "m2")["kept"]
    rewards = {}
    for side in ("chosen", "rejected"):
        both = zip(likely["m2", side], likely["m1", side], strict=True)
        rewards[side] = [0.1 * (sum(now) - sum(before)) for now, before in both]
        assert kept[f"reward_{side}"]["mean"] == pytest.approx(fmean(rewards[side]), abs=1e-4)
    margins = [chosen - rejected for chosen, rejected in zip(*rewards.values(), strict=True)]
    assert kept["reward_margin"]["mean"] == pytest.approx(fmean(margins), abs=1e-4)
    assert kept["reward_accuracy"]["mean"] == fmean(margin > 0 for margin in margins)
    loss = fmean(math.log(1 + math.exp(-margin)) for margin in margins)
    nll = -fmean(fmean(tokens) for tokens in likely["m2", "chosen"])
    assert kept["preference_loss"]["mean"] == pytest.approx(loss, abs=1e-4)
    assert kept["chosen_nll"]["mean"] == pytest.approx(nll, abs=1e-4)
    samples = read_records(trained / "sft" / "valid.jsonl", Conversation)
    told = [answer_log_probs(trained, "m0", one, one.conversations[-1].value) for one in samples]
    kept = metrics(trained, "m0")["kept"]
    assert kept["nll_samples"]["mean"] == pytest.approx(-fmean(map(fmean, told)), abs=1e-4)
    assert kept["nll_tokens"]["mean"] == pytest.approx(
        -fmean(token for tokens in told for token in tokens), abs=1e-4
    )


def test_an_adapter_of_another_step_is_not_published(trained: Path, tmp_path: Path):
    folder = shutil.copytree(trained, tmp_path / "copy")
    shutil.rmtree(folder / "m2")
    (folder / "m2.json").unlink()
    configs = folder.glob(".scratch/train/*/llamafactory.yaml")
    (run,) = (path.parent for path in configs if "adapter_name_or_path: m0,m1\n" in path.read_text())
    output = run / "output"
    shutil.copyfile(output / "checkpoint-8/adapter_model.safetensors", output / "adapter_model.safetensors")
    done = run_here("train", *arguments("dpo", "m1", "m2", folder / "params.yaml"), cwd=folder)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "field eval_loss: is" in last
    assert "of the adapter to publish, and the training logged" in last
    assert not [path for path in folder.iterdir() if "m2" in path.name and path.suffix != ".csv"]


def test_early_stopping_keeps_the_lowest_loss_and_says_so(trained: Path, tmp_path: Path):
    import yaml

    folder = shutil.copytree(trained, tmp_path / "copy", ignore=shutil.ignore_patterns(".scratch"))
    params = yaml.safe_load((folder / "params.yaml").read_text())
    early = {"early_stopping_steps": 2, "eval_steps": 2, "save_steps": 2, "learning_rate": 5e-3}
    params["train"]["dpo"] |= early
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    held_back = read_records(folder / "pairs" / "valid.jsonl", Preference)
    swapped = [p.model_copy(update={"chosen": p.rejected, "rejected": p.chosen}) for p in held_back]
    write_records(folder / "pairs" / "valid.jsonl", swapped)  # what is learnt makes their loss larger
    done = run_here("train", *arguments("dpo", "m0", "early", folder / "params.yaml"), cwd=folder)
    assert done.returncode == 0, done.stderr
    found = metrics(folder, "early")
    assert found["kept_because"] == "lowest eval_loss"
    assert found["steps"] == found["kept_step"] + 2 * 2 < 16
    (output,) = folder.glob(".scratch/train/*/output")
    losses = {e["step"]: e["eval_loss"] for e in read_log(output) if "eval_loss" in e}
    assert min(losses, key=lambda step: losses[step]) == found["kept_step"]
    assert found["kept"]["eval_loss_logged"] == min(losses.values()) < losses[found["steps"]]
    checkpoint = output / f"checkpoint-{found['kept_step']}/adapter_model.safetensors"
    assert (folder / "early/adapter_model.safetensors").read_bytes() == checkpoint.read_bytes()


def test_an_adapter_added_to_its_parent_in_memory_is_the_policy(trained: Path):
    import torch

    added = add_adapter(load_policy(trained / "m1"), trained / "m2")
    whole = load_policy(trained / "m2")
    assert added.digest == whole.digest
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(added.model.state_dict()[name], tensor), name
    with pytest.raises(
        InputError, match=r"m2/policy\.json: field parent_digest: was trained on another policy"
    ):
        add_adapter(load_policy(trained / "m0"), trained / "m2")


def test_at_step_0_the_dpo_term_is_ln_2(models: Path, trained: Path):
    losses = {}
    for gamma in (0.0, 1.0):
        scratch = models / f"gamma-{gamma}"
        config = dpo_config(trained, "m0") | {"pref_ftx": gamma, "max_steps": 1}
        log = json.loads((train(config, scratch) / "trainer_state.json").read_text())["log_history"]
        losses[gamma] = log[0]["loss"]
    assert losses[0.0] == pytest.approx(math.log(2), abs=1e-5)
    assert losses[1.0] > math.log(2) + 1  # gamma times a token-mean NLL of some nats


def dpo_config(folder: Path, policy: str) -> dict[str, Any]:
    training = Training(config=None, processes=1, batch=4, merge=False)
    method = method_arguments(small_config(folder, "dpo"), SMALL, training, "params.yaml")
    dataset = dataset_arguments(folder / "info", folder / "pairs", ranking=True)
    return method | policy_arguments(read_policy(folder / policy)) | dataset


def test_without_a_new_adapter_the_reference_is_wrong_and_the_check_says_so(models: Path, trained: Path):
    config = dpo_config(trained, "m0") | {"create_new_adapter": False, "max_steps": 1}
    output = train(config, models / "wrong")
    with pytest.raises(InputError, match="the reference is not the policy"):
        check_reference(first_values(read_log(output)))


def test_phase_1_teaches_the_answers_and_phase_2_to_prefer_them(trained: Path):
    good, bad = f"{TEXTS[1]} 0", REJECTED
    learnt = {model: nll(trained, model, good) for model in ("backbone", "m0")}
    assert learnt["m0"] < learnt["backbone"] - 0.1
    margins = [nll(trained, model, bad) - nll(trained, model, good) for model in ("m0", "m1", "m2")]
    assert margins == sorted(margins)
    assert margins[2] > margins[0] + 0.1


def test_a_chain_knows_when_its_parent_was_trained_anew(trained: Path, tmp_path: Path):
    for name in ("backbone", "m0", "m1"):
        shutil.copytree(trained / name, tmp_path / name)
    assert read_policy(tmp_path / "m1").digest == read_policy(trained / "m1").digest
    assert [path.name for path in read_policy(tmp_path / "m1").adapters] == ["m0", "m1"]
    adapter = json.loads((tmp_path / "m0" / "adapter_config.json").read_text())
    (tmp_path / "m0" / "adapter_config.json").write_text(json.dumps(adapter | {"lora_alpha": 32}))
    with pytest.raises(InputError, match=r"m1/policy\.json: field parent_digest: was trained on another"):
        read_policy(tmp_path / "m1")


def test_an_exported_policy_is_the_policy(trained: Path, tmp_path: Path):
    import torch
    from transformers import AutoModelForCausalLM

    done = run_here(
        "selfevolve.policies.export", "--policy", trained / "m2", "--out", tmp_path / "merged", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    ids = torch.arange(20).unsqueeze(0)
    with torch.no_grad():
        merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")(ids).logits
        ours = load_policy(trained / "m2").model(ids).logits
        below = load_policy(trained / "m1").model(ids).logits
    assert torch.allclose(merged, ours, atol=1e-4)
    assert not torch.allclose(below, ours, atol=1e-2)
    assert not any(path.suffix in (".bin", ".pt", ".pkl") for path in (tmp_path / "merged").iterdir())
    again = run_here(
        "selfevolve.policies.export", "--policy", trained / "m2", "--out", tmp_path / "merged", cwd=tmp_path
    )
    assert again.returncode == 1
    assert "is there already" in again.stderr


def test_only_safetensors_and_json_are_published(trained: Path):
    for model in ("m0", "m1"):
        names = {path.name for path in (trained / model).iterdir()}
        assert names == {"adapter_config.json", "adapter_model.safetensors", "policy.json"}


def test_killed_in_the_middle_it_goes_on_from_its_last_checkpoint(trained: Path, tmp_path: Path):
    for name in ("backbone", "sft"):
        shutil.copytree(trained / name, tmp_path / name)
    command = stage_command("train", *arguments("sft", "backbone", "m0", trained / "params.yaml"))
    child = subprocess.Popen(command, cwd=tmp_path, env=stage_environment(), stderr=subprocess.DEVNULL)
    checkpoint = wait_for_checkpoint(tmp_path, child)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert not (tmp_path / "m0").exists()
    saved = (checkpoint / "trainer_state.json").stat().st_mtime_ns
    broken = checkpoint.with_name("checkpoint-12")  # one that the kill had cut off
    broken.mkdir()
    (broken / "trainer_state.json").write_text('{"global_step": 12, "log_')
    done = run_stage("train", *arguments("sft", "backbone", "m0", trained / "params.yaml"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    log = next(tmp_path.glob(".scratch/train/*/llamafactory.log")).read_text(errors="replace")
    assert "Resuming training from" in log
    assert (checkpoint / "trainer_state.json").stat().st_mtime_ns == saved  # not trained again
    for name in (
        "m0/adapter_model.safetensors",
        "m0/adapter_config.json",
        "m0/policy.json",
        "m0.json",
        "m0.csv",
    ):
        assert (tmp_path / name).read_bytes() == (trained / name).read_bytes(), name


def wait_for_checkpoint(folder: Path, child: "subprocess.Popen[bytes]") -> Path:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and child.poll() is None:
        for state in folder.glob(".scratch/train/*/output/checkpoint-*/trainer_state.json"):
            return state.parent
        time.sleep(0.02)
    raise AssertionError(f"no checkpoint; exit code {child.poll()}")
