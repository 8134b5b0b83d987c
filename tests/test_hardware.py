"""Training on several processes: the same steps as one process, nothing left behind, one writer."""

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

from stages.command import read_params
from stages.records.errors import InputError
from stages.records.jsonl import write_records
from stages.records.schema import Preference, ShareGptMessage
from stages.training.hardware import Hardware, Launch, Training, batches, command, environment, settle
from tests.conftest import ROOT, SYSTEM, TEXTS, run_stage, stage_command, stage_environment

ONE = {"config": None, "processes": 1, "batch": None, "merge": False}
HERE = {"launcher": "none", "nodes": 1, "accelerate_config": None, "environment": {}}
SMALL = {
    "learning_rate": 1e-3,
    "cutoff_len": 512,
    "num_train_epochs": 4.0,
    "logging_steps": 1,
    "eval_steps": 2,
    "save_steps": 2,
    "save_total_limit": 9,
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
    return [
        *("--method", "dpo", "--config", ROOT / "llamafactory_configs/dpo.yaml", "--policy", "backbone"),
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
    assert sum("stages.training.worker" in " ".join(p.cmdline()[:4]) for p in family) == 2
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
def test_every_hardware_keeps_the_paper_s_batch_of_8(name: str):
    hardware = read_params("hardware", Hardware, ROOT / "conf/hardware" / f"{name}.yaml")
    overlay = hardware.training.config
    laid = yaml.safe_load((ROOT / overlay).read_text()) if overlay else {}
    for method in ("sft", "dpo"):
        config = yaml.safe_load((ROOT / f"llamafactory_configs/{method}.yaml").read_text())
        settled = settle(config, laid, hardware.training)
        sizes = settled["per_device_train_batch_size"], settled["gradient_accumulation_steps"]
        assert sizes[0] * sizes[1] * hardware.training.processes == 8
    assert hardware.name == name


def test_without_hardware_nothing_is_changed():
    config = {"per_device_train_batch_size": 3, "gradient_accumulation_steps": 5}
    assert settle(config, {}, Training(**ONE)) == config
    start = command(Launch(**HERE), 1, Path("config.yaml"))
    assert start[1:] == ["-m", "llamafactory.cli", "train", "config.yaml"]


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
