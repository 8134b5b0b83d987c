"""Means, differences, wins, scores and order effects of small studies that can be worked out by hand."""

from math import log
from pathlib import Path
from typing import Any

import pytest

from rating.analysis import judge
from rating.analysis.analyse import analyse
from rating.analysis.export import read_export
from tests.support.ratings import HOW, analysed, attention, comparison, rating, session, write_export


def pointwise(folder: Path, given: dict[str, list[tuple[str, int]]], **more: Any) -> dict[str, Any]:
    """The results of a study in which every rater gave these scores to sessions with these models."""
    sessions, ratings = [], []
    for rater, several in given.items():
        for at, (model, score) in enumerate(several):
            sessions.append(session(f"{rater}-{at}", rater, model, at=at))
            ratings.append(rating(rater, f"{rater}-{at}", model, score))
    return analysed(write_export(folder, sessions=sessions, ratings=ratings, **more))


def pairwise(folder: Path, given: dict[str, list[tuple[str, str, str]]], **more: Any) -> dict[str, Any]:
    """The results of a study in which every rater compared so: first, second, winner."""
    lines = [
        comparison(rater, f"item:{rater}-{at}", *three)
        for rater, several in given.items()
        for at, three in enumerate(several)
    ]
    sessions = [
        session(f"s-{line['unit'][5:]}", line["rater"], line["first"], line["second"]) for line in lines
    ]
    lines = [{**line, "unit": f"s-{line['unit'][5:]}#0"} for line in lines]
    return analysed(write_export(folder, "pairwise", sessions=sessions, comparisons=lines, **more))


def test_a_mean_is_of_all_ratings_and_its_interval_over_raters(tmp_path: Path):
    found = pointwise(tmp_path, {"a": [("m0", 1)] * 3, "b": [("m0", 5)]})["all"]["means"]["overall"]["m0"]
    assert found == {"value": 2.0, "low": 1.0, "high": 5.0, "n": 4, "units": 4, "raters": 2}


def test_models_of_the_same_raters_are_compared_in_pairs(tmp_path: Path):
    given = {f"r{at}": [("m0", 1 + at % 3), ("m1", 2 + at % 3)] for at in range(8)}
    found = pointwise(tmp_path, given | {"alone": [("m1", 5)]})["all"]["differences"][0]
    assert (found["model"], found["minus"], found["design"]) == ("m1", "m0", "paired")
    assert (found["value"], found["low"], found["high"]) == (1.0, 1.0, 1.0)
    assert (found["n"], found["left_out"]) == (8, 1)
    assert found["p"] == pytest.approx(2 / 2**8)  # all changed, or none
    assert found["p_holm"] == found["p"]
    assert found["tests"] == 1


def test_models_of_different_raters_are_compared_without_pairs(tmp_path: Path):
    given = {f"a{at}": [("m0", 2)] for at in range(4)} | {f"b{at}": [("m1", 4)] for at in range(4)}
    given |= {"both": [("m0", 1), ("m1", 1)]}
    found = pointwise(tmp_path, given)["all"]["differences"][0]
    assert (found["design"], found["value"], found["n"], found["left_out"]) == ("unpaired", 2.0, 8, 1)
    assert found["p"] == pytest.approx(2 / 70)  # 8 over 4 ways to part them


def test_one_rater_has_numbers_but_no_intervals(tmp_path: Path):
    found = pointwise(tmp_path, {"a": [("m0", 3), ("m1", 4)]})["all"]
    assert found["means"]["overall"]["m0"]["no_interval"] == "there is one rater only"
    assert "not_available" in found["differences"][0]
    assert found["agreement"]["overall"]["alpha"]["not_available"] == "no unit was rated by two raters"


def test_one_model_has_means_and_nothing_to_compare(tmp_path: Path):
    found = pointwise(tmp_path, {"a": [("m0", 3)], "b": [("m0", 3)]}, study={"models": ["m0"]})["all"]
    assert found["differences"] == []
    assert found["means"]["overall"]["m0"]["value"] == found["means"]["overall"]["m0"]["high"] == 3.0


