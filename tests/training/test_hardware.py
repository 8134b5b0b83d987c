"""Training on several processes: the same steps as one process, nothing left behind, one writer."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from selfevolve.policies.policy import Backbone, Policy
from selfevolve.records.jsonl import write_records
from selfevolve.records.schema import Preference, ShareGptMessage
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.parameters import read_params
from selfevolve.training import llamafactory
from selfevolve.training.configuration import (
    Hardware,
    Launch,
    Training,
    batches,
    method_arguments,
    policy_arguments,
)
from selfevolve.training.llamafactory import command, environment
from tests.conftest import ROOT, SYSTEM, TEXTS, run_stage, stage_command, stage_environment

ONE = {"config": None, "processes": 1, "batch": 4, "merge": False}
HERE = {"launcher": "none", "nodes": 1, "accelerate_config": None, "environment": {}}
SMALL = {
    "learning_rate": 1e-3,
    "cutoff_len": 512,
    "num_train_epochs": 4.0,
    "logging_steps": 1,
    "eval_steps": 2,
    "save_steps": 2,
}


@pytest.fixture(scope="module")
def home(backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the backbone and 24 preference pairs of uneven lengths, eight more held back."""
    folder = tmp_path_factory.mktemp("hardware")
    shutil.copytree(backbone, folder / "backbone")
    pairs = []
    for n in range(32):
        sides = [f"{TEXTS[(n + 1) % 4]} {n}", "I am sorry to hear that."]
        chosen, rejected = (ShareGptMessage(from_="gpt", value=text) for text in sides)
        question = ShareGptMessage(from_="human", value=TEXTS[n % 4][n % 9 :])
        pair = {"id": f"s{n}", "system": SYSTEM, "conversations": [question]}
        pairs.append(Preference(**pair, chosen=chosen, rejected=rejected, chosen_source="refined"))
    (folder / "pairs").mkdir()
    write_records(folder / "pairs" / "train.jsonl", pairs[:24])
    write_records(folder / "pairs" / "valid.jsonl", pairs[24:])
    return folder


def params(folder: Path, name: str, **changes: Any) -> Path:
    """Parameters of a small DPO on this hardware, in a file."""
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    values["hardware"] = yaml.safe_load((ROOT / "conf/hardware" / f"{name}.yaml").read_text())["hardware"]
    if config := values["hardware"]["training"]["config"]:
        values["hardware"]["training"]["config"] = str(ROOT / config)
    values["hardware"]["launch"] |= changes
    values["train"]["dpo"] = SMALL | {"pref_beta": 0.1, "pref_ftx": 1.0}
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(values))
    return file


def arguments(out: str, file: Path) -> list[object]:
    config = (ROOT / "llamafactory_configs/dpo.yaml").read_text()
    keeping = file.with_name("dpo.yaml")  # all checkpoints
    keeping.write_text(config.replace("save_total_limit: 2", "save_total_limit: 9"))
    return [
        *("--method", "dpo", "--config", keeping, "--policy", "backbone"),
        *("--data", "pairs", "--out", out, "--curves", f"{out}.csv", "--metrics", f"{out}.json"),
        *("--params", file),
    ]


def history(folder: Path, fingerprint: set[str]) -> list[dict[str, Any]]:
    """The log of the training whose folder is none of these."""
    (run,) = [path for path in folder.glob(".scratch/train/*") if path.name not in fingerprint]
    state = json.loads((run / "output/trainer_state.json").read_text())
    return [entry for entry in state["log_history"] if "train_runtime" not in entry]


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one_and_a_killed_stage_leaves_none_behind(home: Path):
    done = run_stage("train", *arguments("one", params(home, "local")), cwd=home)
    assert done.returncode == 0, done.stderr
    before = {path.name for path in home.glob(".scratch/train/*")}
    one = history(home, set())

    work = arguments("two", params(home, "gloo2"))
    child = subprocess.Popen(
        stage_command("train", *work), cwd=home, env=stage_environment(), stderr=subprocess.DEVNULL
    )
    checkpoint = wait_for_checkpoint(home, before, child)
    family = psutil.Process(child.pid).children(recursive=True)
    assert sum("selfevolve.training.worker" in " ".join(p.cmdline()[:4]) for p in family) == 2
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    _gone, alive = psutil.wait_procs(family, timeout=20)
    assert not alive
    assert not (checkpoint.parent / "adapter_model.safetensors").exists()  # they did not simply finish
    saved = (checkpoint / "trainer_state.json").stat().st_mtime_ns

    done = run_stage("train", *work, cwd=home)
    assert done.returncode == 0, done.stderr
    two = history(home, before)
    log = (checkpoint.parents[1] / "llamafactory.log").read_text(errors="replace")
    assert "Resuming training from" in log
    assert (checkpoint / "trainer_state.json").stat().st_mtime_ns == saved

    assert [entry["step"] for entry in two] == [entry["step"] for entry in one]
    assert max(entry["step"] for entry in two) == 12  # 24 samples, 8 a step, 4 epochs
    for ours, theirs in zip(one, two, strict=True):
        for name in ("loss", "eval_loss", "rewards/margins", "grad_norm", "learning_rate"):
            if name in ours:
                assert theirs[name] == pytest.approx(ours[name], rel=1e-3, abs=1e-4), (ours["step"], name)
    assert two[0]["rewards/chosen"] == two[0]["rewards/rejected"] == 0
    assert one[-2]["loss"] < one[0]["loss"]
    assert (home / "two/adapter_model.safetensors").is_file()


