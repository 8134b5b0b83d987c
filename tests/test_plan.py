"""`make plan`: what it says before data and weights exist, and after a run."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stages import plan as stage
from stages.planning import rates
from stages.planning.memory import Sharing, generation_bytes, training_bytes, weight_bytes
from stages.planning.shapes import Shape, shape_of
from stages.planning.table import Row, lines
from stages.planning.work import Work
from stages.records.errors import InputError
from tests.conftest import ROOT, run_stage, stage_environment

PAPER = ("--data", "paper", "--scale", "paper")


@pytest.fixture
def repository(checkout: Path) -> Path:
    """A checkout with what the plan reads besides conf/."""
    for name in ("llamafactory_configs", "backbones", "stages"):
        (checkout / name).symlink_to(ROOT / name)
    return checkout


def written(folder: Path) -> dict[str, int]:
    return {str(p): p.stat().st_mtime_ns for p in folder.rglob("*") if ".git" not in p.parts}


@pytest.mark.parametrize("backbone", ["llama3", "qwen2", "mistral"])
def test_the_paper_s_run_is_planned_without_data_weights_or_a_trace(repository: Path, backbone: str):
    before = written(repository)
    done = run_stage("plan", "--backbone", backbone, *PAPER, "--hardware", "gpu40", cwd=repository)
    assert done.returncode == 0, done.stderr
    assert written(repository) == before
    text = done.stdout.splitlines()
    assert max(map(len, text)) <= 80
    assert "the paper's table 1" in " ".join(done.stdout.split())
    (row,) = [line.split() for line in text if line.startswith("refine@m2")]
    # (11167 x (16.68 / 2 - 2) + 3749 x (15.91 / 2 - 2)) / 2 contexts a part
    assert row[1] == "46,562"
    assert row[row.index("GB") + 1] == ">"  # nothing was measured on a GPU: a bound, and named as one
    assert "not measured here. > is no estimate" in " ".join(done.stdout.split())


def test_of_hardware_that_nothing_is_known_of_no_time_is_said(repository: Path):
    done = run_stage("plan", "--hardware", "gloo2", cwd=repository)
    assert done.returncode == 0, done.stderr
    assert "unknown" in done.stdout
    assert ">" not in done.stdout
    assert "not measured on this hardware" in done.stdout


def test_after_a_run_what_its_stages_took_stands_beside(repository: Path):
    metrics = repository / "metrics"
    (metrics / "m0").mkdir(parents=True)
    (metrics / "m0/training.json").write_text("{}")
    digest = hashlib.md5(b"{}").hexdigest()
    lines_ = [
        took("sft@m0", 100.0, {"metrics/m0/training.json": digest}),
        took("sft@m0", 200.0, {"metrics/m0/training.json": digest}),
        took("train@m1", 50.0, {"metrics/m0/training.json": "of another run"}),
    ]
    (metrics / "runs.jsonl").write_text("".join(line + "\n" for line in lines_))
    counted = {name: {"written": 77} for name in ("test", "synesc-1", "synesc-2")}
    (metrics / "contexts.json").write_text(json.dumps(counted))
    done = run_stage("plan", cwd=repository)
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if "@" in line}
    assert "200.0 s" in rows["sft@m0"]
    assert rows["reject@m1"].split()[1] == "77"
    assert "50.0 s" not in rows["train@m1"]
    other = run_stage("plan", "--scale", "paper", cwd=repository)  # another run than the one that lies there
    assert "runs.jsonl" not in other.stdout
    assert " 77 " not in other.stdout


def took(name: str, seconds: float, outputs: dict[str, str]) -> str:
    line: dict[str, Any] = {"stage": name, "seconds": seconds, "ended": "now", "outputs": outputs}
    return json.dumps(line | {"machine": {}, "packages": {}})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--hardware", "abacus"], "conf/hardware: there is no abacus.yaml; there are gloo2, gpu40"),
        (["--set", "train.dpo.no_such=1"], "no_such"),
        (["--set", "backbone.name=own"], "nothing is known of the words of own|no shape of own"),
        (["--data", "local", "--set", "data.name=mine"], "before `dvc repro prepare` has counted it"),
        (
            ["--hardware", "gpus-zero2", "--set", "hardware.training.processes=3"],
            "does not divide the 8 samples",
        ),
    ],
)
def test_what_cannot_be_planned_is_one_line(repository: Path, arguments: list[str], message: str):
    done = run_stage("plan", *arguments, cwd=repository)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert any(part in done.stderr for part in message.split("|"))


def test_a_plan_needs_no_torch():
    code = "import sys; import stages.plan; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=stage_environment(), check=False)
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("backbone", "parameters"),
    [("llama3", 8_030_261_248), ("qwen2", 7_615_616_512), ("mistral", 7_248_023_552)],
)
def test_the_shapes_have_the_parameters_that_their_model_cards_name(backbone: str, parameters: int):
    assert shape_of(backbone)[0].parameters == parameters


def test_every_backbone_has_a_shape():
    for file in (ROOT / "conf/backbone").glob("*.yaml"):
        shape_of(file.stem)
    with pytest.raises(InputError, match="no shape of gpt5; there are llama3"):
        shape_of("gpt5")


@pytest.mark.slow
def test_the_formulas_are_those_of_a_real_model():
    """Parameters, adapter and cache of the tiny shape, counted on the model itself: exactly the same."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache

    shape, _ = shape_of("tiny")
    config = AutoConfig.from_pretrained(ROOT / "backbones/tiny")
    config.dtype = torch.float32
    model = AutoModelForCausalLM.from_config(config)
    assert sum(p.numel() for p in model.parameters()) == shape.parameters
    assert sum(p.numel() * p.element_size() for p in model.parameters()) == weight_bytes(shape, "float32")
    cache = DynamicCache(config=config)
    model(torch.ones((3, 50), dtype=torch.long), past_key_values=cache)
    kept = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    assert kept == shape.cache_bytes(3 * 50, 4)
    adapted = get_peft_model(model, LoraConfig(r=8, target_modules="all-linear"))
    assert sum(p.numel() for p in adapted.parameters() if p.requires_grad) == shape.lora(8)


