"""What reflections infer, further test sets, the study: their numbers, or a sentence where there are none."""

from pathlib import Path
from statistics import stdev
from typing import Any

import pytest

from selfevolve.runtime.files import publish_json
from tests.support.reports import Page, figures, make_report, text_scores, texts, write_project


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path, {})


def inferred(emotion: float, problem: float | None) -> dict[str, Any]:
    """What profile_inference.json has of one number of turns."""
    share = {"mean": emotion, "low": emotion - 1, "high": emotion + 1}
    asked = {"asked": 0} if problem is None else {"asked": 9, "named": {"mean": problem}, "by_chance": 2.5}
    return {
        "contexts": 9,
        "invalid": {"mean": 12.5},
        "emotion": {"asked": 9, "named": share, "by_chance": "not available"},
        "problem": asked,
    }


def test_what_reflections_infer_stands_by_the_turns_seen(tmp_path: Path):
    groups = {"1": inferred(10, 5), "5": inferred(30, None), "all": inferred(50.25, 40)}
    publish_json(tmp_path / "metrics/m0/profile_inference.json", {"by_seeker_turns": groups})
    publish_json(tmp_path / "metrics/m1/profile_inference.json", {"by_seeker_turns": {"10": inferred(60, 1)}})
    html, _ = make_report()
    page = Page(html)
    caption = "What reflections infer"
    first = ["9", "12.50", "10.00 [9.00, 11.00]", "not available", "5.00", "2.50"]
    assert page.row(caption, "m0", "1") == first
    assert page.row(caption, "m0", "5")[4:] == ["not available", "not available"]
    assert page.row(caption, "m0", "all")[2] == "50.25 [49.25, 51.25]"
    drawn = texts(figures(html)["Reflections that name the emotion: m0, m1"])
    assert drawn[:4] == ["1", "5", "10", "all"]  # the axis
    assert {"m0", "m1"} <= set(drawn)
    assert "What reflections infer of the seeker, by vanilla" in page.text


def test_a_further_test_set_has_the_columns_of_the_others(tmp_path: Path):
    sets = [{"name": name, "path": "/srv/somebody/dialogues.json"} for name in ("mine", "later")]
    scores = text_scores(20)
    del scores["paper"]["meteor"]
    scores["not_available"] = {"meteor": "WordNet cannot be had"}
    files = {
        "metrics/unseen/mine/dialogues.json": {"dialogues": 31, "removed": {"exact": 2}},
        "metrics/unseen/mine/m0/text.json": scores,
    }
    write_project(tmp_path, files, {"unseen.sets": sets})
    page = Page(make_report()[0])
    row = page.row("mine, a further test set: paper protocol", "m0")
    assert row[0] == f"{scores['paper']['bleu_1']:.2f}"
    assert row[5] == "not available"
    assert page.row("mine, a further test set: standard protocol", "m2")[0] == "not run"
    assert page.row("mine: dialogues and contexts", "dialogues", "removed.exact") == ["2"]
    assert "meteor of m0 is not available: WordNet cannot be had." in page.text
    assert "The further test set later: not run" in page.text
    assert "somebody" not in page.text
    assert page.row("Metrics files", "metrics/unseen/mine/m0/text.json")[2] == "in no lock"


def test_the_study_s_models_have_means_and_deviations_over_the_seeds(tmp_path: Path):
    values = [12.5, 14.0, 19.0]
    runs = [
        {"arm": "self", "seed": seed, "models": {"m2": {"own_share": value}}}
        for seed, value in enumerate(values)
    ]
    runs.append({"arm": "human", "seed": 0, "models": {"m2": {"own_share": 7.0, "capability": 1.0}}})
    effect = {
        "name": "learns",
        "expected": "> 0",
        "mean": 3.0,
        "low": 1.0,
        "high": 5.0,
        "p": 0.00001,
        "p_holm": 0.02,
    }
    study = {"commit": "abc", "seeds": [0, 1, 2], "effects": [effect | {"holds": True}], "runs": runs}
    publish_json(tmp_path / "metrics/study/study.json", study | {"not_available": ["one", "two"]})
    page = Page(make_report()[0])
    row = page.row("Every model over the seeds", "self", "m2")
    assert row[:2] == ["3", f"15.17 ± {stdev(values):.2f}"]
    assert row[-1] == "not available"
    assert page.row("Every model over the seeds", "human", "m2")[:2] == ["1", "7.00"]
    assert page.row("What must come out", "learns") == [
        "> 0",
        "3.00 [1.00, 5.00]",
        "< 0.0001",
        "0.0200",
        "yes",
    ]
    assert "Of commit abc, seeds 0, 1, 2" in page.text
    assert "left out: one, two." in page.text
