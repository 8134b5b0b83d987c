"""The runs of the study: which there are, of which parameters each is made, and what is no study."""

import copy
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfevolve.runtime.errors import InputError
from selfevolve.training.configuration import Hardware, method_arguments
from selfevolve.training.losses import Loss
from testbed.study import parameters, sequence
from testbed.study.findings import wanted
from tests.conftest import ROOT
from tests.support.studies import STUDY, load, save, small_params

STAGES = load(ROOT / "testbed/dvc.yaml")["stages"]


def compose(folder: Path, arm: str, seed: int, study: dict[str, Any] = STUDY) -> dict[str, Any]:
    """The parameters of a run of this study."""
    save(folder / "study.yaml", {"study": study})
    save(folder / "params.yaml", small_params())
    arguments = ["--arm", arm, "--seed", str(seed), "--out", str(folder / "run/params.yaml")]
    files = ["--study", str(folder / "study.yaml"), "--params", str(folder / "params.yaml")]
    parameters.main([*arguments, *files])
    return load(folder / "run/params.yaml")


def test_the_study_has_all_seeds_of_the_sources_and_three_of_the_other_controls():
    study = parameters.read_study(ROOT / "testbed/params.yaml")
    seeds = {arm: [run.seed for run in study.runs.values() if run.arm == arm] for arm in study.arms}
    assert {arm for arm, found in seeds.items() if found == study.seeds} == set(wanted().sources.values())
    rest = {arm: found for arm, found in seeds.items() if arm not in wanted().sources.values()}
    assert all(found == [11, 12, 13] for found in rest.values())
    assert {*wanted().controls, *wanted().variants, *wanted().losses} <= set(study.arms)
    chosen = Counter(run.chosen for run in study.runs.values() if run.arm in ("human", "golden", "personal"))
    assert set(chosen) == {"golden"}


def test_a_run_has_its_seed_the_study_s_changes_and_its_arm_s(tmp_path: Path):
    own, swapped = compose(tmp_path, "self", 1), compose(tmp_path, "swapped", 2)
    expected = copy.deepcopy({name: small_params()[name] for name in parameters.SECTIONS})
    for section in ("contexts", "converse", "pair", "refine", "respond", "reward", "sft_data"):
        expected[section]["seed"] = 1
    for trained in expected["train"].values():
        trained["seed"] = 1
    expected["score"]["semantic"], expected["contexts"]["test_limit"] = False, 4
    expected["capability"]["tasks"] = []
    assert own == expected
    assert swapped["pair"]["control"] == "swapped"
    assert {swapped[name]["seed"] for name in ("contexts", "pair", "refine", "respond", "reward")} == {2}
    assert compose(tmp_path, "base", 1) == own


def test_an_arm_may_name_a_folder_of_its_seed(tmp_path: Path):
    study = load(ROOT / "testbed/params.yaml")["study"]
    found = compose(tmp_path, "reward-model", 12, study)["reward"]
    assert (found["by"], found["model"]) == ("model", "testbed/runs/base-12/models/reward")
    assert found["candidates"] == {"direct": 7, "refined": 0}


def test_every_arm_trains_to_its_last_step(tmp_path: Path):
    """Else the loss would choose what is kept, and without the SFT term that is another loss."""
    for arm in load(ROOT / "testbed/params.yaml")["study"]["arms"]:
        file = tmp_path / arm / "params.yaml"
        files = ["--study", str(ROOT / "testbed/params.yaml"), "--params", str(ROOT / "params.yaml")]
        parameters.main(["--arm", arm, "--seed", "1", "--out", str(file), *files])
        for method, trained in load(file)["train"].items():
            training = Hardware.model_validate(load(file)["hardware"]).training
            yaml_file = ROOT / "llamafactory_configs" / f"{method}.yaml"
            assert not method_arguments(yaml_file, trained, training, arm).get("load_best_model_at_end"), arm


def test_capability_is_measured_where_a_finding_compares_it(tmp_path: Path):
    named = [one for one in wanted().effects if "capability" in f"{one.of}{one.minus}"]
    assert [(one.of, one.minus) for one in named] == [
        ("m2.capability", "m0.capability")
    ]  # of self, and of a base
    others = [*wanted().controls.values(), *wanted().variants.values(), *wanted().losses.values()]
    others.append(wanted().of_sources.values())
    assert not [one for several in others for one in several if "capability" in f"{one.of}{one.minus}"]
    study = load(ROOT / "testbed/params.yaml")["study"]
    for arm in ("base", *study["arms"]):
        measured = compose(tmp_path, arm, 11, study)["capability"]["tasks"] != []
        assert measured == (arm in ("base", "self")), arm


