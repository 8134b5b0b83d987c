"""Training through LLaMA-Factory, with real steps: the reference, what is kept, what survives a kill."""

import json
import math
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stages.engines.policy import load_policy, read_policy
from stages.records.errors import InputError
from stages.records.jsonl import write_records
from stages.records.schema import Conversation, Preference, ShareGptMessage
from stages.train import check_reference
from stages.training.curves import summary
from stages.training.llamafactory import read_config, sample_counts, train
from tests.conftest import ROOT, SYSTEM, TEXTS, run_stage, stage_command, stage_environment

REJECTED = "I am sorry to hear that."
SMALL = {
    "learning_rate": 3e-2,
    "per_device_train_batch_size": 2,
    "cutoff_len": 512,
    "num_train_epochs": 2.0,
    "logging_steps": 1,
    "eval_steps": 8,
    "save_steps": 8,
    "save_total_limit": 9,
}


def human(text: str) -> ShareGptMessage:
    return ShareGptMessage(from_="human", value=text)


def gpt(text: str) -> ShareGptMessage:
    return ShareGptMessage(from_="gpt", value=text)


@pytest.fixture(scope="module")
def models(backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the backbone and the data of both phases: 32 samples, four held back."""
    folder = tmp_path_factory.mktemp("training")
    shutil.copytree(backbone, folder / "backbone")
    samples, pairs = [], []
    for n in range(36):
        question, good = TEXTS[n % 4][n % 9 :], f"{TEXTS[(n + 1) % 4]} {n}"
        samples.append(Conversation(id=f"s{n}", system=SYSTEM, conversations=[human(question), gpt(good)]))
        pairs.append(
            Preference(
                id=f"s{n}",
                system=SYSTEM,
                conversations=[human(question)],
                chosen=gpt(good),
                rejected=gpt(REJECTED),
                chosen_source="refined",
            )
        )
    for name, records in (("sft", samples), ("pairs", pairs)):
        (folder / name).mkdir()
        write_records(folder / name / "train.jsonl", records[:32])
        write_records(folder / name / "valid.jsonl", records[32:])
    return folder


def arguments(method: str, policy: str, out: str, params: Path) -> list[object]:
    data = "sft" if method == "sft" else "pairs"
    config = ROOT / "llamafactory_configs" / f"{method}.yaml"
    return [
        *("--method", method, "--config", config, "--policy", policy, "--data", data, "--out", out),
        *("--curves", f"{out}.csv", "--metrics", f"{out}.json", "--params", params),
    ]


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
        done = run_stage("train", *arguments(method, policy, out, file), cwd=models)
        assert done.returncode == 0, done.stderr
    return models


def metrics(folder: Path, model: str) -> dict[str, Any]:
    return json.loads((folder / f"{model}.json").read_text())


def nll(folder: Path, policy: str, text: str) -> float:
    """Mean negative log-likelihood of an answer under a policy loaded by us."""
    import torch

    from stages.engines.template import ChatTemplate
    from stages.records.schema import Message

    loaded = load_policy(folder / policy)
    template = ChatTemplate(loaded.tokenizer, loaded.template)
    prompt = [Message(role="system", content=SYSTEM), Message(role="user", content=TEXTS[0])]
    start, ids = len(template.encode(prompt)), template.encode(prompt, answer=text)
    with torch.no_grad():
        logits = loaded.model(torch.tensor([ids])).logits[0, start - 1 : -1]
    return torch.nn.functional.cross_entropy(logits, torch.tensor(ids[start:])).item()


@pytest.mark.slow
@pytest.mark.parametrize("model", ["m1", "m2", "hm1"])
def test_at_step_0_the_reference_is_the_policy_trained_on(trained: Path, model: str):
    first = metrics(trained, model)
    assert first["reward_chosen_first"] == first["reward_rejected_first"] == first["reward_margin_first"] == 0
    assert first["reward_margin_last"] > 0.05  # and then they part


@pytest.mark.slow
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
    from stages.training.datasets import write_dataset_info

    files = {name: folder / "pairs" / f"{name}.jsonl" for name in ("train", "valid")}
    write_dataset_info(folder / "info", files, ranking=True)
    chain = read_policy(folder / policy)
    config = read_config(ROOT / "llamafactory_configs" / "dpo.yaml", SMALL)
    return config | {
        "model_name_or_path": chain.weights,
        "adapter_name_or_path": ",".join(map(str, chain.adapters)),
        "create_new_adapter": True,
        "template": "llama3",
        "dataset_dir": str(folder / "info"),
        "dataset": "train",
        "eval_dataset": "valid",
    }


@pytest.mark.slow
def test_without_a_new_adapter_the_reference_is_wrong_and_the_check_says_so(models: Path, trained: Path):
    config = dpo_config(trained, "m0") | {"create_new_adapter": False, "max_steps": 1}
    output = train(config, models / "wrong")
    log = json.loads((output / "trainer_state.json").read_text())["log_history"]
    with pytest.raises(InputError, match="the reference is not the policy"):
        check_reference(summary([entry for entry in log if "train_runtime" not in entry]))


@pytest.mark.slow
def test_phase_1_teaches_the_answers_and_phase_2_to_prefer_them(trained: Path):
    good, bad = f"{TEXTS[1]} 0", REJECTED
    learnt = {model: nll(trained, model, good) for model in ("backbone", "m0")}
    assert learnt["m0"] < learnt["backbone"] - 0.1
    margins = [nll(trained, model, bad) - nll(trained, model, good) for model in ("m0", "m1", "m2")]
    assert margins == sorted(margins)
    assert margins[2] > margins[0] + 0.1


@pytest.mark.slow
def test_a_chain_knows_when_its_parent_was_trained_anew(trained: Path, tmp_path: Path):
    for name in ("backbone", "m0", "m1"):
        shutil.copytree(trained / name, tmp_path / name)
    assert read_policy(tmp_path / "m1").digest == read_policy(trained / "m1").digest
    assert [path.name for path in read_policy(tmp_path / "m1").adapters] == ["m0", "m1"]
    adapter = json.loads((tmp_path / "m0" / "adapter_config.json").read_text())
    (tmp_path / "m0" / "adapter_config.json").write_text(json.dumps(adapter | {"lora_alpha": 32}))
    with pytest.raises(InputError, match=r"m1/policy\.json: field parent_digest: was trained on another"):
        read_policy(tmp_path / "m1")


@pytest.mark.slow
def test_an_exported_policy_is_the_policy(trained: Path, tmp_path: Path):
    import torch
    from transformers import AutoModelForCausalLM

    done = run_stage("export", "--policy", trained / "m2", "--out", tmp_path / "merged", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    ids = torch.arange(20).unsqueeze(0)
    with torch.no_grad():
        merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")(ids).logits
        ours = load_policy(trained / "m2").model(ids).logits
        below = load_policy(trained / "m1").model(ids).logits
    assert torch.allclose(merged, ours, atol=1e-4)
    assert not torch.allclose(below, ours, atol=1e-2)
    assert not any(path.suffix in (".bin", ".pt", ".pkl") for path in (tmp_path / "merged").iterdir())
    again = run_stage("export", "--policy", trained / "m2", "--out", tmp_path / "merged", cwd=tmp_path)
    assert again.returncode == 1
    assert "is there already" in again.stderr


@pytest.mark.slow
def test_only_safetensors_and_json_are_published(trained: Path):
    for model in ("m0", "m1"):
        names = {path.name for path in (trained / model).iterdir()}
        assert names == {"adapter_config.json", "adapter_model.safetensors", "policy.json"}


@pytest.mark.slow
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


def test_a_wrong_key_of_llamafactory_is_one_line_with_the_log(
    models: Path, params_file: Callable[..., Path], tmp_path: Path
):
    for name in ("backbone", "sft"):
        shutil.copytree(models / name, tmp_path / name)
    params = params_file({"train.sft": SMALL | {"learning_rat": 1}})
    done = run_stage("train", *arguments("sft", "backbone", "m0", params), cwd=tmp_path)
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
    done = run_stage("train", *arguments("sft", "backbone", "m0", params), cwd=tmp_path)
    assert done.returncode == 1
    assert "a sample does not fit cutoff_len 40" in done.stderr
    assert not list(tmp_path.glob(".scratch/train/*/output/checkpoint-*"))  # found before it was trained
    assert sample_counts(next(tmp_path.glob(".scratch/train/*")), 40)["train"] == 32


def test_a_curve_that_is_not_finite_is_an_error():
    with pytest.raises(InputError, match="record step 2: field loss: is not a finite number"):
        summary([{"step": 1, "loss": 1.0}, {"step": 2, "loss": float("nan")}])