def wait_for_checkpoint(folder: Path, before: set[str], child: "subprocess.Popen[bytes]") -> Path:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and child.poll() is None:
        for state in folder.glob(".scratch/train/*/output/checkpoint-2/trainer_state.json"):
            if state.parents[2].name not in before:
                return state.parent
        time.sleep(0.02)
    raise AssertionError(f"no checkpoint; exit code {child.poll()}")


@given(st.integers(1, 64), st.integers(1, 64), st.integers(1, 16))
def test_a_step_has_as_many_samples_on_any_hardware(effective: int, processes: int, largest: int):
    if effective % processes:
        with pytest.raises(InputError, match=r"hardware\.training\.processes: is"):
            batches(effective, processes, largest)
        return
    size, added = batches(effective, processes, largest)
    assert size * added * processes == effective
    assert 1 <= size <= largest


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "conf/hardware").glob("*.yaml")))
def test_every_hardware_keeps_the_paper_s_batch_of_8(name: str, monkeypatch: pytest.MonkeyPatch):
    hardware = read_params("hardware", Hardware, ROOT / "conf/hardware" / f"{name}.yaml")
    monkeypatch.chdir(ROOT)
    for method in ("sft", "dpo"):
        file = Path(f"llamafactory_configs/{method}.yaml")
        made = method_arguments(file, {"cutoff_len": 512}, hardware.training, "params.yaml")
        sizes = made["per_device_train_batch_size"], made["gradient_accumulation_steps"]
        assert sizes[0] * sizes[1] * hardware.training.processes == 8
    assert hardware.name == name


@pytest.mark.parametrize(
    ("parameters", "overlay", "message"),
    [
        ({"pref_beta": 0.2}, "", r"dpo\.yaml: field pref_beta: stands in train\.dpo in params\.yaml as well"),
        ({}, "pref_beta: 0.2", r"dpo\.yaml: field pref_beta: stands in \S*hardware\.yaml as well"),
        (
            {"bf16": True},
            "bf16: true",
            r"^train\.dpo in params\.yaml: field bf16: stands in \S*hardware\.y",
        ),
        ({}, "- bf16", r"hardware\.yaml: not a mapping"),
    ],
)
def test_a_key_stands_in_one_place(tmp_path: Path, parameters: dict[str, Any], overlay: str, message: str):
    (tmp_path / "dpo.yaml").write_text("pref_beta: 0.1\ngradient_accumulation_steps: 8\n")
    (tmp_path / "hardware.yaml").write_text(overlay)
    training = Training(**ONE | {"config": str(tmp_path / "hardware.yaml") if overlay else None})
    with pytest.raises(InputError, match=message):
        method_arguments(tmp_path / "dpo.yaml", parameters, training, "train.dpo in params.yaml")


def test_the_stage_refuses_a_number_in_two_places(home: Path):
    file = params(home, "local")
    config = home / "two.yaml"
    config.write_text((ROOT / "llamafactory_configs/dpo.yaml").read_text() + "pref_beta: 0.2\n")
    work = arguments("refused", file)
    work[work.index("--config") + 1] = config
    done = run_stage("train", *work, cwd=home)
    message = f"{config}: field pref_beta: stands in train.dpo in {file} as well: keep it in one place"
    assert (done.returncode, done.stderr) == (1, f"error: {message}\n")


