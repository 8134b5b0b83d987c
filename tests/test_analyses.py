"""analyses/dvc.yaml: what it adds to the graph, and that it stays out of `make m2`."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx
import pytest
import yaml

from stages import experiment
from tests.conftest import ROOT

Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The pipelines and parameters alone, in a repository of their own."""
    for name in ("params.yaml", "dvc.yaml", "data/dvc.yaml", "analyses/dvc.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], cwd=tmp_path, check=True)
    return tmp_path


def graph_of(folder: Path, change: Change = lambda _: None) -> "networkx.DiGraph[str]":
    """The graph of all stages by their addresses; an edge leads to what a stage needs."""
    from dvc.repo import Repo

    params = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
    change(params)
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    with Repo(str(folder)) as repo:
        for file in ("dvc.yaml", "data/dvc.yaml", "analyses/dvc.yaml"):
            repo.stage.collect(str(folder / file))  # says what is wrong in it, which the index does not
        graph = repo.index.graph
        names = {stage: stage.addressing.removeprefix(f"{folder}/") for stage in graph}
        return networkx.relabel_nodes(graph, names)


def analyses(graph: "networkx.DiGraph[str]") -> set[str]:
    return {name.partition(":")[2] for name in graph if name.startswith("analyses/")}


def test_make_m2_needs_no_analysis(checkout: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(checkout)
    graph = graph_of(checkout)
    params = yaml.safe_load((checkout / "params.yaml").read_text())
    targets = experiment.targets(experiment.chain(params, "m2"), params["iterations"], params["comparisons"])
    needed = {name for target in targets for name in (target, *networkx.descendants(graph, target))}
    assert {"headline", "train@m2"} < needed
    assert not [name for name in needed if name.startswith("analyses/")]
    assert {"relevance@m2", "phrases@vanilla", "profile_inference@m0"} < analyses(graph)


def test_an_analysis_needs_what_it_measures_and_no_more(checkout: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(checkout)
    graph = graph_of(checkout)
    needed = networkx.descendants(graph, "analyses/dvc.yaml:relevance@m1")
    assert {"pair@m1", "refine@m1", "sft@m0"} < needed
    assert not {"train@m1", "pair@m2", "score@m0"} & needed
    needed = networkx.descendants(graph, "analyses/dvc.yaml:profile_inference@m0")
    assert {"sft@m0", "analyses/dvc.yaml:inference_refine@m0"} < needed
    assert not {"train@m1", "contexts", "pair@m1"} & needed


def test_there_is_no_further_test_set_until_one_is_named(checkout: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(checkout)
    assert not [name for name in analyses(graph_of(checkout)) if name.startswith("unseen")]

    def name_two(params: dict[str, Any]) -> None:
        params["unseen"]["sets"] = [{"name": n, "path": f"{n}.json"} for n in ("one", "two")]

    graph = graph_of(checkout, name_two)
    added = {name for name in analyses(graph) if name.startswith("unseen")}
    models = len(yaml.safe_load((checkout / "params.yaml").read_text())["unseen"]["asked"])
    assert len(added) == 2 * 2 + 2 * 2 * models
    needed = networkx.descendants(graph, "analyses/dvc.yaml:unseen_score@set1-model1")
    assert {"sft@m0", "prepare", "analyses/dvc.yaml:unseen@1"} < needed
    assert not {"analyses/dvc.yaml:unseen@0", "train@m1"} & needed


def test_five_iterations_are_more_lines(checkout: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(checkout)

    def up_to_m5(params: dict[str, Any]) -> None:
        params["contexts"]["parts"] = 5
        for n in (3, 4, 5):
            line = {"prev": f"m{n - 1}", "dialogues": "synesc", "part": n, "chosen": "refined"}
            params["iterations"][f"m{n}"] = line
            params["models"][f"m{n}"] = {"policy": f"models/m{n}", "prompt": "task", "capability": True}

    graph = graph_of(checkout, up_to_m5)
    chain = {f"train@m{n}" for n in (1, 2, 3, 4, 5)}
    assert chain < networkx.descendants(graph, "score@m5")
    assert {"relevance@m5", "phrases@m5", "profile_inference@m5"} < analyses(graph)
    params = yaml.safe_load((checkout / "params.yaml").read_text())
    assert experiment.chain(params, "m5") == ["vanilla", "m0", "m1", "m2", "m3", "m4", "m5"]


def test_a_further_set_can_be_named_on_the_command_line(checkout: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(checkout)
    experiment.settle_params({}, ["unseen.sets=[{name:mine,path:own/file.json}]"])
    params = yaml.safe_load((checkout / "params.yaml").read_text())
    assert params["unseen"]["sets"] == [{"name": "mine", "path": "own/file.json"}]


def test_every_stage_names_its_script_and_its_rooms():
    """What a stage imports is among its dependencies, so that changed code is never served old results."""
    stages = yaml.safe_load((ROOT / "analyses/dvc.yaml").read_text(encoding="utf-8"))["stages"]
    for name, stage in stages.items():
        stage = stage.get("do", stage)
        script = stage["cmd"].split()[2].removeprefix("stages.")
        assert f"stages/{script}.py" in stage["deps"], name
        for line in (ROOT / "stages" / f"{script}.py").read_text().splitlines():
            if line.startswith("from stages"):
                module = line.split()[1].replace(".", "/")
                names = [module, str(Path(module).parent), f"{module}.py"]
                names += [f"{module}/{part.strip()}.py" for part in line.partition("import ")[2].split(",")]
                assert any(one in stage["deps"] for one in names), f"{name}: {module}"
