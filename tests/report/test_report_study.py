"""The study in the report: every number of every model, as mean and standard deviation over the seeds."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.reports import Page, make_report, write_project

STUDY = {"commit": "abc", "seeds": [1, 2, 3]}
CAPTION = "Every model over the seeds"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def one(arm: str, seed: int, **models: dict[str, float]) -> dict[str, Any]:
    return {"arm": arm, "seed": seed, "models": models, "iterations": {}}


def test_every_number_has_its_mean_and_deviation_where_every_seed_has_it(tmp_path: Path):
    runs = [one("base", seed, m0={"meteor_paper": 10.0 + seed}) for seed in (1, 2, 3)]
    runs += [one("self", seed, m2={"own_share": 5.0, "meteor_paper": 20.0}) for seed in (1, 2)]
    runs += [one("self", 3, m2={"meteor_paper": 26.0})]
    write_project(tmp_path, {"metrics/study/study.json": STUDY | {"runs": runs}})
    html, markdown = make_report()
    page = Page(html)
    head = next(table for name, table in page.tables.items() if name.startswith(CAPTION))[0]
    assert head[-1] == "METEOR (paper)"
    row = page.row(CAPTION, "self", "m2")
    assert (row[0], row[1], row[-1]) == ("3", "not available", "22.00 ± 3.46")  # own facts: in two seeds only
    assert page.row(CAPTION, "base", "m0")[-1] == "12.00 ± 1.00"
    assert CAPTION in markdown


def test_the_methods_models_have_their_intervals_over_the_seeds(tmp_path: Path):
    runs = [one("base", seed, m0={"own_share": 9.0 + seed}) for seed in (1, 2, 3)]
    runs += [one("self", seed, m2={"words": 15.0 + seed}) for seed in (1, 2, 3)]
    runs += [one("golden", seed, m2={"own_share": 1.0}) for seed in (1, 2, 3)]
    write_project(tmp_path, {"metrics/study/study.json": STUDY | {"runs": runs}})
    page, caption = Page(make_report()[0]), "The method over the seeds"
    assert page.row(caption, "m0", "3")[0] == "11.00 [8.52, 13.48]"  # t with two degrees of freedom: 4.303
    assert page.row(caption, "m2", "3")[0] == "not available"


def test_a_study_without_its_runs_has_no_such_table(tmp_path: Path):
    write_project(tmp_path, {"metrics/study/study.json": STUDY})
    assert CAPTION not in make_report()[1]


def test_turns_without_contexts_have_no_mean(tmp_path: Path):
    groups = {"2": {"contexts": 0}, "3": {"contexts": 4, "fields_right": 50.0, "wrong": 2.0}, "all": {}}
    runs = [one("base", 1) | {"iterations": {"m1-synesc": {"by_seeker_turns": groups}}}]
    write_project(tmp_path, {"metrics/study/study.json": STUDY | {"runs": runs}})
    page, caption = Page(make_report()[0]), "Reflections of M0 by the number of seeker turns"
    assert page.row(caption, "2") == ["0", *["not available"] * 3]
    assert page.row(caption, "3") == ["4", "50.0", "not available", "2.0"]
    assert page.row(caption, "all")[0] == "0"


def test_each_arm_is_a_point_of_wrong_and_own_facts(tmp_path: Path):
    runs = [one("base", seed, m0={"own_share": 10.0, "wrong": 1.0}) for seed in (1, 2, 3)]
    runs += [one("self", seed, m2={"own_share": 28.0 + seed, "wrong": 4.0 * seed}) for seed in (1, 2, 3)]
    runs += [one("self", 1, m1={"own_share": 90.0, "wrong": 9.0})]  # not its last model
    runs += [one("two", seed, m2={"own_share": 1.0, "wrong": 2.0}) for seed in (1, 2)]  # too wide to draw
    write_project(tmp_path, {"metrics/study/study.json": STUDY | {"runs": runs}})
    html = make_report()[0]
    assert "M0: 10.00; self: 30.00<" in html or 'M0: 10.00; self: 30.00"' in html
