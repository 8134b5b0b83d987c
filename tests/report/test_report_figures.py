"""Figures show what the files hold: every trained model, no empty drawing, the same bytes every time."""

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from selfevolve.report.plots import Bar, Series, bars, lines
from selfevolve.runtime.files import publish_json
from tests.support.reports import Page, figures, make_report, text_scores, texts, write_project

SFT = "step,loss,eval_loss\n1,2.5,\n2,2.25,2.75\n3,1.5,\n"
DPO = "step,loss,reward_chosen,reward_rejected,reward_margin,reward_accuracy,eval_loss\n"
DPO += "1,0.7,0,0,0,0,\n2,0.6,0.5,-0.25,0.75,1,0.65\n"
TRAINED = ("m0", "sft-esconv", "sft-synesc", "m1", "m2", "hm1", "hm2", "hl1", "hl2", "sr1", "sr2")
RELEVANCE = "relevance,chosen_percent,rejected_percent,chosen_density,rejected_density\n"
RELEVANCE += "-0.5,0,0,0,0\n0.1,40,60,1.5,2.5\n0.3,60,40,2.5,1.5\n0.9,0,0,0,0\n"


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path, {})


def test_every_trained_model_has_its_curves(tmp_path: Path):
    curves = {
        f"metrics/{model}/curves.csv": SFT if "t-" in model or model == "m0" else DPO for model in TRAINED
    }
    write_project(tmp_path, curves)
    html, _ = make_report()
    found = figures(html)
    assert {"m0", "sft-esconv", "sft-synesc"} <= set(texts(found["Fine-tuning: training loss"]))
    for chain in ("m0 → m1 → m2", "vanilla → hm1 → hm2", "vanilla → hl1 → hl2", "vanilla → sr1 → sr2"):
        first, last = chain.split(" → ")[1:]
        rewards = texts(found[f"Preference training, {chain}: rewards"])
        assert {f"{model} {side}" for model in (first, last) for side in ("chosen", "rejected")} <= set(
            rewards
        )
        assert f"Preference training, {chain}: reward margin" in found
        assert f"Preference training, {chain}: share of pairs ranked rightly" in found
    words = Page(html).text
    assert "m0: 3 points, from 2.500 to 1.500, at most 2.500" in words
    assert "Training curves of" not in words  # none is missing


def test_what_was_kept_of_a_training_stands_in_a_table(tmp_path: Path):
    step = {"kept_step": 4, "steps": 16, "kept_because": "lowest eval_loss"}
    pairs = {"eval_loss": 1.5, "reward_chosen": 0.25, "reward_rejected": -0.125, "reward_margin": 0.375}
    kept = {name: {"mean": value, "low": value - 0.5, "high": value + 0.5} for name, value in pairs.items()}
    kept["reward_accuracy"] = {"mean": 1.0}  # of one dialogue
    answers = {"nll_samples": {"mean": 0.5}, "nll_tokens": {"mean": 0.75}}
    files = {"metrics/m1/training.json": step | {"kept": {"dialogues": 1} | kept}}
    files["metrics/m0/training.json"] = step | {
        "kept_because": "last step",
        "kept": {"dialogues": 9} | answers,
    }
    files["metrics/m2/training.json"] = {"steps": 8}  # of a run that did not measure it
    write_project(tmp_path, files)
    page = Page(make_report()[0])
    assert page.row("Fine-tunings", "m0") == ["4", "16", "last step", "9", "0.500", "0.750"]
    cells = page.row("Preference trainings", "m1")
    assert cells[:4] == ["4", "16", "lowest eval_loss", "1"]
    assert [cell.split()[0] for cell in cells[4:]] == ["1.500", "0.250", "-0.125", "0.375", "1.000"]
    assert "[1.000, 2.000]" in cells[4]
    assert page.row("Preference trainings", "m2")[4] == "not available"


def test_a_model_without_curves_is_named_and_draws_nothing(tmp_path: Path):
    write_project(tmp_path, {"metrics/m0/curves.csv": SFT, "metrics/m1/curves.csv": "step,loss\n"})
    html, _ = make_report()
    assert set(figures(html)) == {"Fine-tuning: training loss", "Fine-tuning: loss on dialogues held back"}
    assert "Training curves of sft-esconv, sft-synesc, m1, m2" in Page(html).text


def test_figure_5_shows_distributions_and_margins(tmp_path: Path):
    side = {"mean": 0.2, "low": 0.1, "high": 0.3}
    numbers: dict[str, Any] = {"pairs": 12, "chosen": side, "rejected": side, "overlap": 0.75}
    numbers |= {"margin": {"mean": 0.0625, "low": 0.01, "high": 0.125, "p": 0.0123}}
    numbers["by_source"] = {"refined": {**numbers, "pairs": 9}}
    write_project(tmp_path, {"metrics/m1/relevance.csv": RELEVANCE})
    publish_json(tmp_path / "metrics/m1/relevance.json", numbers)
    html, _ = make_report()
    found = figures(html)
    assert {"chosen", "rejected", "density"} <= set(texts(found["Figure 5a: m1's pairs"]))
    assert any(name.startswith("Figure 5b") for name in found)
    page = Page(html)
    assert page.row("Relevance in numbers", "m1", "all") == [
        *("12", "0.200 [0.100, 0.300]", "0.200 [0.100, 0.300]"),
        *("0.062 [0.010, 0.125]", "0.0123", "0.750"),
    ]
    assert page.row("Relevance in numbers", "m1", "refined")[0] == "9"
    assert "Relevance of the pairs of m2, hm1" in page.text


