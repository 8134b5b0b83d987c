"""What the study concludes from its runs, on runs made by hand whose answers are known."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from stages.findings.controls import SYMPTOMS, Control, controls, sources
from stages.findings.effects import Effect, by_turns, effects, paired
from stages.findings.markdown import controls_table, effects_table, models_table, sources_table, turns_table
from stages.findings.page import publish
from stages.findings.runs import NotMeasured, Run

TEXT = {"bleu_2_paper": 5.0, "bleu_2_standard": 4.0, "distinct_2_paper": 90.0, "distinct_2_standard": 50.0}
MODEL = {"own_share": 20.0, "own_count": 1.0, "personal": 50.0, "generic": 40.0, "wrong": 10.0, "words": 12.0}
TURNS = {
    "2": {"contexts": 1, "fields_right": 100.0, "profile_named": 30.0, "wrong": 0.0},
    "3": {"contexts": 3, "fields_right": 90.0, "profile_named": 50.0, "wrong": 4.0},
    "5": {"contexts": 1, "fields_right": 50.0, "profile_named": 70.0, "wrong": 8.0},
}
REFLECTIONS = {
    "valid_first": 90.0,
    "refined_own_share": 80.0,
    "direct_own_share": 20.0,
    "by_seeker_turns": TURNS,
}
STARTED = {"reward_chosen_first": 0.0, "reward_rejected_first": 0.0}
TRAINED = STARTED | {"reward_chosen_last": 0.5, "words_chosen": 20.0}
# 95 % interval of three values whose standard deviation is 1: Student's t with two degrees of freedom
T3 = 4.302652729911275 / 3**0.5


def model(own_share: float, **more: float) -> dict[str, float]:
    return MODEL | TEXT | {"own_share": own_share} | more


def shares(value: float, dialogues: int) -> dict[str, float]:
    """Two contexts a dialogue."""
    return {f"d{d}#{turn}": value for d in range(dialogues) for turn in (3, 5)}


def base(seed: int, own_share: float = 20.0, dialogues: int = 12, **more: float) -> Run:
    models = {"vanilla": model(0.0, capability=50.0), "m0": model(own_share, capability=50.0, **more)}
    known = {"vanilla": shares(0.0, dialogues), "m0": shares(own_share, dialogues)}
    return Run("base", seed, models, {"m1-synesc": REFLECTIONS}, known)


def arm(seed: int, m1: float, m2: float, name: str = "self", dialogues: int = 12, **more: float) -> Run:
    models = {"m1": model(m1), "m2": model(m2, **({"capability": 48.0} | more))}
    known = {"m1": shares(m1, dialogues), "m2": shares(m2, dialogues)}
    return Run(name, seed, models, {"m1": TRAINED, "m2": TRAINED | REFLECTIONS}, known)


def without(run: Run, iteration: str, *names: str) -> Run:
    """The same run, where some numbers of an iteration were not measured."""
    left = {name: value for name, value in run.iterations[iteration].items() if name not in names}
    return Run(run.arm, run.seed, run.models, run.iterations | {iteration: left}, run.shares)


def named(found: Sequence[Effect], part: str) -> Effect:
    (effect,) = [effect for effect in found if part in effect.name]
    return effect


# --- effects


def test_an_effect_has_its_mean_its_interval_over_seeds_and_a_verdict():
    bases = [base(seed, own_share=20.0) for seed in (1, 2, 3)]
    runs = [arm(seed, m1=30.0 + seed, m2=30.0) for seed in (1, 2, 3)]
    found, not_available = effects(runs, bases)
    assert not_available == []
    first, second = named(found, "reflecting: M1 - M0"), named(found, "reflecting: M2 - M1")
    assert (first.mean, first.low, first.high) == pytest.approx((12, 12 - T3, 12 + T3))
    assert (first.expected, first.holds) == ("> 0", True)
    assert (second.mean, second.low, second.high) == pytest.approx((-2, -2 - T3, -2 + T3))
    assert (second.expected, second.holds) == (">= 0", False)


def test_the_second_gain_need_only_not_be_negative_on_average():
    runs = [arm(seed, m1=30.0, m2=30.0 + change) for seed, change in ((1, -1.0), (2, 0.0), (3, 1.0))]
    found, _ = effects(runs, [base(seed) for seed in (1, 2, 3)])
    second = named(found, "reflecting: M2 - M1")
    assert second.low < second.mean == 0 < second.high
    assert second.holds


def test_an_interval_that_includes_zero_is_no_rise():
    bases = [base(seed) for seed in (1, 2, 3)]
    runs = [
        arm(seed, 30.0, 30.0, bleu_2_paper=5.0 + gain, distinct_2_paper=90.0 + gain + 9)
        for seed, gain in ((1, 0.0), (2, 1.0), (3, 2.0))
    ]
    found, _ = effects(runs, bases)
    bleu, distinct = named(found, "BLEU-2, paper"), named(found, "Distinct-2, paper")
    assert (bleu.mean, bleu.low, bleu.holds) == (pytest.approx(1), pytest.approx(1 - T3), False)
    assert (distinct.mean, distinct.low, distinct.holds) == (pytest.approx(10), pytest.approx(10 - T3), True)


@pytest.mark.parametrize(("capability", "holds"), [(47.0, True), (46.9, False)])
def test_capability_may_fall_by_three_points(capability: float, holds: bool):
    runs = [arm(seed, 30.0, 30.0, capability=capability) for seed in (1, 2)]
    found, _ = effects(runs, [base(seed) for seed in (1, 2)])
    assert named(found, "capability").mean == pytest.approx(capability - 50)
    assert named(found, "capability").holds is holds


@pytest.mark.parametrize(
    ("dialogues", "p", "holds"),
    [
        (8, 2 / 2**8, True),  # all dialogues gain: as extreme are two of the 2^8 assignments of signs
        (7, 2 / 2**7, False),
    ],
)
def test_m2_must_differ_from_m0_with_a_small_p(dialogues: int, p: float, holds: bool):
    bases = [base(seed, 20.0, dialogues) for seed in (1, 2, 3)]
    runs = [arm(seed, 25.0, 30.0, dialogues=dialogues) for seed in (1, 2, 3)]
    effect = named(effects(runs, bases)[0], "reflecting: M2 - M0")
    assert effect.low > 0  # seeds agree in either case
    assert effect.p == pytest.approx(p)
    assert effect.holds is holds


def test_the_same_dialogue_of_several_seeds_is_one_cluster_and_contexts_of_one_model_do_not_count():
    first = [{"a#3": 0.0, "b#3": 0.0}, {"a#3": 0.0, "c#3": 9.0}]
    last = [{"a#3": 1.0, "b#3": 1.0}, {"a#3": 1.0, "d#3": 9.0}]
    assert paired(first, last) == pytest.approx(2 / 4)  # the clusters a and b
    with pytest.raises(NotMeasured):
        paired([{"a#3": 0.0}], [{"b#3": 0.0}])


def test_reflections_are_judged_by_level_by_growth_and_by_what_they_add():
    bases = [base(seed) for seed in (1, 2)]
    found, _ = effects([arm(seed, 30.0, 30.0) for seed in (1, 2)], bases)
    for name in ("M0", "M1"):
        assert (named(found, f"reflections of {name}").mean, named(found, f"of {name} at").holds) == (
            90,
            True,
        )
        right = named(found, f"fields right, {name}")
        assert (right.mean, right.holds) == (80, True)  # (3 x 90 + 50) / 4
        assert named(found, f"recognised, {name}").mean == pytest.approx(55 - 30)
        assert named(found, f"{name}: refined - direct").mean == pytest.approx(60)
    poor = [
        Run("base", b.seed, b.models, {"m1-synesc": REFLECTIONS | {"valid_first": 84.9}}, b.shares)
        for b in bases
    ]
    found, _ = effects([arm(seed, 30.0, 30.0) for seed in (1, 2)], poor)
    assert not named(found, "reflections of M0").holds
    assert named(found, "reflections of M1").holds


def test_a_mean_by_turns_weighs_contexts():
    assert by_turns({"by_seeker_turns": TURNS}, "fields_right", lambda turns: turns >= 3) == 80
    assert by_turns({"by_seeker_turns": TURNS}, "fields_right", lambda turns: turns < 3) == 100
    with pytest.raises(NotMeasured):
        by_turns({"by_seeker_turns": TURNS}, "fields_right", lambda turns: turns > 5)


def test_the_distance_between_refined_and_direct_is_compared_between_models():
    bases, runs = [base(seed) for seed in (1, 2)], [arm(seed, 30.0, 30.0) for seed in (1, 2)]
    for run in runs:
        run.iterations["m2"] = run.iterations["m2"] | {"direct_own_share": 35.0}
    nearer = named(effects(runs, bases)[0], "M0 - M1")
    assert (nearer.mean, nearer.expected, nearer.holds) == (15, "> 0", True)  # 80 - 20 before, 80 - 35 then


def test_what_one_seed_did_not_measure_is_left_out_and_named():
    bases, runs = [base(seed) for seed in (1, 2)], [arm(seed, 30.0, 30.0) for seed in (1, 2)]
    everything, _ = effects(runs, bases)
    bases[1] = without(bases[1], "m1-synesc", "refined_own_share", "direct_own_share")
    runs[0] = without(runs[0], "m2", "by_seeker_turns")
    del runs[0].models["m2"]["capability"]
    found, not_available = effects(runs, bases)
    assert not_available == [
        "own facts taken up, M0: refined - direct",
        "profile fields right, M1, 3 seeker turns or more",
        "share of the whole profile recognised, M1, later - earlier turns",
        "own facts taken up, refined - direct: M0 - M1",
        "capability: M2 - M0, points",
    ]
    assert found == [effect for effect in everything if effect.name not in not_available]


# --- controls and sources


def test_a_control_of_fewer_seeds_is_compared_with_the_runs_of_its_seeds():
    bases = [base(seed, own_share=seed) for seed in (1.0, 2.0, 3.0)]
    method = [arm(1, 99.0, 99.0), arm(2, 20.0, 20.0), arm(3, 40.0, 40.0)]
    swapped = [arm(2, 9.0, 1.0, "swapped", generic=90.0), arm(3, 9.0, 2.0, "swapped", generic=90.0)]
    shuffled = [arm(3, 9.0, 30.0, "shuffled", wrong=10.0), arm(2, 9.0, 10.0, "shuffled", wrong=12.0)]
    found, not_available = controls({"self": method, "swapped": swapped, "shuffled": shuffled}, method, bases)
    assert not_available == []
    below, generic, wrong, own = found
    assert [c.arm for c in found] == ["swapped", "swapped", "shuffled", "shuffled"]
    assert {c.seeds for c in found} == {2}
    assert (below.mean, below.low, below.high, below.shown) == (-1, -1, -1, True)  # against their own M0
    assert (generic.mean, generic.shown) == (50, True)
    assert wrong.low < 0 < wrong.mean == 1
    assert not wrong.shown
    assert (own.mean, own.high, own.shown) == (-10, -10, True)  # against the method's runs of seeds 2 and 3


def test_every_control_has_a_symptom_that_can_show():
    bases, method = [base(seed) for seed in (1, 2)], [arm(seed, 60.0, 60.0) for seed in (1, 2)]
    spoilt = {"reward_chosen_first": 0.2, "reward_rejected_first": -0.1}
    spoilt |= {"reward_chosen_last": -0.5, "words_chosen": 30.0}
    numbers = {"generic": 90.0, "wrong": 30.0, "words": 40.0, "bleu_2_paper": 1.0}
    arms: dict[str, Sequence[Run]] = {"self": method}
    for name in SYMPTOMS:
        runs = [arm(seed, 10.0, 10.0, name, **numbers) for seed in (1, 2)]
        arms[name] = [Run(r.arm, r.seed, r.models, {"m1": spoilt, "m2": spoilt}, r.shares) for r in runs]
    found, _ = controls(arms, method, bases)
    assert {control.arm for control in found} == set(SYMPTOMS)
    assert all(control.shown for control in found)
    unspoilt = {name: [arm(seed, 60.0, 60.0, name) for seed in (1, 2)] for name in SYMPTOMS}
    found, _ = controls(unspoilt, method, bases)
    assert not any(control.shown for control in found)


def test_a_control_without_its_numbers_is_named():
    bases, method = [base(seed) for seed in (1, 2)], [arm(seed, 60.0, 60.0) for seed in (1, 2)]
    raw = [without(arm(seed, 50.0, 50.0, "raw-reference"), "m1", "reward_chosen_first") for seed in (1, 2)]
    found, not_available = controls({"raw-reference": raw}, method, bases)
    assert [control.symptom for control in found] == ["own facts, M2 - the method's M2: below zero"]
    assert not_available == ["raw-reference: rewards at the first step of M1 differ from 0"]


def test_sources_show_both_steps_of_the_seeds_they_have():
    bases = [base(1, 10.0), base(2, 20.0), base(3, 90.0)]
    own = [arm(1, 30.0, 31.0), arm(2, 40.0, 43.0), arm(3, 50.0, 55.0)]
    arms, names = {"self": own, "human": [arm(1, 5.0, 5.0), arm(3, 7.0, 6.0)]}, {"SR": "self", "HM": "human"}
    (first, second), not_available = sources(arms, names, own, bases)
    assert not_available == []
    steps = ("m0", "m1", "m2", "first gain", "second gain", "behind")
    assert [first[name]["mean"] for name in steps] == [40, 40, 43, 0, 3, 0]
    assert (first["source"], first["arm"], first["seeds"]) == ("SR", "self", 3)
    assert [second[name]["mean"] for name in steps] == [50, 6, 5.5, -44, -0.5, 3.5]  # of the seeds 1 and 3
    del arms["human"][0].models["m1"]["own_share"]
    assert sources(arms, names, own, bases) == ([first], ["own facts of the source HM"])


# --- tables


def cells(table: str, row: int) -> list[str]:
    return [cell.strip() for cell in table.splitlines()[row].split("|")[1:-1]]


def test_tables_of_effects_and_controls_say_what_does_not_hold():
    found = [
        Effect("a", "> 0", 1.0, 0.5, 1.5, 0.00001, True),
        Effect("b", "> 0", 0.25, -1.0, 1.5, None, False),
    ]
    table = effects_table(found)
    assert cells(table, 2) == ["a", "> 0", "1.00 [0.50, 1.50]", "< 0.0001", "yes"]
    assert cells(table, 3) == ["b", "> 0", "0.25 [-1.00, 1.50]", "", "**no**"]
    table = controls_table([Control("swapped", 3, "falls", -1.0, -2.0, 0.5, False)])
    assert cells(table, 2) == ["swapped", "3", "falls", "-1.00 [-2.00, 0.50]", "**no**"]
    table = controls_table([Control("a", 3, "small", -0.0003, -0.0036, 0.003, False)])
    assert cells(table, 2)[3] == "-0.0003 [-0.0036, 0.0030]"
    assert cells(controls_table([Control("a", 3, "none", 0.0, 0.0, 0.0, False)]), 2)[3] == "0.00 [0.00, 0.00]"


def test_a_model_without_capability_has_an_empty_cell():
    rows = {
        "M1": [model(30.0), model(32.0)],
        "M2": [model(30.0, capability=48.0), model(30.0, capability=50.0)],
    }
    table = models_table(rows)
    header, m1, m2 = (dict(zip(cells(table, 0), cells(table, row), strict=True)) for row in (0, 2, 3))
    assert list(header)[:2] == ["model", "own facts"]
    assert (m1["own facts"], m1["capability"]) == ("31.00 ± 1.41", "")
    assert (m2["own facts"], m2["capability"]) == ("30.00 ± 0.00", "49.00 ± 1.41")


def test_turns_are_means_over_all_contexts_of_the_seeds():
    other = {"3": {"contexts": 1, "fields_right": 10.0, "profile_named": 10.0, "wrong": 0.0}}
    second = Run("base", 2, {}, {"m1-synesc": {"by_seeker_turns": other}}, {})
    unread = Run("base", 3, {}, {}, {})
    table = turns_table([base(1), second, unread])
    assert [cells(table, row)[:3] for row in (2, 3, 4)] == [
        ["2", "1", "100.0"],
        ["3", "4", "70.0"],  # (3 x 90 + 10) / 4
        ["5", "1", "50.0"],
    ]


def test_the_table_of_sources_has_both_steps():
    own = [arm(1, 30.0, 31.0), arm(2, 40.0, 41.0)]
    rows, _ = sources({"self": own}, {"X": "self"}, own, [base(1), base(2)])
    assert cells(sources_table(rows), 2)[0] == "X"
    assert cells(sources_table(rows), 2)[-2:] == ["1.00 [1.00, 1.00]", "0.00 [0.00, 0.00]"]


def test_the_page_has_every_table_and_what_is_missing(tmp_path: Path):
    bases = [without(base(seed), "m1-synesc", "refined_own_share") for seed in (1, 2)]
    arms = {
        "self": [arm(1, 30.0, 31.0), arm(2, 40.0, 41.0)],
        "swapped": [arm(1, 3.0, 2.0, "swapped"), arm(2, 3.0, 2.0, "swapped")],
    }
    for name in ("first", "again"):
        publish(tmp_path / name, {"commit": "abc", "seeds": [1, 2]}, bases, arms)
    study = json.loads((tmp_path / "first" / "study.json").read_text())
    missing = ["own facts taken up, M0: refined - direct", "own facts taken up, refined - direct: M0 - M1"]
    spoilt = [arm for arm in (*SYMPTOMS, "human") if arm != "swapped"]
    assert (study["commit"], study["seeds"]) == ("abc", [1, 2])
    assert study["not_available"] == [*missing, *(f"{name}: not run" for name in spoilt)]
    assert len(study["effects"]) == 17 - 2
    assert [control["arm"] for control in study["controls"]] == ["swapped", "swapped"]
    assert [(run["arm"], run["seed"]) for run in study["runs"]][:3] == [("base", 1), ("base", 2), ("self", 1)]
    page = (tmp_path / "first" / "README.md").read_text()
    assert "Commit abc, seeds 1, 2" in page
    assert f"- {missing[0]}" in page
    assert "| swapped: M2 | 2.00 ± 0.00 |" in page
    for file in ("study.json", "README.md"):
        assert (tmp_path / "again" / file).read_bytes() == (tmp_path / "first" / file).read_bytes()
    arms |= {name: [arm(1, 3.0, 2.0, name), arm(2, 3.0, 2.0, name)] for name in spoilt}
    publish(tmp_path / "whole", {"commit": "abc", "seeds": [1, 2]}, [base(1), base(2)], arms)
    assert "left out" not in (tmp_path / "whole" / "README.md").read_text()
