"""Every stage depends on exactly the code that it runs, so that changed code is never served old results."""

import copy
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT
from tests.support.closures import CODE, closure, dvc_files, imported, module_file, problems, scripts, stages

ALL = [
    pytest.param(stage, id=f"{file.relative_to(ROOT).parent.as_posix()}:{name}")
    for file in dvc_files()
    for name, stage in stages(file)
]
CONF = [yaml.safe_load(file.read_text()) for file in (ROOT / "conf/engine").glob("*.yaml")]
ENGINES = sorted({conf["engine"]["code"] for conf in CONF})


@pytest.mark.parametrize("stage", ALL)
def test_a_stage_depends_on_exactly_the_code_that_it_runs(stage: dict[str, Any]):
    assert problems(stage) == []


@pytest.mark.parametrize("stage", [one for one in ALL if "${engine.code}" in one.values[0]["deps"]])
@pytest.mark.parametrize("engine", ENGINES)
def test_with_any_engine_a_stage_depends_on_that_engine_s_code(stage: dict[str, Any], engine: str):
    assert problems(stage, engine) == []


@pytest.mark.parametrize("stage", ALL)
def test_a_deleted_dependency_is_found(stage: dict[str, Any]):
    for dep in [dep for dep in stage["deps"] if dep.startswith(("stages/", "selfevolve/"))]:
        less = {**stage, "deps": [other for other in stage["deps"] if other != dep]}
        assert [line for line in problems(less) if line.startswith(f"missing: {dep}")], dep


def test_an_added_dependency_is_found():
    stage = copy.deepcopy(dict(stages(ROOT / "dvc.yaml"))["prepare"])
    stage["deps"] += ["selfevolve/report", "selfevolve/data/cleaning.py"]
    assert problems(stage) == ["superfluous: selfevolve/report", "twice: selfevolve/data"]


def test_a_local_engine_s_texts_do_not_depend_on_servers_or_ray():
    for name in ("reject", "refine", "respond"):
        deps = dict(stages(ROOT / "dvc.yaml"))[name]["deps"]
        assert "${engine.code}" in deps
        assert not [dep for dep in deps if dep.startswith("selfevolve/engines")]


def test_every_script_in_stages_is_run_by_a_dvc_file():
    run = {file for one in ALL for file in scripts(one.values[0])}
    written = {file for file in (ROOT / "stages").rglob("*.py") if file.name != "__init__.py"}
    assert written == {file for file in run if file.is_relative_to(ROOT / "stages")}


def test_arrows_point_down():
    """The library uses none of its users, the three side packages use each other only as agreed."""
    allowed = {
        "selfevolve": set(),
        "stages": {"selfevolve"},
        "testbed": {"selfevolve", "stages"},  # its evolution is a loop over the pipeline's own stages
        "rating": {"selfevolve"},
        "bench": {"selfevolve", "testbed"},
    }
    for package, uses in allowed.items():
        for file in (ROOT / package).rglob("*.py"):
            others = {path.relative_to(ROOT).parts[0] for path in imported(file)} - {package}
            assert others <= uses, file.relative_to(ROOT)


def test_the_path_to_m2_reaches_no_side_package():
    names = ("prepare", "sft_data", "train", "contexts", "respond", "refine", "pair", "score", "compare")
    files = closure(file for name in names if (file := module_file(f"stages.{name}")))
    assert {file.relative_to(ROOT).parts[0] for file in files} == {"stages", "selfevolve"}


def test_no_two_files_import_each_other():
    files = [file for package in CODE for file in (ROOT / package).rglob("*.py")]
    below = {file: closure(imported(file)) for file in files}
    assert not [str(file.relative_to(ROOT)) for file in files if file in below[file]]
