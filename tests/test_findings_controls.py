"""Whether the study's controls show their symptoms, and what its sources gain."""

from collections.abc import Sequence

from stages.findings.controls import SYMPTOMS, controls, sources
from stages.findings.runs import Run
from tests.runs import arm, base, without


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
