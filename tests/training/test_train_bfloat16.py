"""Training on a backbone in bfloat16, whose chain of adapters stays unmerged."""

import csv
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from peft import PeftModel

from selfevolve.policies.policy import load_policy
from selfevolve.policies.window import ChatTemplate
from selfevolve.records.jsonl import read_records, write_records
from selfevolve.records.schema import Message, Preference, ShareGptMessage
from tests.conftest import ROOT, SYSTEM, TEXTS, run_stage, stage_command, stage_environment
from tests.support.bfloat16 import in_bfloat16

SMALL = {
    "learning_rate": 3e-4,
    "cutoff_len": 512,
    "num_train_epochs": 2.0,
    "early_stopping_steps": 3,
    "logging_steps": 1,
    "eval_steps": 4,
    "save_steps": 4,
    "pref_beta": 0.1,
    "pref_ftx": 1.0,
}


@pytest.fixture(scope="module")
def trained(backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """M0 and M1 on a backbone in bfloat16: DPO on 32 pairs, four more held back."""
    folder = tmp_path_factory.mktemp("bfloat16")
    in_bfloat16(backbone, folder / "backbone")
    pairs = []
    for n in range(36):
        sides = [f"{TEXTS[(n + 1) % 4]} {n}", "I am sorry to hear that."]
        chosen, rejected = (ShareGptMessage(from_="gpt", value=text) for text in sides)
        question = ShareGptMessage(from_="human", value=TEXTS[n % 4][n % 9 :])
        pair = {"id": f"s{n:02d}", "system": SYSTEM, "conversations": [question]}
        pairs.append(Preference(**pair, chosen=chosen, rejected=rejected, chosen_source="refined"))
    (folder / "pairs").mkdir()
    write_records(folder / "pairs" / "train.jsonl", pairs[:32])
    write_records(folder / "pairs" / "valid.jsonl", pairs[32:])
    for policy, out in (("backbone", "m0"), ("m0", "m1")):
        done = run_stage("train", *arguments(folder, policy, out), cwd=folder)
        assert done.returncode == 0, done.stderr
    return folder


def arguments(folder: Path, policy: str, out: str, hardware: str = "local") -> list[object]:
    """The stage's arguments, with parameters for small models and all checkpoints kept."""
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    values["hardware"] = yaml.safe_load((ROOT / f"conf/hardware/{hardware}.yaml").read_text())["hardware"]
    if config := values["hardware"]["training"]["config"]:
        values["hardware"]["training"]["config"] = str(ROOT / config)
    values["train"]["dpo"] = SMALL if config else SMALL | {"use_cpu": True}  # bfloat16 must be told so
    params, config = folder / f"{hardware}.yaml", folder / "dpo.yaml"
    params.write_text(yaml.safe_dump(values))
    text = (ROOT / "llamafactory_configs/dpo.yaml").read_text()
    config.write_text(text.replace("save_total_limit: 2", "save_total_limit: 9"))
    return [
        *("--method", "dpo", "--config", config, "--policy", policy, "--data", "pairs", "--out", out),
        *("--curves", f"{out}.csv", "--metrics", f"{out}.json", "--params", params),
    ]


def metrics(folder: Path, model: str) -> dict[str, Any]:
    return json.loads((folder / f"{model}.json").read_text())


def evaluations(folder: Path) -> list[dict[str, Any]]:
    """What M1's training logged at each evaluation."""
    for run in folder.glob(".scratch/train/*"):
        if "unmerged_adapters" in (run / "llamafactory.yaml").read_text():
            log = json.loads((run / "output/trainer_state.json").read_text())["log_history"]
            return [entry for entry in log if "eval_loss" in entry]
    raise AssertionError("no training kept its chain unmerged")


def chosen_log_probability(folder: Path, model: Any, template: ChatTemplate) -> float:
    """The mean over held-back pairs of the chosen answer's, in one batch as LLaMA-Factory makes it."""
    rows, starts = [], []
    pairs = read_records(folder / "pairs/valid.jsonl", Preference)
    for side in ("chosen", "rejected"):
        for pair in pairs:
            question = Message(role="user", content=pair.conversations[0].value)
            prompt = [Message(role="system", content=pair.system), question]
            rows.append(template.encode(prompt, answer=getattr(pair, side).value))
            starts.append(len(template.encode(prompt)))
    width = -(-max(map(len, rows)) // 8) * 8
    ids = torch.tensor([row + [template.tokenizer.pad_token_id] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    with torch.no_grad():
        found = model(ids, attention_mask=mask, use_cache=False).logits.float().log_softmax(-1)
    sums = [
        found[n, start - 1 : len(rows[n]) - 1].gather(1, ids[n, start : len(rows[n]), None]).sum()
        for n, start in enumerate(starts[: len(pairs)])
    ]
    return torch.stack(sums).mean().item()


def test_at_step_0_the_reference_is_the_policy_trained_on(trained: Path):
    for model in ("m0", "m1"):
        first = metrics(trained, model)
        assert first["reward_chosen_first"] == first["reward_rejected_first"] == 0
        margins = [row["reward_margin"] for row in csv.DictReader((trained / f"{model}.csv").open())]
        assert float([margin for margin in margins if margin][-1]) > 0


def test_the_policy_that_answers_is_the_one_whose_loss_chose_the_checkpoint(trained: Path):
    kept = min(evaluations(trained), key=lambda entry: entry["eval_loss"])["eval_logps/chosen"]
    loaded = load_policy(trained / "m1")
    template = ChatTemplate(loaded.tokenizer, loaded.template)
    assert chosen_log_probability(trained, loaded.model, template) == pytest.approx(kept, abs=1e-4)
    merged: Any = load_policy(trained / "backbone").model
    for name in ("m0", "m1"):
        merged = PeftModel.from_pretrained(merged, str(trained / name)).merge_and_unload()
    assert abs(chosen_log_probability(trained, merged, template) - kept) > 4e-4


def test_two_processes_train_on_the_unmerged_chain(trained: Path):
    done = run_stage("train", *arguments(trained, "m0", "two", "gloo2"), cwd=trained)
    assert done.returncode == 0, done.stderr
    one, two = metrics(trained, "m1"), metrics(trained, "two")
    assert two["reward_chosen_first"] == two["reward_rejected_first"] == 0
    assert two["kept"]["eval_loss_logged"] == pytest.approx(one["kept"]["eval_loss_logged"], abs=5e-3)


def test_killed_in_the_middle_it_goes_on_from_its_last_checkpoint(trained: Path, tmp_path: Path):
    for name in ("backbone", "m0", "pairs"):
        shutil.copytree(trained / name, tmp_path / name)
    work = arguments(tmp_path, "m0", "m1")
    child = subprocess.Popen(
        stage_command("train", *work), cwd=tmp_path, env=stage_environment(), stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 180
    while not list(tmp_path.glob(".scratch/train/*/output/checkpoint-4/trainer_state.json")):
        assert time.monotonic() < deadline
        assert child.poll() is None
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert not (tmp_path / "m1").exists()
    done = run_stage("train", *work, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    log = next(tmp_path.glob(".scratch/train/*/llamafactory.log")).read_text(errors="replace")
    assert "Resuming training from" in log
    for name in ("m1/adapter_model.safetensors", "m1/policy.json", "m1.csv", "m1.json"):
        assert (tmp_path / name).read_bytes() == (trained / name).read_bytes(), name