def test_raters_who_failed_a_check_are_left_out_of_the_second_results(tmp_path: Path):
    given = {"a": [("m0", 4)], "b": [("m0", 4)], "careless": [("m0", 1)]}
    checks = [attention("a", "item:c", True), attention("careless", "item:c", False)]
    found = pointwise(tmp_path, given, attention=checks)
    assert found["attention"] == {"n": 2, "passed": 1, "raters": 2, "raters_who_failed": 1}
    assert found["all"]["means"]["overall"]["m0"]["value"] == 3.0
    without = found["without_failed_attention"]
    assert without["raters_left_out"] == 1
    assert without["means"]["overall"]["m0"]["value"] == 4.0


def test_drift_is_of_raters_who_grow_milder_not_of_who_they_are_or_rate(tmp_path: Path):
    given = {
        "mild": [("m0", 3), ("m0", 4), ("m0", 5)],
        "severe": [("m0", 1), ("m0", 2), ("m0", 3)],
        "once": [("m0", 3)],
    }
    found = pointwise(tmp_path, given)["all"]["drift"]
    assert (found["value"], found["low"], found["high"]) == pytest.approx((1.0, 1.0, 1.0))
    assert (found["n"], found["raters"], found["raters_of_one_session"]) == (6, 2, 1)


def test_the_order_of_sessions_is_that_of_their_times(tmp_path: Path):
    sessions = [session(f"{rater}-{at}", rater, "m0", at=9 - at) for rater in "ab" for at in range(3)]
    ratings = [rating(rater, f"{rater}-{at}", "m0", 5 - at) for rater in "ab" for at in range(3)]
    found = analysed(write_export(tmp_path, sessions=sessions, ratings=ratings))["all"]["drift"]
    assert found["value"] == pytest.approx(1.0)


def test_good_models_met_late_are_no_drift(tmp_path: Path):
    found = pointwise(tmp_path, {rater: [("m0", 1), ("m1", 5)] for rater in "abc"})["all"]["drift"]
    assert found["value"] == pytest.approx(0.0)


def test_time_on_task_is_of_submitted_sessions(tmp_path: Path):
    found = pointwise(tmp_path, {"a": [("m0", 3), ("m1", 3), ("m0", 3)]})["time_on_task"]
    assert found["m0"]["median"] == 61.0
    assert (found["all sessions"]["n"], found["all sessions"]["without_time"]) == (3, 0)


def test_ties_are_half_a_win_each(tmp_path: Path):
    given = {"a": [("m0", "m1", "second"), ("m1", "m0", "first"), ("m0", "m1", "tie"), ("m0", "m1", "first")]}
    found = pairwise(tmp_path, {**given, "b": given["a"]})["all"]
    pair = found["pairs"][0]
    assert (pair["model"], pair["against"]) == ("m1", "m0")
    assert (pair["win"], pair["tie"], pair["loss"], pair["n"], pair["raters"]) == (4, 2, 2, 8, 2)
    assert pair["win_rate"] == {"value": 0.625, "low": 0.625, "high": 0.625}
    scores = found["bradley_terry"]["scores"]
    assert scores["m1"]["value"] - scores["m0"]["value"] == pytest.approx(log(5 / 3))
    assert found["bradley_terry"]["not_compared"] == ["m2"]


def test_the_side_an_answer_stood_on_is_tested(tmp_path: Path):
    given = {f"r{at}": [("m0", "m1", "first"), ("m1", "m0", "first"), ("m0", "m1", "tie")] for at in range(5)}
    found = pairwise(tmp_path, given)["all"]["position"]
    assert (found["value"], found["n"], found["ties"]) == (1.0, 10, 5)
    assert found["p"] == pytest.approx(2 / 2**10)


