"""Intervals, signs of significance and differences: shown where they belong to the scores beside them."""

from pathlib import Path
from typing import Any

import pytest

from selfevolve.report.paper import AGAINST
from selfevolve.report.reading import Run
from selfevolve.runtime.files import publish_json
from tests.support.reports import Page, make_report, text_scores, write_project

M0, M2 = text_scores(20), text_scores(21)


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path, {"metrics/m0/text.json": M0, "metrics/m2/text.json": M2})


def comparison(p: dict[str, tuple[float, float]], difference: float = 1.0) -> dict[str, Any]:
    """The contents of metrics/comparisons/m0-m2.json: per metric, both p-values after Holm's correction."""
    found = {
        metric: {
            **{"difference": difference, "low": difference - 0.5, "high": difference + 0.5, "dialogues": 9},
            **{"p_bootstrap": one / 10, "p_randomisation": other / 10},
            **{"p_bootstrap_holm": one, "p_randomisation_holm": other},
        }
        for metric, (one, other) in p.items()
    }
    pair = {"first": "m0", "last": "m2", "paper": found, "not_available": {"meteor": "no WordNet"}}
    return {"level": 0.95, "pairs": [pair]}


def cells() -> dict[str, str]:
    """What table 2 says of M2, by metric."""
    columns = ("bleu_2", "bleu_3", "rouge_l", "meteor", "bertscore", "distinct_2", "distinct_3")
    page = Page(make_report()[0])
    return dict(zip(columns, page.row("Table 2", "M2", "workspace"), strict=True))


def test_signs_say_direction_and_the_larger_of_both_adjusted_p_values(tmp_path: Path):
    p = {"bleu_2": (0.0005, 0.0009), "bleu_3": (0.0001, 0.009), "rouge_l": (0.049, 0.001)}
    p |= {"meteor": (0.001, 0.051), "bertscore": (0.05, 0.05)}
    publish_json(tmp_path / "metrics/comparisons/m0-m2.json", comparison(p))
    found = {metric: cell.partition(" ")[2] for metric, cell in cells().items()}
    assert found == {
        **{"bleu_2": "↑***", "bleu_3": "↑**", "rouge_l": "↑*", "meteor": "≈", "bertscore": "≈"},
        **{"distinct_2": "", "distinct_3": ""},  # not compared
    }


def test_whatever_a_table_compares_is_among_the_comparisons_that_are_run():
    run = Run()
    signed = {(first, last) for pairs in AGAINST.values() for last, first in pairs.items()}
    signed |= {(run.started_from(model), model) for model in run.iterations}
    assert len(signed) >= 14
    assert signed <= {(pair["first"], pair["last"]) for pair in run.params.value["comparisons"].values()}


def test_a_sign_says_in_words_what_it_means(tmp_path: Path):
    lower = text_scores(19)
    publish_json(tmp_path / "metrics/m2/text.json", lower)
    difference = lower["paper"]["bleu_2"] - M0["paper"]["bleu_2"]
    publish_json(
        tmp_path / "metrics/comparisons/m0-m2.json", comparison({"bleu_2": (0.002, 0.004)}, difference)
    )
    html, markdown = make_report()
    marks = [attributes for tag, attributes in Page(html).tags if attributes.get("class") == "mark"]
    assert {mark["aria-label"] for mark in marks} == {"lower than m0, p 0.0040"}
    assert "↓\\*\\*" in markdown
    assert "p is the larger one of two tests' p-values after Holm's correction" in Page(html).text


def test_a_difference_stands_in_full_with_its_interval_and_reasons(tmp_path: Path):
    publish_json(tmp_path / "metrics/comparisons/m0-m2.json", comparison({"bleu_2": (0.02, 0.00001)}))
    page = Page(make_report()[0])
    row = page.row("m2 minus m0", "BLEU-2")
    assert row == ["+1.00 [0.50, 1.50]", "0.0020", "0.0200", "< 0.0001", "< 0.0001"]
    assert "meteor is not available: no WordNet." in page.text


