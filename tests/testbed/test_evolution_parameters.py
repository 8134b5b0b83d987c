"""The runs of the evolution: which there are, of which parameters each is made, and what is none."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfevolve.runtime.errors import InputError
from testbed.evolution import __main__ as program
from testbed.evolution.parameters import METHOD, read_evolution, write_params
from testbed.study.parameters import SECTIONS
from tests.conftest import ROOT
from tests.support.studies import load, save

STAGE = load(ROOT / "testbed/dvc.yaml")["stages"]["evolution"]


def params_of(arm: str, seed: int, folder: Path, **changes: Any) -> dict[str, Any]:
    """The parameters of a run of the repository's own evolution."""
    write_params(read_evolution(), arm, seed, changes, folder / "params.yaml")
    return load(folder / "params.yaml")


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_every_arm_has_every_seed_and_starts_from_a_base_of_the_study():
    evolution = read_evolution()
    assert set(evolution.runs.values()) == set(evolution.seeds)
    assert len(evolution.runs) == len(evolution.arms) * len(evolution.seeds)
    assert evolution.arms[0] == METHOD
    study = load(ROOT / "testbed/params.yaml")["study"]
    assert set(evolution.seeds) <= set(study["seeds"])
    assert evolution.set["contexts.parts"] >= evolution.last
    # Else the base's test contexts, and M0's responses to them, were those of another evolution.
    assert not {"contexts.seed", "contexts.test_limit", "contexts.cutoff_len"} & evolution.set.keys()


def test_an_arm_differs_from_the_method_in_what_it_is_named_after(tmp_path: Path):
    method = params_of(METHOD, 11, tmp_path)
    assert method["contexts"]["parts"] == 5
    assert {method[name]["seed"] for name in ("contexts", "pair", "refine", "respond")} == {11}
    assert (method["pair"]["replay"], method["pair"]["too_long"]) == (0.0, "golden")
    assert method["capability"]["tasks"]
    assert set(method) == set(SECTIONS)
    replayed, asked = (params_of(arm, 11, tmp_path)["pair"] for arm in ("replay", "ask-again"))
    assert replayed == method["pair"] | {"replay": 0.5}
    assert asked == method["pair"] | {"too_long": "ask_again"}
    reference = params_of("m0-reference", 11, tmp_path, **{"train.dpo.ref_model": "x"})
    assert reference["train"]["dpo"] == method["train"]["dpo"] | {"ref_model": "x"}
    of_arms = read_evolution().differs
    assert [arm for arm, one in of_arms.items() if one.reference == "m0"] == ["m0-reference"]
    assert [arm for arm, one in of_arms.items() if one.contexts == "same"] == ["same"]


def test_dvc_knows_what_parameters_a_run_is_made_of():
    *sections, own = STAGE["params"]
    assert sections == list(SECTIONS)
    wanted = ["study.set", "evolution.last", "evolution.set", "evolution.differs.${item.arm}"]
    assert own == {"testbed/params.yaml": wanted}
    text = "".join((ROOT / name).read_text() for name in STAGE["deps"] if name.startswith("stages/"))
    read = set(re.findall(r'(?:load|read)_params\(\s*"(\w+)"', text))
    assert read <= set(SECTIONS)


def test_a_run_s_name_gives_its_seed_and_other_names_are_errors():
    evolution = read_evolution()
    assert program.by_seed(["replay-12", "fresh-11", "fresh-12", "fresh-11"], evolution) == {
        12: ["replay-12", "fresh-12"],
        11: ["fresh-11"],
    }
    with pytest.raises(InputError, match=r"evolution\.arms: there is no run self-11; there are fresh-11"):
        program.by_seed(["self-11"], evolution)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda e: e["arms"].append("other"), "field evolution.arms: other stands in one of"),
        (lambda e: e["differs"].update(other={}), "field evolution.arms: other stands in one of"),
        (
            lambda e: (e["arms"].remove("fresh"), e["differs"].pop("fresh")),
            "with fresh, which is missing",
        ),
        (lambda e: e["seeds"].append(99), "field evolution.seeds: 99 is no seed of the study"),
        (lambda e: e["differs"]["same"].update(contexts="other"), "field evolution.differs.same.contexts: "),
        (lambda e: e["differs"]["same"].update(references="m0"), "field evolution.differs.same.references: "),
        (lambda e: e.update(last=1), "field evolution.last: "),
    ],
)
def test_what_is_no_evolution_is_named(
    tmp_path: Path, edit: Callable[[dict[str, Any]], object], message: str
):
    params = load(ROOT / "testbed/params.yaml")
    edit(params["evolution"])
    save(tmp_path / "params.yaml", params)
    with pytest.raises(InputError, match=re.escape("params.yaml: ") + ".*" + re.escape(message)):
        read_evolution(tmp_path / "params.yaml")
