"""The registry of models: each is a line of params.yaml, made by stages that all models share."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from selfevolve.experiment.registry import Registry
from selfevolve.prompts.templates import load_prompts
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.parameters import validate
from testbed.study.findings import wanted
from testbed.study.parameters import read_study
from tests.conftest import ROOT
from tests.support.graphs import Graph

PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
METHOD = {"vanilla", "m0", "m1", "m2"}
TABLES = {
    2: {"vanilla", "sft-esconv", "sft-synesc", "m0", "m2"},
    3: {"vanilla", "strategies", "self-reflection"},
    4: {"vanilla", "sft-esconv", "m0", "m1", "m2"},
    5: {"vanilla", "hm1", "hm2", "hl1", "hl2", "sr1", "sr2"},
}


def registry(params: dict[str, Any]) -> Registry:
    return validate(Registry, params, file="params.yaml")


def test_every_row_of_the_paper_s_tables_is_a_model():
    assert set(PARAMS["models"]) == set().union(*TABLES.values())
    assert {name for name, model in PARAMS["models"].items() if model["capability"]} == TABLES[4]
    prompts = {name: PARAMS["models"][name]["prompt"] for name in TABLES[3]}
    assert prompts == {"vanilla": "plain", "strategies": "task", "self-reflection": "self_reflection"}
    assert {PARAMS["models"][name]["policy"] for name in TABLES[3]} == {"models/backbone"}
    for model in PARAMS["models"].values():
        load_prompts(ROOT / PARAMS["prompts"]["dir"]).text(model["prompt"])


def test_every_policy_is_made_by_one_stage_and_every_input_by_another(graph: Graph):
    made = {out.def_path for stage in graph.stages.values() for out in stage.outs}
    assert {model["policy"] for model in PARAMS["models"].values()} <= made
    needed = {dep.def_path for stage in graph.stages.values() for dep in stage.deps}
    work = {path for path in needed if path.startswith(("data/", "models/", "metrics/"))}
    work -= {"data/empty.jsonl"}  # stands for no dialogues, and is Git's
    assert len(work) > 30
    for path in work:
        assert {path, *map(str, Path(path).parents)} & made, path
    # what is in a folder that a stage makes is only known to that stage's command
    parts = {f"{name}-{n}" for name in ("synesc", "esconv_train") for n in (1, 2)}
    asked = {path for path in needed if path.startswith("data/contexts/")}
    assert asked == {f"data/contexts/{name}.jsonl" for name in {*parts, "test"}}
    cut = graph.stages["contexts"].cmd
    assert all(f"data/dialogues/{name}.jsonl" in cut for name in ("synesc", "esconv_train"))


def test_table_5_begins_at_the_backbone_and_each_source_has_its_data(graph: Graph):
    stages = graph.stages
    expected = {"hm": ("esconv_train", "golden"), "hl": ("synesc", "golden"), "sr": ("synesc", "refined")}
    for source, (dialogues, chosen) in expected.items():
        for number, previous in ((1, "backbone"), (2, f"{source}1")):
            name = f"{source}{number}"
            assert f"--policy models/{previous} " in stages[f"train@{name}"].cmd
            for stage in ("reject", "refine"):
                assert f"--policy models/{previous} " in stages[f"{stage}@{name}"].cmd
            pairs = stages[f"pair@{name}"].cmd
            assert f"--chosen {chosen} " in pairs
            assert f"--contexts data/contexts/{dialogues}-{number}.jsonl" in pairs


def test_the_study_has_table_5_s_sources_as_the_registry_has():
    """But for where they begin: arms of a seed share M0, table 5 begins at the raw backbone."""
    runs = read_study(ROOT / "testbed/params.yaml").runs.values()
    for source, name in {"{SR, P}": "sr", "{HL, P}": "hl", "{HM, P}": "hm"}.items():
        used = {(run.contexts, run.chosen) for run in runs if run.arm == wanted().sources[source]}
        for number in (1, 2):
            line = PARAMS["iterations"][f"{name}{number}"]
            assert used == {(line["dialogues"], line["chosen"])}
            assert line["part"] == number


def test_the_sft_baselines_differ_from_m0_in_what_they_learn_from(graph: Graph):
    stages = graph.stages
    given = {name: stages[f"sft_data@{name}"].cmd for name in ("m0", "sft-esconv", "sft-synesc")}
    assert "esconv_train.jsonl --replay alpaca" in given["m0"]
    assert "esconv_train.jsonl --replay none" in given["sft-esconv"]
    assert "synesc.jsonl --replay none" in given["sft-synesc"]
    outs = {out.def_path for stage in ("sft_data@m0", "sft@m0") for out in stages[stage].outs}
    places = {"data/m0/sft", "metrics/m0/sft_data.json", "models/m0", "metrics/m0/training.json"}
    assert outs == places | {"metrics/m0/curves.csv"}


def test_make_m2_makes_the_models_on_its_way_and_no_others(graph: Graph):
    targets = registry(PARAMS).targets(registry(PARAMS).chain("m2"))
    stages = graph.upstream(targets)
    compared = {name.partition("@")[2] for name in stages if name.startswith("compare@")}
    pairs = PARAMS["comparisons"].items()
    assert compared == {key for key, pair in pairs if set(pair.values()) <= METHOD}
    assert {name.partition("@")[2] for name in stages if "@" in name} - compared == METHOD
    assert {f"capability@{model}" for model in METHOD} | {"headline", "sample"} <= stages


def test_the_models_on_the_way_follow_from_the_iterations():
    params = copy.deepcopy(PARAMS)
    assert registry(params).chain("m0") == ["vanilla", "m0"]
    assert registry(params).chain("m2") == ["vanilla", "m0", "m1", "m2"]
    assert registry(params).chain("vanilla") == ["vanilla"]
    assert registry(params).chain("sft-esconv") == ["vanilla", "sft-esconv"]
    assert registry(params).chain("hm2") == ["vanilla", "hm1", "hm2"]
    params["iterations"]["m3"] = params["iterations"]["m2"] | {"prev": "m2"}
    with pytest.raises(InputError, match="there is no m3"):
        registry(params).chain("m3")
    params["models"]["m3"] = {"policy": "models/m3", "prompt": "task", "capability": True}
    assert registry(params).chain("m3")[-2:] == ["m2", "m3"]
    params["iterations"]["m1"]["prev"] = "m3"
    with pytest.raises(InputError, match="circle"):
        registry(params).chain("m3")


def test_one_more_iteration_is_one_more_line_in_two_places(tmp_path: Path):
    params = copy.deepcopy(PARAMS) | {"headline": "m3"}
    params["iterations"]["m3"] = params["iterations"]["m2"] | {"prev": "m2"}
    params["models"]["m3"] = {"policy": "models/m3", "prompt": "task", "capability": True}
    targets = registry(params).targets(registry(params).chain("m3"))
    stages = Graph(tmp_path, params).upstream(targets)
    for stage in ("reject", "refine", "rank", "pair", "train", "respond", "score", "capability"):
        assert f"{stage}@m3" in stages
    assert {"headline", "sample", "reflections@m3", "train@m2"} < stages


def test_the_pairs_of_an_iteration_may_replay_earlier_ones(tmp_path: Path):
    params = copy.deepcopy(PARAMS)
    folders = ["data/m1/preferences", "data/m2/preferences"]
    params["iterations"]["m3"] = params["iterations"]["m2"] | {"prev": "m2", "pair": {"earlier": folders}}
    params["models"]["m3"] = params["models"]["m2"] | {"policy": "models/m3"}
    registry(params)
    graph = Graph(tmp_path, params)
    assert f" --earlier {' '.join(folders)} --out data/m3/preferences " in graph.stages["pair@m3"].cmd
    assert "--earlier" not in graph.stages["pair@m1"].cmd
    assert {"pair@m1", "pair@m2"} <= graph.upstream(["pair@m3"])  # DVC makes the folders first


def test_a_comparison_is_named_after_its_models():
    for key, pair in PARAMS["comparisons"].items():
        assert key == f"{pair['first']}-{pair['last']}"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p.update(headline="m9"), "field headline: there is no m9"),
        (lambda p: p["models"].pop("m2"), "field headline: there is no m2"),
        (lambda p: p["iterations"].pop("hl1"), r"field iterations\.hl2\.prev: there is no hl1"),
        (lambda p: p["iterations"].pop("hl2"), r"field models\.hl2\.policy: there is no models/hl2"),
        (lambda p: p["sft"].pop("sft-esconv"), r"field models\.sft-esconv\.policy: there is no models/sft-"),
        (lambda p: p["models"].pop("m1"), r"field comparisons\.m0-m1\.last: there is no m1"),
        (lambda p: p["judged"]["models"].append("m7"), r"field judged\.models\.3: there is no m7"),
        (
            lambda p: p["judged"]["pairs"].update(x={"first": "m7", "last": "m1"}),
            r"field judged\.pairs\.x\.first: there is no m7",
        ),
        (
            lambda p: p["conversed"]["played"]["models"].update(m7={"policy": "models/m1", "prompt": "task"}),
            r"field conversed\.played\.models: there is no m7; there are ",
        ),
        (
            lambda p: p["conversed"]["world"]["models"]["m1"].update(policy="models/m7"),
            r"field conversed\.world\.models\.m1\.policy: there is no models/m7",
        ),
        (
            lambda p: p["conversed"]["world"]["pairs"].update(x={"first": "hl1", "last": "m1"}),
            r"field conversed\.world\.pairs\.x\.first: there is no hl1",
        ),
        (
            lambda p: p["conversed"]["world"].update(shuffled="hl1"),
            r"field conversed\.world\.shuffled: there is no hl1",
        ),
        (lambda p: p["contexts"].update(parts=1), r"field iterations\.m2\.part: there is no 2; there are 1,"),
        (lambda p: p["iterations"]["m1"].pop("chosen"), r"field iterations\.m1\.chosen: missing field"),
        (
            lambda p: p["iterations"]["m1"]["pair"].update(earlier=["data/m2/preferences"]),
            r"field iterations\.m1\.pair\.earlier: there is no data/m2/preferences; there are ,",
        ),
        (
            lambda p: p["iterations"]["m2"]["pair"].update(earlier=["data/hm1/preferences"]),
            r"field iterations\.m2\.pair\.earlier: .* data/hm1/pref.*; there are data/m1/preferences,",
        ),
        (lambda p: p["drifted"].update(m1="vanilla"), r"field drifted\.m1: there is no vanilla; there are "),
        (lambda p: p["drifted"].update(m9="m0"), r"field drifted\.m9: there is no m9; there are "),
        (
            lambda p: p["unseen"].update(
                sets=[{}], asked=[{"name": "x", "policy": "models/x", "prompt": "task"}]
            ),
            r"field unseen\.asked\.x\.policy: there is no models/x",
        ),
    ],
)
def test_what_is_taken_out_in_one_place_only_is_named(change: Callable[[dict[str, Any]], Any], message: str):
    params = copy.deepcopy(PARAMS)
    registry(params)
    change(params)
    with pytest.raises(InputError, match=message):
        registry(params)


def test_an_iteration_that_is_taken_out_everywhere_leaves_nothing_behind(tmp_path: Path):
    params = copy.deepcopy(PARAMS) | {"headline": "m1"}
    for section in ("iterations", "models"):
        del params[section]["m2"]
    pairs = params["comparisons"].items()
    params["comparisons"] = {key: pair for key, pair in pairs if "m2" not in pair.values()}
    params["judged"] = {"models": ["m1"], "pairs": {"m0-m1": params["judged"]["pairs"]["m0-m1"]}}
    world = params["conversed"]["world"]
    params["conversed"]["world"] = {
        "models": {name: talker for name, talker in world["models"].items() if name != "m2"},
        "pairs": {"m0-m1": world["pairs"]["m0-m1"]},
        "shuffled": "m1",
    }
    del params["drifted"]["m2"]
    registry(params)
    stages = Graph(tmp_path, params).stages.values()
    paths = [item.def_path for stage in stages for item in (*stage.deps, *stage.outs)]
    assert not [path for path in paths if "m2" in Path(path).parts]


def test_a_policy_of_your_own_needs_no_stage():
    params = copy.deepcopy(PARAMS)
    params["models"]["own"] = {"policy": "../own", "prompt": "task", "capability": False}
    registry(params)
