"""params.yaml, the groups it is composed of, and the graph that dvc.yaml makes of it."""

import contextlib
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from selfevolve.benchmarks.measure import Settings
from selfevolve.experiment.compose import GROUPS, compose, remember_params, resolve_params
from selfevolve.generation.engines import read_engine, read_options
from selfevolve.generation.request import ResponseParams
from selfevolve.judge.both_orders import JudgePairsParams
from selfevolve.judge.engine import JUDGES
from selfevolve.judge.questions import JudgeParams
from selfevolve.metrics.line_ups import PersonalisationParams
from selfevolve.metrics.protocols import ScoreParams
from selfevolve.metrics.relevance import RelevanceParams
from selfevolve.preferences.pairs import PairParams
from selfevolve.preferences.refinement import RefineParams
from selfevolve.rewards.parameters import RewardParams
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import read_yaml
from selfevolve.runtime.parameters import read_params, validate
from selfevolve.sessions.talk import ConverseParams
from selfevolve.training.configuration import Hardware, method_arguments
from selfevolve.training.losses import NAMES
from stages.analyses.phrases import PhrasesParams
from stages.analyses.unseen import UnseenParams
from stages.backbone import BackboneParams
from stages.compare import CompareParams
from stages.contexts import ContextsParams
from stages.prepare import PrepareParams
from stages.sft_data import SftDataParams
from testbed.cards import CardsParams
from testbed.lessons import LessonsParams
from testbed.mini import MiniParams
from testbed.pretrain import PretrainParams
from tests.conftest import ROOT, run_here
from tests.support.graphs import Graph

CHOICES = {group: sorted(p.stem for p in (ROOT / "conf" / group).glob("*.yaml")) for group in GROUPS}

SECTIONS = {
    "mini": MiniParams,
    "prepare": PrepareParams,
    "backbone": BackboneParams,
    "sft_data": SftDataParams,
    "contexts": ContextsParams,
    "respond": ResponseParams,
    "refine": RefineParams,
    "pair": PairParams,
    "reward": RewardParams,
    "score": ScoreParams,
    "compare": CompareParams,
    "personalisation": PersonalisationParams,
    "relevance": RelevanceParams,
    "phrases": PhrasesParams,
    "unseen": UnseenParams,
    "capability": Settings,
    "judge": JudgeParams,
    "judge_pairs": JudgePairsParams,
    "converse": ConverseParams,
    "hardware": Hardware,
}


# What every combination of groups must say.
TRAINED_WITH = {"seed", "learning_rate", "num_train_epochs", "cutoff_len", "disable_gradient_checkpointing"}
TRAINED_WITH |= {"logging_steps", "eval_steps", "save_steps"}


def load(path: Path) -> Any:
    return read_yaml(path)


def test_the_committed_parameters_are_the_composed_default(checkout: Path):
    compose({}, checkout / "composed.yaml")
    assert (checkout / "composed.yaml").read_text() == (checkout / "params.yaml").read_text()
    resolve_params({}, ["headline=m2"])  # what make m2 does
    assert (checkout / "composed.yaml").read_text() == (checkout / "params.yaml").read_text()


@cache
def composed(**groups: str) -> Any:
    """The parameters of these groups, composed from conf/ of this tree; nobody may change them."""
    with TemporaryDirectory() as folder, contextlib.chdir(ROOT):
        compose(groups, Path(folder) / "params.yaml")
        return load(Path(folder) / "params.yaml")


# Choices of all groups together, so many times that every file of every group is in one of them.
TOGETHER = [
    {group: names[number % len(names)] for group, names in CHOICES.items()}
    for number in range(max(map(len, CHOICES.values())))
]


@pytest.mark.parametrize("groups", TOGETHER, ids=lambda groups: "-".join(groups.values()))
def test_every_group_composes_to_the_same_sections(groups: dict[str, str]):
    params = composed(**groups)
    assert params.keys() == load(ROOT / "params.yaml").keys()
    for section, kind in SECTIONS.items():
        validate(kind, params[section], section=section)
    read_engine(params["engine"])
    for section, key in (("judge", "engine"), ("converse", "seeker")):
        asked = {name: value for name, value in params[section][key].items() if name != "policy"}
        read_options(asked, f"{section}.{key}", JUDGES)
    for method in ("sft", "dpo"):
        assert arguments(params, method).keys() >= TRAINED_WITH


def arguments(params: dict[str, Any], method: str) -> dict[str, Any]:
    """LLaMA-Factory's arguments of a method; a key that stands in two files is an error."""
    training = Hardware.model_validate(params["hardware"]).training
    if training.config:
        training = training.model_copy(update={"config": str(ROOT / training.config)})
    file = ROOT / "llamafactory_configs" / f"{method}.yaml"
    return method_arguments(file, params["train"][method], training, "params.yaml")


def test_the_paper_s_setting_is_the_paper_s():
    params = composed(backbone="llama3", data="paper", scale="paper")
    for method in ("sft", "dpo"):
        given = arguments(params, method)
        assert (given["lora_rank"], given["lora_alpha"], given["lora_target"]) == (8, 16, "all")
        assert (given["learning_rate"], given["num_train_epochs"]) == (5e-6, 2.0)
        assert (given["per_device_train_batch_size"], given["gradient_accumulation_steps"]) == (4, 2)
        assert (given["early_stopping_steps"], given["warmup_steps"]) == (3, 0.01)
    given = arguments(params, "dpo")
    assert (given["pref_loss"], given["pref_beta"], given["pref_ftx"]) == ("sigmoid", 0.1, 1.0)
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