def test_all_ties_leave_models_even_and_the_sides_untested(tmp_path: Path):
    found = pairwise(tmp_path, {f"r{at}": [("m0", "m1", "tie")] for at in range(3)})["all"]
    assert found["pairs"][0]["win_rate"] == {"value": 0.5, "low": 0.5, "high": 0.5}
    assert found["pairs"][0]["p"] == 1.0
    assert found["bradley_terry"]["scores"]["m0"]["value"] == pytest.approx(0)
    assert found["position"] == {"not_available": "no comparison was decided", "n": 0, "ties": 3}


def test_models_that_nothing_connects_have_no_scores(tmp_path: Path):
    even = [("m0", "m1", "tie"), ("m2", "m3", "tie")]
    study = {"models": ["m0", "m1", "m2", "m3"]}
    found = pairwise(tmp_path, {"a": even, "b": even}, study=study)["all"]["bradley_terry"]
    expected = "no comparison connects these groups of models: m0, m1 | m2, m3"
    assert found == {"not_available": expected, "n": 4, "raters": 2}


def test_a_model_that_never_lost_has_no_finite_score(tmp_path: Path):
    found = pairwise(tmp_path, {f"r{at}": [("m0", "m1", "first")] for at in range(3)})["all"]
    assert "all wins are on one side" in found["bradley_terry"]["not_available"]
    assert found["pairs"][0]["win_rate"]["value"] == 0.0


def test_resamples_without_scores_are_counted(tmp_path: Path):
    given = {f"r{at}": [("m0", "m1", "first")] for at in range(3)} | {"other": [("m0", "m1", "second")]}
    found = pairwise(tmp_path, given)["all"]["bradley_terry"]["scores"]["m0"]
    assert 0 < found["undefined_resamples"] < HOW.resamples / 2
    # Those left out are the ones in which m0 always won, so the interval ends where the value is.
    assert found["low"] < found["value"] == pytest.approx(found["high"])


def test_a_judge_is_held_against_people_by_model_and_by_context(tmp_path: Path):
    lines = [rating(f"r{at % 2}", f"item:c{at}", "m0", 1 + at % 5) for at in range(10)]
    sessions = [session(f"s{at}", "r0", f"m{at}") for at in range(3)]
    lines += [rating("r0", f"s{at}", f"m{at}", at + 2) for at in range(3)]
    export = read_export(write_export(tmp_path, sessions=sessions, ratings=lines))
    means = {(f"m{at}", "overall"): 3.0 - at for at in range(3)} | {("m7", "overall"): 1.0}
    scores = {("m0", f"c{at}", "overall"): float(1 + at % 5) for at in range(8)}
    found = analyse(export, HOW, means, scores)["all"]["judge"]
    of_models, of_contexts = found["by_model"], found["by_context"]
    assert of_models["overall"]["pearson"]["value"] == pytest.approx(-1)
    assert (of_models["overall"]["n"], of_models["without_people"]) == (3, 1)
    assert of_contexts["overall"]["spearman"]["value"] == pytest.approx(1)
    assert (of_contexts["overall"]["n"], of_contexts["without_judge"]) == (8, 2)


def test_a_correlation_has_an_interval_and_constant_sides_have_no_correlation():
    people, machine = [1, 2, 2, 4, 5, 3, 1], [2, 1, 3, 4, 4, 3, 2]
    found = judge.correlation(people, machine, HOW)
    assert found["pearson"]["low"] < found["pearson"]["value"] < found["pearson"]["high"] <= 1
    assert judge.correlation(people, [3] * 7, HOW)["not_available"] == "all scores of the judge are the same"
    assert judge.correlation([1, 2], [1, 2], HOW)["not_available"] == "fewer than three points"


def test_spearman_s_correlation_and_its_resamples_are_of_ranks():
    found = judge.correlation([1, 2, 3, 4, 5, 6], [1, 2, 4, 8, 16, 32], HOW)
    assert (found["spearman"]["value"], found["spearman"]["low"]) == pytest.approx((1.0, 1.0))
    assert found["pearson"]["value"] < 0.95
