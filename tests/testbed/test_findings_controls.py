"""Whether the study's controls show their symptoms, and what its sources gain."""

from collections.abc import Sequence

from testbed.study.findings import Run, controls, sources, variants, wanted
from tests.support.runs import arm, base, without

LOST = ("M1", "M1 - M0", "M2 - M1", "the method's M2 - M1, more by")  # without a number of M1


def test_a_control_of_fewer_seeds_is_compared_with_the_runs_of_its_seeds():
    bases = [base(seed, own_share=seed) for seed in (1.0, 2.0, 3.0)]
    method = [arm(1, 99.0, 99.0), arm(2, 20.0, 20.0), arm(3, 40.0, 40.0)]
    swapped = [arm(2, 9.0, 1.0, "swapped", generic=90.0), arm(3, 9.0, 2.0, "swapped", generic=90.0)]
    shuffled = [arm(3, 9.0, 30.0, "shuffled", wrong=10.0), arm(2, 9.0, 10.0, "shuffled", wrong=12.0)]
    found, not_available = controls({"self": method, "swapped": swapped, "shuffled": shuffled}, method, bases)
    assert not_available == []
    below, generic, wrong, own = found
    assert [c["arm"] for c in found] == ["swapped", "swapped", "shuffled", "shuffled"]
    assert {c["seeds"] for c in found} == {2}
    assert (below["mean"], below["low"], below["high"], below["holds"]) == (
        -1,
        -1,
        -1,
        True,
    )  # against their own M0
    assert (generic["mean"], generic["holds"]) == (50, True)
    assert wrong["low"] < 0 < wrong["mean"] == 1
    assert not wrong["holds"]
    assert (own["mean"], own["high"], own["holds"]) == (
        -10,
        -10,
        True,
    )  # against the method's runs of seeds 2 and 3


def test_every_control_has_a_symptom_that_can_show():
    bases, method = [base(seed) for seed in (1, 2)], [arm(seed, 60.0, 60.0) for seed in (1, 2)]
    spoilt = {"reward_chosen_first": 0.2, "reward_rejected_first": -0.1}
    spoilt |= {"kept.reward_chosen.mean": -0.5, "words_chosen": 30.0}
    numbers = {"generic": 90.0, "wrong": 30.0, "words": 40.0, "bleu_2_paper": 1.0}
    arms: dict[str, Sequence[Run]] = {"self": method}
    for name in wanted().controls:
        runs = [arm(seed, 10.0, 10.0, name, **numbers) for seed in (1, 2)]
        arms[name] = [Run(r.arm, r.seed, r.models, {"m1": spoilt, "m2": spoilt}, r.responses) for r in runs]
    found, _ = controls(arms, method, bases)
    assert {control["arm"] for control in found} == set(wanted().controls)
    assert all(control["holds"] for control in found)
    unspoilt = {name: [arm(seed, 60.0, 60.0, name) for seed in (1, 2)] for name in wanted().controls}
    found, _ = controls(unspoilt, method, bases)
    assert not any(control["holds"] for control in found)


def test_a_control_without_its_numbers_is_named():
    bases, method = [base(seed) for seed in (1, 2)], [arm(seed, 60.0, 60.0) for seed in (1, 2)]
    raw = [without(arm(seed, 50.0, 50.0, "raw-reference"), "m1", "reward_chosen_first") for seed in (1, 2)]
    found, not_available = controls({"raw-reference": raw}, method, bases)
    assert [control["symptom"] for control in found] == ["own facts, M2 - the method's M2: below zero"]
    assert not_available == ["raw-reference: rewards at the first step of M1 differ from 0"]


def test_a_variant_is_compared_with_the_method_s_runs_of_its_seeds():
    bases = [base(seed) for seed in (1, 2, 3)]
    method = [arm(1, 30.0, 40.0), arm(2, 30.0, 50.0), arm(3, 30.0, 60.0)]
    dropped = [arm(seed, 30.0, 10.0 * seed + 36.0, "drop-too-long", words=10.0) for seed in (2, 3)]
    found, not_available = variants({"self": method, "drop-too-long": dropped}, method, bases)
    assert not_available == []
    assert [(one["arm"], one["seeds"], one["mean"]) for one in found] == [
        ("drop-too-long", 2, 6.0),
        ("drop-too-long", 2, -2.0),
    ]
    assert [(one["difference"], one["expected"], one["holds"]) for one in found] == [
        ("own facts, M2 - the method's M2: above zero", "> 0", True),
        ("words a response, M2 - the method's M2: below zero", "< 0", True),
    ]
    del dropped[0].models["m2"]["words"]
    found, not_available = variants({"drop-too-long": dropped}, method, bases)
    assert len(found) == 1
    assert not_available == ["drop-too-long: words a response, M2 - the method's M2: below zero"]


def test_sources_show_both_steps_of_the_seeds_they_have():
    bases = [base(1, 10.0), base(2, 20.0), base(3, 90.0)]
    own = [arm(1, 30.0, 31.0), arm(2, 40.0, 43.0), arm(3, 50.0, 55.0)]
    arms = {"self": own, "human": [arm(1, 5.0, 5.0), arm(3, 7.0, 6.0)]}
    found, not_available = sources(arms, own, bases)
    assert not_available == []
    means: dict[str, list[float]] = {}
    for row in found:
        means.setdefault(f"{row['source']}, {row['arm']}, {row['seeds']} seeds", []).append(row["mean"])
    assert means == {
        "{SR, P}, self, 3 seeds": [40, 40, 43, 0, 3],  # M0, M1, M2 and the gains; not held against itself
        "{HM, P}, human, 2 seeds": [50, 6, 5.5, -44, -0.5, 3.5, 37.5],  # of the seeds 1 and 3
    }
    assert {row["number"] for row in found if row["p"] is None} == {"M0", "M1", "M2"}
    del arms["human"][0].models["m1"]["own_share"]
    found, not_available = sources(arms, own, bases)
    assert not_available == [f"{n} of the source {{HM, P}}" for n in LOST]
