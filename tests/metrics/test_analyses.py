"""stages/analyses/dvc.yaml: what it adds to the graph, and that it stays out of `make m2`."""

import copy
from pathlib import Path

import pytest
import yaml

from selfevolve.experiment.compose import resolve_params
from selfevolve.experiment.registry import Registry
from selfevolve.runtime.parameters import validate
from tests.conftest import ROOT
from tests.support.graphs import Graph

PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
FILE = "stages/analyses/dvc.yaml"


def analyses(graph: Graph) -> set[str]:
    return {name.partition(":")[2] for name in graph.stages if name.startswith(FILE)}


def test_make_m2_needs_no_analysis(graph: Graph):
    registry = validate(Registry, PARAMS, file="params.yaml")
    needed = graph.upstream(registry.targets(registry.chain("m2")))
    assert {"headline", "train@m2"} < needed
    assert not [name for name in needed if name.startswith(FILE)]
    assert {"relevance@m2", "phrases@vanilla", "profile_inference@m0"} < analyses(graph)


def test_an_analysis_needs_what_it_measures_and_no_more(graph: Graph):
    needed = graph.needed(f"{FILE}:relevance@m1")
    assert {"pair@m1", "refine@m1", "sft@m0"} < needed
    assert not {"train@m1", "pair@m2", "score@m0"} & needed
    needed = graph.needed(f"{FILE}:profile_inference@m0")
    assert {"sft@m0", f"{FILE}:inference_refine@m0"} < needed
    assert not {"train@m1", "contexts", "pair@m1"} & needed


@pytest.fixture(scope="module")
def more(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    """The graph with two further test sets and five iterations: lines of params.yaml, and nothing else."""
    params = copy.deepcopy(PARAMS)
    params["unseen"]["sets"] = [{"name": n, "path": f"{n}.json"} for n in ("one", "two")]
    params["contexts"]["parts"] = 5
    talkers = {name: {"policy": f"models/{name}", "prompt": "task"} for name in ("m0", "m2")}
    pairs = {"m0-m2": {"first": "m0", "last": "m2"}}
    params["conversed"]["played"] = {"models": talkers, "pairs": pairs}
    for n in (3, 4, 5):
        line = {"prev": f"m{n - 1}", "dialogues": "synesc", "part": n, "chosen": "refined", "pair": {}}
        params["iterations"][f"m{n}"] = line
        params["models"][f"m{n}"] = {"policy": f"models/m{n}", "prompt": "task", "capability": True}
    chain = validate(Registry, params, file="params.yaml").chain("m5")
    assert chain == ["vanilla", "m0", "m1", "m2", "m3", "m4", "m5"]
    return Graph(tmp_path_factory.mktemp("more"), params)


def test_there_is_no_further_test_set_until_one_is_named(graph: Graph, more: Graph):
    assert not [name for name in analyses(graph) if name.startswith("unseen")]
    added = {name for name in analyses(more) if name.startswith("unseen")}
    models = len(PARAMS["unseen"]["asked"])
    assert len(added) == 2 * 2 + 2 * 4 * models  # two stages a set; four a set and model
    assert f"{FILE}:unseen_refine@set1-model1" in more.needed(f"{FILE}:unseen_profile@set1-model1")
    needed = more.needed(f"{FILE}:unseen_score@set1-model1")
    assert {"sft@m0", "prepare", f"{FILE}:unseen@1"} < needed
    assert not {f"{FILE}:unseen@0", "train@m1"} & needed


def test_five_iterations_are_more_lines(more: Graph):
    assert {f"train@m{n}" for n in (1, 2, 3, 4, 5)} < more.needed("score@m5")
    assert {"relevance@m5", "phrases@m5", "profile_inference@m5"} < analyses(more)


def test_a_further_set_can_be_named_on_the_command_line(checkout: Path):
    resolve_params({}, ["unseen.sets=[{name:mine,path:own/file.json}]"])
    params = yaml.safe_load((checkout / "params.yaml").read_text())
    assert params["unseen"]["sets"] == [{"name": "mine", "path": "own/file.json"}]


def test_nobody_talks_with_played_seekers_until_named(graph: Graph, more: Graph):
    def of_sessions(one: Graph) -> set[str]:
        return {name for name in one.stages if "converse" in name or "sessions" in name}

    world = {name for name in of_sessions(graph) if name.startswith("testbed/")}
    assert of_sessions(graph) == world
    compared = {f"{FILE}:compare_sessions@m0-m2", "stages/judging/dvc.yaml:judge_sessions@m0-m2"}
    assert of_sessions(more) - world == {f"{FILE}:converse@m0", f"{FILE}:converse@m2", *compared}
    for name in compared:
        assert {f"{FILE}:converse@m2", "testbed/dvc.yaml:cards", "train@m2"} < more.needed(name)


def test_the_mini_world_s_sessions_need_models_and_cards_and_no_answers_to_contexts(graph: Graph):
    needed = graph.needed("testbed/dvc.yaml:converse@m0")
    assert {"sft@m0", "testbed/dvc.yaml:cards"} < needed
    assert not {"respond@m0", "train@m1"} & needed
    controls = graph.needed("testbed/dvc.yaml:converse_controls")
    assert f"testbed/dvc.yaml:converse@{PARAMS['conversed']['world']['shuffled']}" in controls
