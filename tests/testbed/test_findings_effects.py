"""The effects that the study finds in its runs: means, intervals, and whether what was expected holds."""

from collections.abc import Sequence
from typing import Any

import pytest

from testbed.study.findings import Run, effects, paired
from tests.support.runs import REFLECTIONS, arm, base, without

# 95 % interval of three values whose standard deviation is 1: Student's t with two degrees of freedom
T3 = 4.302652729911275 / 3**0.5


def named(found: Sequence[dict[str, Any]], part: str) -> dict[str, Any]:
    (effect,) = [effect for effect in found if part in effect["name"]]
    return effect


def test_an_effect_has_its_mean_its_interval_over_seeds_and_a_verdict():
    bases = [base(seed, own_share=20.0) for seed in (1, 2, 3)]
    runs = [arm(seed, m1=30.0 + seed, m2=30.0) for seed in (1, 2, 3)]
    found, not_available = effects(runs, bases)
    assert not_available == []
    first, second = named(found, "reflecting: M1 - M0"), named(found, "reflecting: M2 - M1")
    assert (first["mean"], first["low"], first["high"]) == pytest.approx((12, 12 - T3, 12 + T3))
    assert (first["expected"], first["holds"]) == ("> 0", True)
    assert (second["mean"], second["low"], second["high"]) == pytest.approx((-2, -2 - T3, -2 + T3))
    assert (second["expected"], second["holds"]) == ("> 0", False)


def test_an_interval_that_includes_zero_is_no_rise():
    bases = [base(seed) for seed in (1, 2, 3)]
    runs = [
        arm(seed, 30.0, 30.0, bleu_2_paper=5.0 + gain, distinct_2_paper=90.0 + gain + 9)
        for seed, gain in ((1, 0.0), (2, 1.0), (3, 2.0))
    ]
    found, _ = effects(runs, bases)
    bleu, distinct = named(found, "BLEU-2, paper"), named(found, "Distinct-2, paper")
    assert (bleu["mean"], bleu["low"], bleu["holds"]) == (pytest.approx(1), pytest.approx(1 - T3), False)
    assert (distinct["mean"], distinct["low"]) == (pytest.approx(10), pytest.approx(10 - T3))
    # Student's p over the seeds; Holm: three of ten claims have a smaller one
    assert distinct["p"] == pytest.approx(0.0033, abs=1e-4)
    assert distinct["p_holm"] == pytest.approx(7 * distinct["p"])
    assert distinct["holds"]


@pytest.mark.parametrize(("capability", "holds"), [(47.0, True), (46.9, False)])
def test_capability_may_fall_by_three_points(capability: float, holds: bool):
    runs = [arm(seed, 30.0, 30.0, capability=capability) for seed in (1, 2)]
    found, _ = effects(runs, [base(seed) for seed in (1, 2)])
    assert named(found, "capability")["mean"] == pytest.approx(capability - 50)
    assert named(found, "capability")["holds"] is holds


@pytest.mark.parametrize(("dialogues", "holds"), [(11, True), (6, False)])
def test_a_claim_on_single_responses_needs_a_small_p_over_dialogues_after_correction(
    dialogues: int, holds: bool
):
    bases = [base(seed, 20.0, dialogues) for seed in (1, 2, 3)]
    runs = [arm(seed, 25.0, 30.0, dialogues=dialogues) for seed in (1, 2, 3)]
    effect = named(effects(runs, bases)[0], "reflecting: M2 - M0")
    assert effect["low"] > 0  # seeds agree in either case
    # All dialogues gain: as extreme are two of all assignments of signs.
    assert effect["p"] == pytest.approx(2 / 2**dialogues)
    assert effect["p_holm"] > effect["p"]
    assert effect["holds"] is holds


def test_no_difference_of_the_same_seeds_survives_a_correction_over_all_claims_that_it_would_pass_alone():
    gains = (0.6, 1.0, 1.5)
    runs = [arm(seed, 30.0, 30.0, bleu_2_paper=5.0 + gains[seed - 1]) for seed in (1, 2, 3)]
    bleu = named(effects(runs, [base(seed) for seed in (1, 2, 3)])[0], "BLEU-2, paper")
    assert bleu["low"] > -0.1 < bleu["p"] < 0.07 < 0.2 < bleu["p_holm"]
    assert not bleu["holds"]


def test_the_same_dialogue_of_several_seeds_is_one_cluster_and_contexts_of_one_model_do_not_count():
    first = [{"a#3": 0.0, "b#3": 0.0}, {"a#3": 0.0, "c#3": 9.0}]
    last = [{"a#3": 1.0, "b#3": 1.0}, {"a#3": 1.0, "d#3": 9.0}]
    assert paired(first, last) == pytest.approx(2 / 4)  # the clusters a and b
    assert paired([{"a#3": 0.0}], [{"b#3": 0.0}]) is None


def test_reflections_are_judged_by_level_by_growth_and_by_what_they_add():
    bases = [base(seed) for seed in (1, 2)]
    found, _ = effects([arm(seed, 30.0, 30.0) for seed in (1, 2)], bases)
    for name in ("M0", "M1"):
        assert (named(found, f"reflections of {name}")["mean"], named(found, f"of {name} at")["holds"]) == (
            90,
            True,
        )
        right = named(found, f"fields right, {name}")
        assert (right["mean"], right["holds"]) == (80, True)  # (3 x 90 + 50) / 4
        assert named(found, f"recognised, {name}")["mean"] == pytest.approx(55 - 30)
        assert named(found, f"{name}: refined - direct")["mean"] == pytest.approx(60)
    poor = [
        Run("base", b.seed, b.models, {"m1-synesc": REFLECTIONS | {"valid_first": 84.9}}, b.responses)
        for b in bases
    ]
    found, _ = effects([arm(seed, 30.0, 30.0) for seed in (1, 2)], poor)
    assert not named(found, "reflections of M0")["holds"]
    assert named(found, "reflections of M1")["holds"]


def test_the_distance_between_refined_and_direct_is_compared_between_models():
    bases, runs = [base(seed) for seed in (1, 2)], [arm(seed, 30.0, 30.0) for seed in (1, 2)]
    for run in runs:
        run.iterations["m2"] = run.iterations["m2"] | {"direct_own_share": 35.0}
    nearer = named(effects(runs, bases)[0], "M0 - M1")
    assert (nearer["mean"], nearer["expected"], nearer["holds"]) == (
        15,
        "> 0",
        True,
    )  # 80 - 20 before, 80 - 35 then


def test_what_one_seed_did_not_measure_is_left_out_and_named():
    bases, runs = [base(seed) for seed in (1, 2)], [arm(seed, 30.0, 30.0) for seed in (1, 2)]
    everything, _ = effects(runs, bases)
    bases[1] = without(bases[1], "m1-synesc", "refined_own_share", "direct_own_share")
    runs[0] = without(runs[0], "m2", "by_seeker_turns")
    del runs[0].models["m2"]["capability"]
    found, not_available = effects(runs, bases)
    assert not_available == [
        "own facts named, M0: refined - direct",
        "profile fields right, M1, 3 seeker turns or more",
        "share of the whole profile recognised, M1, later - earlier turns",
        "own facts named, refined - direct: M0 - M1",
        "capability: M2 - M0, points",
    ]
    assert [effect["name"] for effect in found] == [
        effect["name"] for effect in everything if effect["name"] not in not_available
    ]
