"""Which runs are made, and the tables of their files alone: which count, are named, are refused."""

import json
from pathlib import Path

import pytest

from selfevolve.runtime.errors import InputError
from testbed.study import tables
from testbed.study.__main__ import by_seed
from testbed.study.findings import Run, run_of
from testbed.study.parameters import read_study
from tests.support.runs import arm, base, file_of
from tests.support.studies import STUDY, save
from tests.testbed.test_findings_tables import cells


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone's folder with a study of two seeds in which the method and one control were run."""
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "testbed/params.yaml", {"study": STUDY})
    for seed in (1, 2):
        write(base(seed))
        write(arm(seed, 30.0 + seed, 41.0))
        write(arm(seed, 3.0, 2.0 + seed, "swapped"))
    return tmp_path


def write(run: Run, **made: str) -> None:
    """Put a run's file where the tables look for it."""
    tables.RUNS.mkdir(parents=True, exist_ok=True)
    text = file_of(run, **made).model_dump_json()
    (tables.RUNS / f"{run.arm}-{run.seed}.json").write_text(text)


def remove(name: str) -> None:
    (tables.RUNS / f"{name}.json").unlink()


def published() -> tuple[dict, str]:
    """What study.json and README.md say after the tables were made."""
    tables.main([])
    return json.loads((tables.OUT / "study.json").read_text()), (tables.OUT / "README.md").read_text()


def test_a_run_s_numbers_come_back_from_its_file():
    for run in (base(1), arm(2, 30.0, 40.0), arm(1, 3.0, 2.0, "swapped", capability=50.0)):
        assert run_of(file_of(run), Path("file.json")) == run


def test_the_same_files_give_the_same_tables_whenever_they_are_made(folder: Path):
    study, page = published()
    assert (study["commit"], study["seeds"]) == ("abc", [1, 2])
    assert cells(page, "swapped", "m2")[1] == "3.50 ± 0.71"
    assert "golden: not run" in study["not_available"]
    before = [(tables.OUT / name).read_bytes() for name in ("study.json", "README.md")]
    published()
    assert [(tables.OUT / name).read_bytes() for name in ("study.json", "README.md")] == before


def test_a_missing_run_is_named_and_an_arm_with_one_seed_is_left_out(
    folder: Path, capsys: pytest.CaptureFixture[str]
):
    remove("swapped-2")
    study, page = published()
    assert study["controls"] == []
    lines = ["swapped-2: not run", "swapped: has 1 seed to compare, and needs 2"]
    assert study["not_available"][-2:] == lines
    printed = capsys.readouterr().out
    assert f"left out of the tables: {lines[1]}" in printed
    assert "runs that are missing: swapped-2\n" in printed
    assert all(line in page for line in lines)


def test_a_run_without_the_method_s_of_its_seed_is_left_out(folder: Path):
    params = STUDY | {"seeds": [1, 2, 3], "runs": dict(STUDY["runs"])}
    for name in ("self", "swapped"):
        params["runs"][f"{name}-3"] = STUDY["runs"][f"{name}-1"] | {"seed": 3}
    save(folder / "testbed/params.yaml", {"study": params})
    write(base(3))
    write(arm(3, 3.0, 2.0, "swapped"))
    study, _ = published()
    assert study["seeds"] == [1, 2]
    assert {row["seeds"] for row in study["controls"]} == {2}
    assert study["not_available"][-2:] == [
        "self-3: not run",
        "swapped-3: there is no self-3 to compare it with",
    ]


def test_without_two_seeds_of_the_method_there_are_no_tables(folder: Path):
    remove("self-2")
    with pytest.raises(InputError, match="runs: no tables: they need 2 seeds of self, and 1 are there"):
        tables.main([])
    assert not (tables.OUT / "README.md").exists()


def test_runs_of_another_commit_or_m0_are_named(folder: Path):
    write(arm(2, 3.0, 2.0, "swapped"), commit="def", m0="2")
    study, page = published()
    expected = "abc; of def: swapped-2; from another M0 than their base's: swapped-2"
    assert study["commit"] == expected
    assert f"Of commit {expected}, seeds 1, 2" in page


def test_a_run_of_another_backbone_is_refused(folder: Path):
    write(arm(2, 3.0, 2.0, "swapped"), backbone="2")
    message = r"swapped-2\.json: field made_of\.models/backbone: is not that of base-1"
    with pytest.raises(InputError, match=message):
        tables.main([])


def test_a_file_that_is_no_run_of_this_study_is_named(folder: Path):
    write(arm(4, 3.0, 2.0))
    with pytest.raises(InputError, match=r"self-4\.json: is no run of the study"):
        tables.main([])
    remove("self-4")
    (tables.RUNS / "swapped-2.json").write_text(file_of(arm(2, 3.0, 2.0)).model_dump_json())
    with pytest.raises(InputError, match=r"swapped-2\.json: is of the run self-2"):
        tables.main([])
    remove("base-2")
    write(arm(2, 3.0, 2.0, "swapped"))
    with pytest.raises(InputError, match=r"self-2\.json: needs base-2\.json beside it"):
        tables.main([])


def test_runs_are_made_seed_by_seed_and_a_base_may_be_named_alone(folder: Path):
    study = read_study(folder / "testbed/params.yaml")
    assert by_seed(["self-2", "swapped-1", "self-2", "swapped-2"], study) == {
        2: ["self-2", "swapped-2"],
        1: ["swapped-1"],
    }
    assert by_seed(["base-1", "self-2"], study) == {1: [], 2: ["self-2"]}
    with pytest.raises(InputError, match=r"there is no run self-3; there are base-1, base-2, self-1"):
        by_seed(["self-1", "self-3"], study)