def test_an_arm_of_a_loss_is_what_the_pipeline_trains_with_that_loss(tmp_path: Path):
    for loss in wanted().losses:
        parameters.main(["--arm", loss, "--seed", "11", "--out", str(tmp_path / "params.yaml")])
        trained = load(tmp_path / "params.yaml")["train"]["dpo"]
        of_group = load(ROOT / f"conf/loss/{loss}.yaml")["train"]["dpo"]
        assert {key: value for key, value in trained.items() if key in Loss.model_fields} == of_group


def test_dvc_knows_what_parameters_a_run_is_made_of():
    for stage, own in (("base", ["cards", "study.set"]), ("arm", ["study.set", "study.arms.${item.arm}"])):
        *sections, study = STAGES[stage]["do"]["params"]
        assert sections == list(parameters.SECTIONS)
        assert study == {"testbed/params.yaml": own}
    named = set()
    for stage in ("base", "arm"):
        for module in re.findall(r"python -m (stages\.[\w.]+)", " ".join(STAGES[stage]["do"]["cmd"])):
            text = (ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
            named |= set(re.findall(r'(?:load|read)_params\(\s*"(\w+)"', text))
    of_sessions = {"compare", "converse"}  # selfevolve/sessions/command.py, which testbed.converse calls
    assert named | of_sessions == set(parameters.SECTIONS)


def test_the_programs_of_a_run_write_into_its_folder_and_read_nothing_of_another_run():
    for stage, runs in (("base", {"testbed/runs/base-${item}"}), ("arm", {"testbed/runs/${key}"})):
        commands = STAGES[stage]["do"]["cmd"]
        together = commands[0].removeprefix("python -m testbed.study.sequence ")
        programs = [["python", "-m", *program] for program in sequence.programs(together.split())]
        *measured, last = [*(" ".join(program) for program in programs), *commands[1:]]
        assert len(measured) > 12
        for command in measured:
            written = re.findall(r"--(?:out|metrics|curves|details) (\S+)", command)
            assert written
            assert all(path.startswith((*runs, ".scratch/study/${key}/")) for path in written), command
            if not re.search(" (stages.reflections|testbed.study.personal|testbed.cards) ", command):
                assert f"{next(iter(runs))}/params.yaml" in command
        name = next(iter(runs)).removeprefix("testbed/runs/")
        assert re.findall(r"--(?:run|out) (\S+)", last) == [*runs, f"metrics/study/runs/{name}.json"]
        read = set(re.findall(r"testbed/runs/[^/ ]+", " ".join(commands))) - runs
        assert read <= {"testbed/runs/base-${item.seed}"}


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda s: s.update(seeds=[1, 2, 3]), "field study.runs.self-3: the method runs with all seeds"),
        (lambda s: s["runs"]["self-1"].update(chosen="golden"), r"study\.runs\.self-1: .* chooses refined"),
        (lambda s: s.update(seeds=[1, 1]), "field study.seeds: a seed occurs twice"),
        (lambda s: s.update(seeds=[1]), "field study.seeds: "),
        (lambda s: s["runs"]["self-1"].update(seed=2), "the name of this run is self-2"),
        (lambda s: s["arms"].pop("swapped"), "field study.runs.swapped-1: its arm or its seed is none of"),
        (
            lambda s: s["runs"]["swapped-1"].update(contexts="esconv_train", pairs="esconv_train"),
            "field study.runs.swapped-1: responses to contexts of esconv_train are not refined",
        ),
        (
            lambda s: s["runs"]["swapped-1"].update(pairs="esconv_train"),
            "field study.runs.swapped-1.pairs: these are not the run's contexts",
        ),
        (lambda s: s["runs"].pop("swapped-2"), "field study.runs.swapped-1: an arm needs two seeds at least"),
        (lambda s: s["runs"]["swapped-1"].update(chosen="gold"), "field study.runs.swapped-1.chosen: "),
        (lambda s: s["arms"]["self"].update({"pairs.seed": 1}), "field pairs.seed: there is no such section"),
        (lambda s: s["arms"]["self"].update({"pair.seed.x": 1}), "field pair.seed.x: there is no such sect"),
        (lambda s: s["arms"]["self"].update({"pair": 1}), "field pair: there is no such section"),
    ],
)
def test_what_is_no_study_is_named(tmp_path: Path, edit: Callable[[dict[str, Any]], object], message: str):
    study = copy.deepcopy(STUDY)
    edit(study)
    with pytest.raises(InputError, match=f"study.yaml: .*{message}"):
        compose(tmp_path, "self", 1, study)
    assert not (tmp_path / "run").exists()


def test_an_arm_that_does_not_exist_is_named(tmp_path: Path):
    with pytest.raises(InputError, match=r"study\.yaml: there is no arm other; there are self, swapped"):
        compose(tmp_path, "other", 1)