def test_an_interval_stands_below_its_score(tmp_path: Path):
    value = M2["paper"]["rouge_l"]
    interval = {"value": value, "low": value - 1.5, "high": value + 2.25, "dialogues": 9}
    document = {"models": {"m2": {"paper": {"rouge_l": interval}}}}
    publish_json(tmp_path / "metrics/m2/intervals.json", document)
    assert cells()["rouge_l"] == f"{value:.2f} [{value - 1.5:.2f}, {value + 2.25:.2f}]"
    assert cells()["bleu_2"] == f"{M2['paper']['bleu_2']:.2f}"


def test_an_interval_of_another_score_is_left_out_and_said(tmp_path: Path):
    interval = {"value": M2["paper"]["rouge_l"] + 0.001, "low": 1.0, "high": 90.0}
    publish_json(tmp_path / "metrics/m2/intervals.json", {"models": {"m2": {"paper": {"rouge_l": interval}}}})
    html, _ = make_report()
    assert "[1.00, 90.00]" not in html
    assert "The intervals in metrics/m2/intervals.json are of other scores" in Page(html).text


def test_a_comparison_of_other_scores_is_left_out_and_said(tmp_path: Path):
    publish_json(
        tmp_path / "metrics/comparisons/m0-m2.json", comparison({"bleu_2": (0.0001, 0.0001)}, difference=1.5)
    )
    html, _ = make_report()
    assert "↑" not in "".join(Page(html).row("Table 2", "M2", "workspace"))
    assert "metrics/comparisons/m0-m2.json compares other scores than those now" in Page(html).text
    assert Page(html).row("m2 minus m0", "BLEU-2")[0] == "not available"


def test_gains_are_changes_from_the_model_before(tmp_path: Path):
    publish_json(tmp_path / "metrics/m1/text.json", text_scores(30))
    publish_json(tmp_path / "metrics/vanilla/text.json", text_scores(10))
    publish_json(tmp_path / "metrics/hm1/text.json", text_scores(12))
    page = Page(make_report()[0])
    m0, m1 = M0["paper"]["bleu_2"], text_scores(30)["paper"]["bleu_2"]
    assert page.row("Table 6", "M1", "workspace")[0] == f"{m1:.2f} {100 * (m1 / m0 - 1):+.2f} %"
    vanilla, hm1 = (text_scores(start)["paper"]["distinct_2"] for start in (10, 12))
    gain = f"{hm1:.2f} {100 * (hm1 / vanilla - 1):+.2f} %"
    assert page.row("Table 5", "{HM, P} M1", "workspace: tiny")[3] == gain


def test_a_judge_s_comparisons_stand_with_their_shares(tmp_path: Path):
    share = {"count": 6, "of": 8, "percent": 75.0, "low": 50.0, "high": 87.5}
    document = dict.fromkeys(("win", "tie", "flips"), share) | {"loss": {"count": 0, "of": 0}}
    document["pairs"] = {"compared": 9, "decided": 8, "failed": 1}
    nothing = {"count": 0, "of": 0}
    document["by_length"] = {
        "below 0.8": {"pairs": 8, **dict.fromkeys(("win", "tie", "loss"), share)},
        "0.8 and above": {"pairs": 0, **dict.fromkeys(("win", "tie", "loss"), nothing)},
    }
    publish_json(tmp_path / "metrics/judge/m0-m2.json", document)
    page, caption = Page(make_report()[0]), "Two models' responses side by side"
    row = page.row(caption, "m0-m2", "all")
    assert row == [*["75.00 [50.00, 87.50]"] * 2, "not available", "75.00 [50.00, 87.50]", "8 of 9"]
    assert page.row(caption, "m0-m2", "below 0.8") == [*["75.00 [50.00, 87.50]"] * 3, "–", "8"]
    assert page.row(caption, "m0-m2", "0.8 and above") == [*["not available"] * 3, "–", "0"]
