"""The tables of the evolution: what is over seeds, what is tested, where rules stop, what is refused."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import publish_json
from testbed.evolution import tables
from testbed.evolution.results import Evolved, Rule, best, measures
from testbed.evolution.rules import rules, stops
from testbed.study.run_file import RunFile
from tests.conftest import ROOT
from tests.support.studies import load

CONTEXTS = [f"d{number}#1" for number in range(12)]
PARAMS = str(ROOT / "testbed/params.yaml")


def run_file(
    arm: str, seed: int, own: Sequence[float], margins: Sequence[float] = (), **more: Any
) -> RunFile:
    """A run with these shares of own facts, one a model, and these low ends of margins, one an iteration."""
    metrics: dict[str, Any] = {}
    responses: dict[str, Any] = {}
    for model, share in enumerate(own):
        metrics[f"m{model}/facts"] = {"own_share": share, "wrong": 2.0, "words": 15.0 + model, "garbled": 0.0}
        metrics[f"m{model}/text"] = {"paper": {"distinct_2": 95.0 - model + seed / 10}}
        metrics[f"m{model}/personalisation"] = {"auc": 60.0 + model}
        metrics[f"m{model}/drift"] = {"divergence": {"backbone": {"mean": 0.1 * model + seed / 100}}}
        values: list[float | None] = [share + number % 3 for number, _ in enumerate(CONTEXTS)]
        responses[f"m{model}"] = {"own_share": [None, *values[1:]]}
    for model, low in enumerate(margins, start=1):
        kept = {"mean": low + 0.1, "low": low, "high": low + 0.2}
        metrics[f"m{model}/training"] = {"kept": {"reward_margin": kept}}
        metrics[f"m{model}/preferences"] = {"pairs": 80 + seed, "chosen_source": {"refined": 70}}
    metrics["m0/capability"] = metrics[f"m{len(own) - 1}/capability"] = {
        "score": {"average": 50.0 + len(arm)}
    }
    made_of = {"models/backbone": "b", "data/dialogues": "d"}
    return RunFile(
        arm=arm,
        seed=seed,
        commit="abc",
        made_of=made_of | more,
        seconds=1,
        machine={},
        metrics=metrics,
        contexts=dict.fromkeys(responses, CONTEXTS),
        responses=responses,
    )


FRESH = {
    11: run_file("fresh", 11, [10, 14, 18, 17], [0.3, 0.2, -0.1]),
    12: run_file("fresh", 12, [12, 15, 21, 20], [0.3, -0.2, -0.1]),
    13: run_file("fresh", 13, [11, 16, 19, 19], [0.4, 0.2, 0.1]),
}
REPLAY = {seed: run_file("replay", seed, [10, 15, 20, 25 + seed - 11], [0.3] * 3) for seed in (11, 12)}
METHOD = {seed: Evolved(made) for seed, made in FRESH.items()}


def made(folder: Path, runs: Sequence[RunFile]) -> dict[str, Any]:
    """Write the runs' files, make the tables, and return evolution.json."""
    for one in runs:
        publish_json(folder / f"runs/{one.arm}-{one.seed}.json", one.model_dump())
    tables.main(["--runs", str(folder / "runs"), "--out", str(folder), "--params", PARAMS])
    return json.loads((folder / "evolution.json").read_text())


def row(rows: list[dict[str, Any]], **heads: Any) -> dict[str, Any]:
    (found,) = [one for one in rows if heads.items() <= one.items()]
    return found


def test_models_and_iterations_are_means_over_the_seeds_of_an_arm(tmp_path: Path):
    found = made(tmp_path, [*FRESH.values(), *REPLAY.values()])
    assert (found["last"], found["seeds"]) == (3, {"fresh": [11, 12, 13], "replay": [11, 12]})
    second = row(found["models"], arm="fresh", model="M2")
    assert (second["seeds"], second["own_share"]["mean"]) == (3, pytest.approx(58 / 3))
    assert second["own_share"]["low"] < 58 / 3 < second["own_share"]["high"]
    assert "capability" not in second
    assert row(found["models"], arm="replay", model="M3")["capability"]["mean"] == 56.0
    assert row(found["iterations"], arm="fresh", model="M1")["margin"]["mean"] == pytest.approx(1.3 / 3)
    assert len(found["models"]) == 2 * 4
    assert len(found["iterations"]) == 2 * 3


