"""params.yaml, the groups it is composed of, and the graph that dvc.yaml makes of it."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from stages import experiment
from stages.backbone import BackboneParams
from stages.benchmarks.measure import Settings
from stages.command import read_params
from stages.compare import CompareParams
from stages.contexts import ContextsParams
from stages.engines.load import JUDGES, OPTIONS
from stages.judge import JudgeParams
from stages.judge_pairs import JudgePairsParams
from stages.lessons import LessonsParams
from stages.mini import MiniParams
from stages.pair import PairParams
from stages.phrases import PhrasesParams
from stages.prepare import PrepareParams
from stages.pretrain import PretrainParams
from stages.records.errors import InputError
from stages.refine import RefineParams
from stages.relevance import RelevanceParams
from stages.respond import RespondParams
from stages.score import ScoreParams
from stages.sft_data import SftDataParams
from stages.training.hardware import Hardware
from stages.unseen import UnseenParams
from tests.conftest import ROOT

CHOICES = {
    group: sorted(p.stem for p in (ROOT / "conf" / group).glob("*.yaml")) for group in experiment.GROUPS
}

SECTIONS = {
    "mini": MiniParams,
    "prepare": PrepareParams,
    "backbone": BackboneParams,
    "sft_data": SftDataParams,
    "contexts": ContextsParams,
    "respond": RespondParams,
    "refine": RefineParams,
    "pair": PairParams,
    "score": ScoreParams,
    "compare": CompareParams,
    "relevance": RelevanceParams,
    "phrases": PhrasesParams,
    "unseen": UnseenParams,
    "capability": Settings,
    "judge": JudgeParams,
    "judge_pairs": JudgePairsParams,
    "hardware": Hardware,
}


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_the_committed_parameters_are_the_composed_default(checkout: Path):
    experiment.compose({}, checkout / "composed.yaml")
    assert (checkout / "composed.yaml").read_text() == (checkout / "params.yaml").read_text()
    experiment.settle_params({}, ["headline=m2"])  # what make m2 does
    assert (checkout / "composed.yaml").read_text() == (checkout / "params.yaml").read_text()


@pytest.mark.parametrize(
    ("group", "name"), [(group, name) for group, names in CHOICES.items() for name in names]
)
def test_every_group_composes_to_the_same_sections(checkout: Path, group: str, name: str):
    experiment.compose({group: name}, checkout / "composed.yaml")
    assert load(checkout / "composed.yaml").keys() == load(checkout / "params.yaml").keys()
    for section, kind in SECTIONS.items():
        read_params(section, kind, checkout / "composed.yaml")
    engine = load(checkout / "composed.yaml")["engine"]
    OPTIONS[engine["kind"]].model_validate(engine)
    judge = load(checkout / "composed.yaml")["judge"]["engine"]
    JUDGES[judge["kind"]].model_validate(judge)


def test_the_paper_s_setting_is_the_paper_s(checkout: Path):
    experiment.settle_params({"backbone": "llama3", "data": "paper", "scale": "paper"}, ["headline=m2"])
    params = load(checkout / "params.yaml")
    for method in ("sft", "dpo"):
        given = load(ROOT / "llamafactory_configs" / f"{method}.yaml") | params["train"][method]
        assert (given["lora_rank"], given["lora_alpha"], given["lora_target"]) == (8, 16, "all")
        assert (given["learning_rate"], given["num_train_epochs"]) == (5e-6, 2.0)
        assert (given["per_device_train_batch_size"], given["gradient_accumulation_steps"]) == (4, 2)
        assert (given["early_stopping_steps"], given["warmup_steps"]) == (3, 0.01)
    assert (params["train"]["dpo"]["pref_beta"], params["train"]["dpo"]["pref_ftx"]) == (0.1, 1.0)
    for stage in ("respond", "refine"):
        sampling = params[stage]["sampling"]
        assert [sampling[key] for key in ("temperature", "top_p", "top_k")] == [0.9, 0.8, 50]
        assert sampling["repetition_penalty"] == 1.2
    assert (params["refine"]["attempts"], params["pair"]["max_length_ratio"]) == (3, 2.0)
    assert params["sft_data"]["alpaca_items"] == 500
    assert params["score"]["encoder"] == "roberta-large"
    judging = params["judge"]["sampling"]
    assert [judging[key] for key in ("temperature", "top_p", "top_k")] == [0.8, 0.95, 50]
    assert params["judge"]["contexts"] == 100
    assert params["backbone"]["weights"] == "meta-llama/Meta-Llama-3-8B-Instruct"


def test_the_recipe_of_the_tiny_backbone_is_valid_and_fits_the_window():
    recipe = ROOT / "backbones" / "params.yaml"
    read_params("lessons", LessonsParams, recipe)
    pretrain = read_params("pretrain", PretrainParams, recipe)
    given = load(ROOT / "llamafactory_configs" / "pretrain.yaml") | pretrain.training
    assert given["cutoff_len"] == pretrain.window == load(ROOT / "params.yaml")["backbone"]["window"]
    assert load(recipe)["prompts"] == load(ROOT / "params.yaml")["prompts"]


def test_no_backbone_is_asked_for_more_than_its_window(checkout: Path):
    for name in CHOICES["backbone"]:
        experiment.compose({"backbone": name}, checkout / "composed.yaml")
        params = load(checkout / "composed.yaml")
        window = params["backbone"]["window"]
        lengths = [params["sft_data"], params["contexts"], params["train"]["sft"], params["train"]["dpo"]]
        assert max(section["cutoff_len"] for section in lengths) <= window
        # a refined response may become a chosen one: the contexts leave room for it
        assert params["contexts"]["answer_tokens"] >= params["refine"]["sampling"]["max_new_tokens"]


def test_composing_stops_where_it_would_lose_hand_edits(checkout: Path):
    text = (checkout / "params.yaml").read_text().replace("pref_beta: 0.1", "pref_beta: 0.3")
    (checkout / "params.yaml").write_text(text)
    with pytest.raises(
        InputError, match=r"lose hand edits of train\.dpo\.pref_beta: run without SCALE=paper"
    ):
        experiment.settle_params({"scale": "paper"}, [])
    assert (checkout / "params.yaml").read_text() == text
    experiment.settle_params({}, ["headline=m1"])
    assert load(checkout / "params.yaml")["train"]["dpo"]["pref_beta"] == 0.3
    assert load(checkout / "params.yaml")["headline"] == "m1"


def test_what_a_run_left_is_no_hand_edit(checkout: Path):
    experiment.settle_params({"data": "local"}, ["data.esconv=own.json"])
    experiment.LAST.parent.mkdir()
    shutil.copyfile("params.yaml", experiment.LAST)
    experiment.settle_params({"scale": "paper"}, [])
    assert load(checkout / "params.yaml")["data"]["name"] == "mini"


@pytest.mark.parametrize(
    ("groups", "overrides", "message"),
    [
        ({"backbone": "gpt5"}, [], r"conf/backbone: there is no gpt5\.yaml; there are llama3, mistral"),
        ({}, ["train.dpo.no_such_key=1"], "no_such_key"),
        ({"scale": "paper"}, ["train.dpo.no_such_key=1"], "no_such_key"),
    ],
)
def test_what_does_not_exist_is_named(
    checkout: Path, groups: dict[str, str], overrides: list[str], message: str
):
    before = (checkout / "params.yaml").read_text()
    with pytest.raises(InputError, match=message):
        experiment.settle_params(groups, overrides)
    assert (checkout / "params.yaml").read_text() == before


def test_every_stage_names_its_script_its_rooms_and_its_parameters(tmp_path: Path):
    """What a stage imports is among its dependencies, so that changed code is never served old results."""
    files = [ROOT / folder / "dvc.yaml" for folder in ("", "data", "backbones", "judging")]
    stages = [item for file in files for item in load(file)["stages"].items()]
    for name, stage in stages:
        stage = stage.get("do", stage)
        script = stage["cmd"].split()[2].removeprefix("stages.")
        deps = " ".join(stage["deps"])
        assert f"stages/{script}.py" in deps, name
        text = (ROOT / "stages" / f"{script}.py").read_text()
        for line in text.splitlines():
            if line.strip().startswith("from stages."):
                module = line.split()[1].replace(".", "/")
                parts = [module, str(Path(module).parent), f"{module}.py"]
                assert any(part in stage["deps"] for part in parts), f"{name}: {module}"


@pytest.mark.parametrize(("data", "upstream"), [("paper", "data/dvc.yaml:fetch@extes"), ("mini", "mini")])
def test_the_corpora_come_from_where_the_data_group_says(checkout: Path, data: str, upstream: str):
    experiment.settle_params({"data": data}, [])
    dvc = [sys.executable, "-m", "dvc"]
    subprocess.run([*dvc, "init", "-q"], check=True)
    graph = subprocess.run([*dvc, "dag", "--dot", "prepare"], check=True, capture_output=True, text=True)
    assert f'"{upstream}" -> "prepare"' in graph.stdout
    assert ("fetch@" in graph.stdout) == (data == "paper")