@pytest.mark.slow
def test_activations_are_within_a_third_of_what_a_real_step_keeps():
    """What autograd keeps for the way back, without checkpointing, on a small Llama with an adapter."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    shape, _ = shape_of("tiny")
    config = AutoConfig.from_pretrained(ROOT / "backbones/tiny")
    config.dtype = torch.float32
    model = get_peft_model(
        AutoModelForCausalLM.from_config(config, attn_implementation="sdpa"),
        LoraConfig(r=8, target_modules="all-linear"),
    )
    fixed = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in fixed:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    ids = torch.randint(0, shape.vocabulary, (2, 256))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = model(input_ids=ids, labels=ids).loss
    real = sum(kept.values())
    loss.backward()
    without = training_bytes(shape, "float32", 0, 8)
    bound = training_bytes(shape, "float32", ids.numel(), 8, checkpointing=False) - without
    assert real <= bound * 4 / 3
    assert bound <= real * 4 / 3


def test_sharing_leaves_a_process_less_to_hold():
    shape, _ = shape_of("llama3")
    alone = training_bytes(shape, "bfloat16", 8192, 8)
    states = training_bytes(shape, "bfloat16", 8192, 8, sharing=Sharing(4, states=True))
    spread = training_bytes(shape, "bfloat16", 8192, 8, sharing=Sharing(4, states=True, weights=True))
    quantised = training_bytes(shape, "bfloat16", 8192, 8, bits=4)
    assert alone - states == pytest.approx(shape.lora(8) * 9)
    assert states - spread == pytest.approx(shape.parameters * 2 * 3 / 4)
    assert 10e9 < alone - quantised < 11e9  # 7.0 billion of the 8.0 are matrices: from 2 bytes to half a one
    assert generation_bytes(shape, "bfloat16", 1, 1000) > weight_bytes(shape, "bfloat16") + 131e6


def test_the_bound_of_a_data_sheet_is_that_of_its_formula():
    shape = Shape(
        layers=1, hidden=4, heads=1, kv_heads=1, head=4, inner=8, vocabulary=16, tied=True, bias=False
    )
    assert shape.matrices == 4 * 16 + 3 * 32
    card = rates.Card("card", bandwidth=1e3, flops=1e4, memory=1e9, source="")
    train = Work("train@m1", "dpo", 10, 1000, 0, 64)
    assert rates.least_seconds(train, shape, "bfloat16", 4, card, 2) == 6 * 160 * 1000 / 1e4 / 2
    write = Work("refine@m1", "refine", 10, 1000, 500, 64)
    assert rates.least_seconds(write, shape, "bfloat16", 1, card, 1) == 500 * 160 * 2 / 1e3
    assert rates.least_seconds(write, shape, "bfloat16", 100, card, 1) == 2 * 160 * 1500 / 1e4


def test_a_table_fits_80_columns_whatever_stands_in_it():
    big = Row("reject@a-long-name", 99_999_999, 9.99e11, 9.99e11, 9e11, None, 9e8, 9e7)
    assert max(map(len, lines([big, Row("x", None, None, None, None, 5.0, None, 6.0)]))) <= 80
    assert lines([Row("x", None, None, None, None, 5.0, None, 6.0)])[1].split() == [
        "x",
        "5.0",
        "s",
        "6.0",
        "s",
        "1.20",
    ]


def test_groups_are_composed_as_the_run_would_have_them(repository: Path):
    before = (repository / "params.yaml").read_text()
    params = stage.composed({"backbone": "qwen2", "hardware": "nodes"}, ["headline=m1"])
    assert (params["backbone"]["name"], params["hardware"]["name"], params["headline"]) == (
        "qwen2",
        "nodes",
        "m1",
    )
    assert (repository / "params.yaml").read_text() == before


def test_stages_that_neither_generate_nor_train_are_counted_and_timed_at_their_scale_alone(checkout: Path):
    params = stage.composed({}, [])
    stages = stage.others(params, ["vanilla", "m0", "m1", "m2"])
    assert (stages["score"], stages["pair"], stages["sft_data"], stages["compare"]) == (4, 2, 1, 4)
    rate = {"scale": "smoke", "others": {"score": 20.0}}
    rows = {row.stage: row for row in stage.rest(stages, "smoke", rate, {"score@m0": 1.0, "prepare": 3.0})}
    assert rows["score x 4"].predicted == 80.0
    assert rows["score x 4"].actual is None  # one of four is not all
    assert (rows["prepare"].predicted, rows["prepare"].actual) == (None, 3.0)
    assert all(row.predicted is None for row in stage.rest(stages, "paper", rate, {}))
    assert stage.total([*rows.values()]).predicted is None  # nothing was measured of some