def test_steps_and_arms_are_differences_within_a_seed_with_one_correction_over_all(tmp_path: Path):
    found = made(tmp_path, [*FRESH.values(), *REPLAY.values()])
    step = row(found["steps"], number=measures().models["own_share"].label, step="M2 - M1")
    assert step["mean"] == pytest.approx((4 + 6 + 3) / 3)
    assert step["p"] == pytest.approx(0.001, abs=0.0009)  # single responses, all of which gain
    assert step["p_holm"] > step["p"]
    unchanged = row(found["steps"], number=measures().models["wrong"].label, step="M2 - M1")
    assert (unchanged["mean"], unchanged["p"], unchanged["p_holm"]) == (0, 1, 1)
    arm = row(found["arms"], arm="replay", number=measures().models["own_share"].label)
    assert (arm["seeds"], arm["mean"]) == (2, 7.0)  # 25 - 17 and 26 - 20: not against the third seed
    assert not [one for one in found["arms"] if one["arm"] == "fresh"]


def test_a_rule_stops_at_its_bound_and_keeps_the_model_that_it_names():
    margin = Rule(name="margin", of="training.kept.reward_margin.low", at_most=0, keeps="before")
    assert [run.kept_by(margin) for run in METHOD.values()] == [(2, True), (1, True), (3, False)]
    words = Rule(name="words", of="facts.words", at_least=17, keeps="this")
    assert [run.kept_by(words) for run in METHOD.values()] == [(2, True)] * 3
    absent = Rule(name="absent", of="relevance.margin.low", at_most=0, keeps="before")
    assert METHOD[11].kept_by(absent) == (3, False)
    assert [best(run) for run in METHOD.values()] == [2, 2, 2]  # of 13's equal ones the smaller


def test_rules_are_weighed_against_the_last_the_second_and_the_best_model():
    margin = measures().rules[0]
    found = rules(METHOD)
    weighed = row(found, rule=margin.name)
    assert (weighed["stopped"], weighed["seeds"], weighed["supported"]) == (2, 3, False)
    assert weighed["of_last"]["mean"] == pytest.approx((1 - 5 + 0) / 3)
    assert weighed["of_second"]["mean"] == weighed["of_best"]["mean"] == pytest.approx((0 - 6 + 0) / 3)
    always = row(found, rule="always M2")
    assert (always["of_last"]["mean"], always["of_best"]["mean"]) == (pytest.approx(2 / 3), 0)
    assert always["supported"]  # it ends every run early, and its interval is above the bound
    assert {one["rule"] for one in found} == {rule.name for rule in measures().rules} | {
        "always M1",
        "always M2",
    }
    listed = [one for one in stops(METHOD) if one["rule"] == margin.name]
    assert [one["keeps"] for one in listed] == ["M2", "M1", "M3, not stopped"]
    assert [(one["own_share"], one["best"], one["best_own_share"]) for one in listed] == [
        (18, "M2", 18),
        (15, "M2", 21),
        (19, "M2", 19),
    ]


def test_the_same_files_give_the_same_bytes_and_every_table_is_in_the_readme(tmp_path: Path):
    runs = [*FRESH.values(), *REPLAY.values()]
    made(tmp_path / "one", runs)
    made(tmp_path / "two", runs)
    for name in ("evolution.json", "evolution.svg", "README.md"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    text = (tmp_path / "one/README.md").read_text()
    assert text.count("\n### ") == 7
    assert "![M0 to the last model, by arm](evolution.svg)" in text
    assert "| replay | own facts \\(%\\) | 2 | 7.00" in text
    drawn = (tmp_path / "one/evolution.svg").read_text()
    assert all(f">{word}<" in drawn for word in ("fresh", "replay", "M3", "own facts (%)"))


def test_an_arm_with_one_seed_is_left_out_and_named(tmp_path: Path):
    found = made(tmp_path, [*FRESH.values(), REPLAY[11]])
    assert found["not_available"] == ["replay: has one seed, and an interval needs two"]
    assert {one["arm"] for one in found["models"]} == {"fresh"}


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ([FRESH[11]], "no tables: they need 2 seeds of fresh, and 1 are there"),
        ([*FRESH.values(), run_file("other", 11, [1, 2])], "other-11.json: is no run of the evolution"),
        (
            [*FRESH.values(), run_file("replay", 11, [1, 2], **{"data/dialogues": "x"})],
            "replay-11.json: field made_of.data/dialogues: is not that of fresh-11",
        ),
    ],
)
def test_files_of_which_no_tables_can_be_made_are_named(tmp_path: Path, runs: list[RunFile], message: str):
    with pytest.raises(InputError, match=message):
        made(tmp_path, runs)
    assert not (tmp_path / "evolution.json").exists()


def test_a_file_under_the_name_of_another_run_is_named(tmp_path: Path):
    publish_json(tmp_path / "runs/fresh-12.json", FRESH[11].model_dump())
    with pytest.raises(InputError, match=r"fresh-12\.json: is of the run fresh-11"):
        made(tmp_path, [])


def test_the_arms_of_the_plot_fit_its_colours():
    from selfevolve.report.plots import COLOURS

    assert len(load(ROOT / "testbed/params.yaml")["evolution"]["arms"]) <= len(COLOURS)
