"""The registry of models: each is a line of params.yaml, made by stages that all models share."""

import copy
import shutil
from pathlib import Path
from typing import Any

import networkx
import pytest
import yaml
from dvc.repo import Repo

from stages import experiment
from stages.prompts.templates import load_prompts
from stages.records.errors import InputError
from tests.conftest import ROOT

PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:dvc")
METHOD = {"vanilla", "m0", "m1", "m2"}
TABLES = {
    2: {"vanilla", "sft-esconv", "sft-synesc", "m0", "m2"},
    3: {"vanilla", "strategies", "self-reflection"},
    4: {"vanilla", "sft-esconv", "m0", "m1", "m2"},
    5: {"vanilla", "hm1", "hm2", "hl1", "hl2", "sr1", "sr2"},
}


class Graph:
    """What DVC makes of the configuration with these parameters, in a repository of its own."""

    def __init__(self, folder: Path, params: dict[str, Any]):
        (folder / "data").mkdir()
        for name in ("dvc.yaml", "data/dvc.yaml"):
            shutil.copyfile(ROOT / name, folder / name)
        (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
        Repo.init(str(folder), no_scm=True)
        index = Repo(str(folder)).index
        self.edges = index.graph  # from a stage to those it depends on
        self.stages = {stage.name: stage for stage in index.stages}

    def upstream(self, targets: list[str]) -> set[str]:
        """The stages that `dvc repro` would look at for these targets."""
        found = {s for name in targets for s in networkx.descendants(self.edges, self.stages[name])}
        return {stage.name for stage in found} | set(targets)


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    return Graph(tmp_path_factory.mktemp("graph"), PARAMS)


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
    targets = experiment.targets(experiment.chain(PARAMS, "m2"), PARAMS["iterations"], PARAMS["comparisons"])
    stages = graph.upstream(targets)
    assert {name.partition("@")[2] for name in stages if "@" in name} == METHOD
    assert {f"capability@{model}" for model in METHOD} | {"headline", "sample"} <= stages


def test_the_models_on_the_way_follow_from_the_iterations():
    params = copy.deepcopy(PARAMS)
    assert experiment.chain(params, "m0") == ["vanilla", "m0"]
    assert experiment.chain(params, "m2") == ["vanilla", "m0", "m1", "m2"]
    assert experiment.chain(params, "vanilla") == ["vanilla"]
    assert experiment.chain(params, "sft-esconv") == ["vanilla", "sft-esconv"]
    assert experiment.chain(params, "hm2") == ["vanilla", "hm1", "hm2"]
    params["iterations"]["m3"] = {"prev": "m2", "dialogues": "synesc", "part": 1, "chosen": "refined"}
    with pytest.raises(InputError, match="there is no m3"):
        experiment.chain(params, "m3")
    params["models"]["m3"] = {"policy": "models/m3", "prompt": "task", "capability": True}
    assert experiment.chain(params, "m3")[-2:] == ["m2", "m3"]
    params["iterations"]["m1"]["prev"] = "m3"
    with pytest.raises(InputError, match="circle"):
        experiment.chain(params, "m3")


def test_one_more_iteration_is_one_more_line_in_two_places(tmp_path: Path):
    params = copy.deepcopy(PARAMS) | {"headline": "m3"}
    params["iterations"]["m3"] = {"prev": "m2", "dialogues": "synesc", "part": 1, "chosen": "refined"}
    params["models"]["m3"] = {"policy": "models/m3", "prompt": "task", "capability": True}
    targets = experiment.targets(experiment.chain(params, "m3"), params["iterations"], params["comparisons"])
    stages = Graph(tmp_path, params).upstream(targets)
    for stage in ("reject", "refine", "pair", "train", "respond", "score", "facts", "capability"):
        assert f"{stage}@m3" in stages
    assert {"headline", "sample", "reflections@m3", "train@m2"} < stages


def test_models_that_are_compared_are_models():
    for key, pair in PARAMS["comparisons"].items():
        assert list(pair) == ["first", "last"]
        assert set(pair.values()) <= PARAMS["models"].keys(), key
        assert key == f"{pair['first']}-{pair['last']}"