def test_only_the_smoke_scale_trains_to_its_last_step():
    for scale, patience in (("smoke", None), ("paper", 3)):
        for method in ("sft", "dpo"):
            given = arguments(composed(scale=scale), method)
            found = (given.get("early_stopping_steps"), given.get("load_best_model_at_end", False))
            assert found == (patience, patience is not None)


def test_the_recipe_of_the_tiny_backbone_is_valid_and_fits_the_window():
    recipe = ROOT / "testbed" / "params.yaml"
    read_params("lessons", LessonsParams, recipe)
    read_params("cards", CardsParams, recipe)
    pretrain = read_params("pretrain", PretrainParams, recipe)
    written = load(ROOT / "llamafactory_configs" / "pretrain.yaml")
    assert not written.keys() & {*pretrain.training, "cutoff_len"}
    assert pretrain.window == load(ROOT / "params.yaml")["backbone"]["window"]
    assert load(recipe)["lesson_prompts"] == load(ROOT / "params.yaml")["prompts"]["dir"]


def test_no_backbone_is_asked_for_more_than_its_window():
    for name in CHOICES["backbone"]:
        params = composed(backbone=name)
        window = params["backbone"]["window"]
        lengths = [params["sft_data"], params["contexts"], *params["train"].values()]
        assert max(section["cutoff_len"] for section in lengths) <= window
        # a refined response may become a chosen one: the contexts leave room for it
        assert params["contexts"]["answer_tokens"] >= params["refine"]["sampling"]["max_new_tokens"]


def test_composing_stops_where_it_would_lose_hand_edits(checkout: Path):
    text = (checkout / "params.yaml").read_text().replace("pref_beta: 0.1", "pref_beta: 0.3")
    (checkout / "params.yaml").write_text(text)
    with pytest.raises(
        InputError, match=r"lose hand edits of train\.dpo\.pref_beta: run without SCALE=paper"
    ):
        resolve_params({"scale": "paper"}, [])
    assert (checkout / "params.yaml").read_text() == text
    resolve_params({}, ["headline=m1"])
    assert load(checkout / "params.yaml")["train"]["dpo"]["pref_beta"] == 0.3
    assert load(checkout / "params.yaml")["headline"] == "m1"


def test_the_same_command_composes_again_after_a_run_that_was_ended(checkout: Path):
    command = {"data": "local", "scale": "paper"}, ["data.esconv=own.json"]
    resolve_params(*command)
    composed = (checkout / "params.yaml").read_text()
    resolve_params(*command)
    assert (checkout / "params.yaml").read_text() == composed
    (checkout / "params.yaml").write_text(composed.replace("own.json", "other.json"))
    with pytest.raises(InputError, match=r"lose hand edits of data\.esconv"):
        resolve_params(*command)


def test_what_a_run_left_is_no_hand_edit(checkout: Path):
    resolve_params({"data": "local"}, ["data.esconv=own.json"])
    edited = (checkout / "params.yaml").read_text().replace("own.json", "other.json")
    (checkout / "params.yaml").write_text(edited)
    remember_params()
    resolve_params({"scale": "paper"}, [])
    assert load(checkout / "params.yaml")["data"]["name"] == "mini"


def test_the_loss_is_chosen_by_one_line_and_changes_no_learning_rate():
    settings = {"pref_loss", "pref_beta", "pref_ftx", "simpo_gamma"}
    trained = {}
    for loss in CHOICES["loss"]:
        trained[loss] = composed(loss=loss)["train"]["dpo"]
        assert trained[loss]["pref_loss"] == loss
    assert set(trained) == {*NAMES}
    rest = [{key: value for key, value in one.items() if key not in settings} for one in trained.values()]
    assert all(one == rest[0] for one in rest)


def test_a_loss_that_cannot_be_trained_is_refused_before_a_stage_runs(checkout: Path):
    done = run_here("selfevolve.experiment", "m2", "--set", "train.dpo.pref_loss=kto_pair", cwd=checkout)
    assert done.returncode == 1
    assert "error: train.dpo in params.yaml: field pref_loss: TRL has removed kto_pair" in done.stderr
    assert not (checkout / ".scratch/experiments.json").exists()
    assert not (checkout / "models").exists()


@pytest.mark.parametrize(
    ("groups", "overrides", "message"),
    [
        ({"backbone": "gpt5"}, [], r"conf/backbone: there is no gpt5\.yaml; there are llama3, mistral"),
        ({"loss": "kto_pair"}, [], r"conf/loss: there is no kto_pair\.yaml; there are hinge, ipo, orpo, si"),
        ({}, ["train.dpo.no_such_key=1"], "no_such_key"),
        ({"scale": "paper"}, ["train.dpo.no_such_key=1"], "no_such_key"),
    ],
)
def test_what_does_not_exist_is_named(
    checkout: Path, groups: dict[str, str], overrides: list[str], message: str
):
    before = (checkout / "params.yaml").read_text()
    with pytest.raises(InputError, match=message):
        resolve_params(groups, overrides)
    assert (checkout / "params.yaml").read_text() == before


def test_the_corpora_come_from_where_the_data_group_says(checkout: Path, tmp_path: Path, graph: Graph):
    assert load(checkout / "params.yaml")["data"]["name"] == "mini"
    resolve_params({"data": "paper"}, [])
    of_paper = Graph(tmp_path / "paper", load(checkout / "params.yaml"))
    for made, upstream in ((of_paper, "data/dvc.yaml:fetch@extes"), (graph, "testbed/dvc.yaml:mini")):
        needed = set(made.edges.successors("prepare"))
        assert upstream in needed
        assert any("fetch@" in name for name in needed) == (made is of_paper)