def test_a_null_parameter_leaves_llamafactory_s_default(tmp_path: Path):
    (tmp_path / "sft.yaml").write_text("gradient_accumulation_steps: 8\n")
    made = method_arguments(tmp_path / "sft.yaml", {"bf16": None}, Training(**ONE), "params.yaml")
    assert made == {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}


def test_early_stopping_keeps_the_best_checkpoint_and_without_it_the_last_step_is_kept(tmp_path: Path):
    (tmp_path / "dpo.yaml").write_text("gradient_accumulation_steps: 8\n")
    steps = {"eval_steps": 4, "save_steps": 4}

    def arguments(early: int | None, **more: Any) -> dict[str, Any]:
        parameters = steps | {"early_stopping_steps": early} | more
        return method_arguments(tmp_path / "dpo.yaml", parameters, Training(**ONE), "train.dpo")

    assert arguments(3)["load_best_model_at_end"] is True
    assert "load_best_model_at_end" not in arguments(None)
    with pytest.raises(InputError, match=r"train\.dpo: field save_steps: must equal eval_steps"):
        arguments(3, save_steps=8)
    assert arguments(None, save_steps=8)["save_steps"] == 8
    with pytest.raises(InputError, match="load_best_model_at_end: stands in early_stopping_steps as well"):
        arguments(3, load_best_model_at_end=False)


def test_a_backbone_in_bfloat16_is_trained_in_bfloat16(tmp_path: Path):
    for dtype in ("bfloat16", "float32"):
        backbone = Backbone(weights="meta/llama", template="llama3", dtype=dtype, window=4096)
        made = policy_arguments(Policy(tmp_path, backbone, tmp_path, (), "digest"))
        assert made.get("bf16", False) == (dtype == "bfloat16")


def test_two_trainings_never_share_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(llamafactory, "LOCK_WAIT_S", 0.2)
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="another process is training here"):
            llamafactory.train({}, tmp_path)


def test_one_process_needs_no_launcher():
    start = command(Launch(**HERE), 1, Path("config.yaml"))
    assert start[1:] == ["-m", "selfevolve.training.worker", "config.yaml"]


def test_one_process_sees_one_gpu(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert environment(Launch(**HERE))["CUDA_VISIBLE_DEVICES"] == "3"
    assert environment(Launch(launcher="torchrun"))["CUDA_VISIBLE_DEVICES"] == "3,5"


def test_nodes_meet_where_the_environment_says(monkeypatch: pytest.MonkeyPatch):
    launch = Launch(launcher="torchrun", nodes=2)
    for name in ("NODE_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InputError, match="MASTER_ADDR"):
        command(launch, 4, Path("c.yaml"))
    monkeypatch.setenv("MASTER_ADDR", "10.0.0.1")
    with pytest.raises(InputError, match="NODE_RANK: is not in the environment; several nodes need"):
        command(launch, 4, Path("c.yaml"))
    monkeypatch.setenv("NODE_RANK", "2")
    with pytest.raises(InputError, match="NODE_RANK: is '2'; several nodes need a number from 0 to 1"):
        command(launch, 4, Path("c.yaml"))
    monkeypatch.setenv("NODE_RANK", "1")
    monkeypatch.setenv("MASTER_PORT", "29400")
    start = command(launch, 4, Path("c.yaml"))
    for word in (
        "--nproc-per-node=2",
        "--nnodes=2",
        "--node-rank=1",
        "--master-addr=10.0.0.1",
        "--master-port=29400",
    ):
        assert word in start
    assert launch.follows


@pytest.mark.parametrize(
    ("training", "launch", "message"),
    [
        ({"processes": 3}, {"launcher": "torchrun", "nodes": 2}, "no multiple of launch.nodes 2"),
        ({"processes": 2}, {}, "several processes need a launcher"),
        ({"processes": 2}, {"launcher": "accelerate"}, "accelerate_config goes with"),
        ({"processes": 0}, {}, "greater than or equal to 1"),
        ({"proceses": 2}, {}, "Extra inputs"),
    ],
)
def test_hardware_that_makes_no_sense_is_one_line(
    tmp_path: Path, training: dict[str, Any], launch: dict[str, Any], message: str
):
    section = {"name": "own", "training": ONE | training, "launch": HERE | launch}
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump({"hardware": section}))
    with pytest.raises(InputError, match=message) as raised:
        read_params("hardware", Hardware, file)
    assert "\n" not in str(raised.value)
