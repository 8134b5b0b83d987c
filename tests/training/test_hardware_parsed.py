"""Every hardware with either method, as LLaMA-Factory, DeepSpeed and accelerate themselves read it."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from selfevolve.runtime.parameters import read_params
from selfevolve.training.configuration import Hardware, method_arguments
from tests.conftest import ROOT

FOLDER = ROOT / "llamafactory_configs" / "hardware"
NAMES = sorted(path.stem for path in (ROOT / "conf/hardware").glob("*.yaml"))
CASES = [(name, method) for name in NAMES for method in ("sft", "dpo")]


def hardware_of(name: str) -> Hardware:
    return read_params("hardware", Hardware, ROOT / "conf/hardware" / f"{name}.yaml")


def configuration(name: str, method: str, weights: Path, out: Path) -> dict[str, Any]:
    """What the stage hands to LLaMA-Factory, for a machine without a GPU."""
    hardware = hardware_of(name)
    training = hardware.training
    if training.config:
        training = training.model_copy(update={"config": str(ROOT / training.config)})
    # the precision comes from the backbone: of those that need a GPU it is bfloat16
    parameters = {"bf16": name not in ("local", "gloo2"), "disable_gradient_checkpointing": False}
    file = ROOT / f"llamafactory_configs/{method}.yaml"
    config = method_arguments(file, parameters, training, "params.yaml")
    if "deepspeed" in config:
        config["deepspeed"] = str(ROOT / config["deepspeed"])
    if os.environ.get("CUDA_VISIBLE_DEVICES", "") == "":
        config["use_cpu"] = True
        if hardware.launch.launcher != "none":
            config["ddp_backend"] = "gloo"
    given = {
        "model_name_or_path": str(weights),
        "template": "llama3",
        "output_dir": str(out / f"{name}-{method}"),
    }
    given |= {"dataset": "train", "eval_dataset": "valid", "dataset_dir": str(out)}
    return {**config, **given, "distributed": hardware.launch.launcher != "none"}


@pytest.fixture(scope="module")
def parsed(backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What the parser made of all of them, in one process."""
    out = tmp_path_factory.mktemp("parsed")
    configs = {f"{name}-{method}": configuration(name, method, backbone, out) for name, method in CASES}
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.llamafactory_parser"],
        input=json.dumps(configs),
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize(("name", "method"), CASES)
def test_llamafactory_takes_every_hardware_with_either_method(
    parsed: dict[str, dict[str, Any]], name: str, method: str
):
    if "zero" in name and not find_spec("deepspeed"):
        pytest.skip("DeepSpeed is not installed: `make setup-gpu`")
    result, hardware = parsed[f"{name}-{method}"], hardware_of(name)
    assert "error" not in result
    assert result["stage"] == method
    assert result["batch"] * result["added"] * hardware.training.processes == 8
    assert result["bits"] == (4 if name == "qlora24" else None)
    assert result["bf16"] == (name not in ("local", "gloo2"))
    assert result["checkpointing"]
    assert (result["parallel"] == "distributed") == (hardware.launch.launcher != "none")
    assert result["zero3"] == (name == "gpus-zero3")


@pytest.mark.parametrize("stage", [2, 3])
def test_deepspeed_s_files_leave_batch_and_precision_to_the_trainer(stage: int):
    config = json.loads((FOLDER / f"zero{stage}.json").read_text())
    sizes = ("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps")
    assert {config[key] for key in (*sizes, "gradient_clipping")} == {"auto"}
    assert {config[key]["enabled"] for key in ("bf16", "fp16")} == {"auto"}
    assert config["zero_optimization"]["stage"] == stage
    if stage == 3:  # else the adapter could not be saved whole
        assert config["zero_optimization"]["stage3_gather_16bit_weights_on_model_save"]


@pytest.mark.parametrize("stage", [2, 3])
def test_deepspeed_reads_its_files(stage: int):
    pytest.importorskip("deepspeed", reason="DeepSpeed is not installed: `make setup-gpu`")
    from deepspeed.runtime.zero.config import DeepSpeedZeroConfig

    config = json.loads((FOLDER / f"zero{stage}.json").read_text())["zero_optimization"]
    given = {key: value for key, value in config.items() if value != "auto"}
    assert DeepSpeedZeroConfig(**given).stage == stage


def test_accelerate_reads_the_file_for_fsdp():
    from accelerate.commands.config.config_args import ClusterConfig

    file = FOLDER / "accelerate_fsdp.yaml"
    config = ClusterConfig.from_yaml_file(yaml_file=str(file))
    assert config.distributed_type == "FSDP"
    assert config.fsdp_config["fsdp_sharding_strategy"] == "FULL_SHARD"
    # so that the first process loads the weights and hands them on, and LoRA's few can be trained alone
    assert config.fsdp_config["fsdp_sync_module_states"]
    assert config.fsdp_config["fsdp_use_orig_params"]
    assert yaml.safe_load(file.read_text())["mixed_precision"] == "bf16"


def test_where_llamafactory_does_not_merge_the_stage_does():
    merged = {name for name in NAMES if hardware_of(name).training.merge}
    assert merged == {"qlora24", "gpus-zero3", "gpus-fsdp"}