def test_relevance_without_densities_shows_shares(tmp_path: Path):
    needles = "\n".join(line.rsplit(",", 2)[0] + ",," for line in RELEVANCE.splitlines()[1:])
    write_project(tmp_path, {"metrics/m1/relevance.csv": f"{RELEVANCE.splitlines()[0]}\n{needles}\n"})
    assert "percent of the pairs" in texts(figures(make_report()[0])["Figure 5a: m1's pairs"])


def test_relevance_that_could_not_be_had_says_why(tmp_path: Path):
    write_project(tmp_path, {"metrics/m1/relevance.csv": RELEVANCE.splitlines()[0] + "\n"})
    absent = {"pairs": 5, "not_available": {"relevance": "the encoder is not installed"}}
    publish_json(tmp_path / "metrics/m1/relevance.json", absent)
    page = Page(make_report()[0])
    assert page.row("Relevance in numbers", "m1", "all")[:2] == ["5", "not available"]
    assert "relevance is not available: the encoder is not installed" in page.text


def test_figure_6_shows_openings_with_the_golden_responses_share(tmp_path: Path):
    table = "phrase,words,count,percent,golden_count,golden_percent\nit sounds like,3,5,12.5,1,2.5\n"
    write_project(tmp_path, {"metrics/m0/openings.csv": table, "metrics/m0/phrases.csv": table})
    html, markdown = make_report()
    drawn = texts(figures(html)["Figure 6: openings of m0"])
    assert "“it sounds like”  12.5 (2.5)" in drawn
    assert Page(html).row("The commonest phrases", "m0", "“it sounds like”") == ["12.50", "2.50"]
    assert "it sounds like”: 12.5 %" in markdown


def test_the_iterations_are_drawn_with_the_scores_intervals(tmp_path: Path):
    scores = {"vanilla": text_scores(10), "m0": text_scores(20), "m1": text_scores(25)}
    values = {model: one["paper"]["bleu_2"] for model, one in scores.items()}
    interval = {"value": values["m1"], "low": values["m1"] - 2, "high": values["m1"] + 2}
    margins = {
        "m1": {"mean": 0.2, "low": 0.19, "high": 0.21},
        "m2": {"mean": 0.15, "low": 0.14, "high": 0.16},
    }
    files = {f"metrics/{model}/text.json": one for model, one in scores.items()}
    files |= {f"metrics/{model}/relevance.json": {"margin": margin} for model, margin in margins.items()}
    files["metrics/m1/intervals.json"] = {"models": {"m1": {"paper": {"bleu_2": interval}}}}
    write_project(tmp_path, files)
    html, _ = make_report()
    found = figures(html)
    assert {"BLEU-2", "words a response"} <= set(found)
    assert "m0 → m1 → m2" in texts(found["BLEU-2"])
    assert not [text for text in texts(found["BLEU-2"]) if "hm1" in text]  # of this chain nothing was run
    page = Page(html)
    row = page.row("Every number of every model", "text.paper.bleu_2")
    models = page.tables["Every number of every model"][0][1:]
    expected = {model: f"{value:.4f}" for model, value in values.items()} | {"m2": "not run"}
    assert {model: cell for model, cell in zip(models, row, strict=True) if model in expected} == expected
    assert "less that of m1's: -0.050 [-0.064, -0.036]: it shrinks." in page.text


def test_a_drawing_is_the_same_every_time_whatever_the_user_s_style(monkeypatch: pytest.MonkeyPatch):
    import matplotlib

    series = [Series("a", [0, 1, 2], [1, 3, 2], [(0.5, 1.5), None, (1, 3)], points=True)]
    made = [lines("n", series, "x", "y"), bars("n", [Bar("b", [1.0], 0.5)], "x", ["own"], "other")]
    monkeypatch.setitem(matplotlib.rcParams, "font.size", 33.0)
    monkeypatch.setitem(matplotlib.rcParams, "axes.facecolor", "red")
    assert [lines("n", series, "x", "y"), bars("n", [Bar("b", [1.0], 0.5)], "x", ["own"], "other")] == made
    assert matplotlib.rcParams["font.size"] == 33.0
    assert not [
        word for word in ("dc:date", "matplotlib.org", "<metadata", "<style") if word in "".join(made)
    ]


def test_drawings_have_no_size_of_their_own_and_keep_text_as_text():
    root = ET.fromstring(lines("n", [Series("a name", [0, 1], [1, 3])], "x", "y"))
    assert "width" not in root.attrib
    assert root.get("viewBox")
    assert "a name" in texts(root)
