"""The report's section of the human evaluation says what the analysis found, with every count."""

from dataclasses import replace
from pathlib import Path

import pytest

from rating import report as human_report
from rating.analysis import simulate
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import publish_json
from tests.support.ratings import attention, comparison, rating, session, write_export
from tests.support.reports import Page, figures, make_report, texts, write_project

SMALL = simulate.Size(raters=6, sessions=3, items=6)


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path, {})


def analyse(export: Path, name: str) -> None:
    human_report.main(["--export", str(export), "--out", f"metrics/human/{name}.json", "--resamples", "50"])


def test_figure_3_stands_with_intervals_counts_and_agreement(tmp_path: Path):
    simulate.pointwise(tmp_path / "export", simulate.Truth(), SMALL, 1)
    judged = {"scores": {name: {"mean": 3.0, "count": 4} for name in ("empathy", "overall")}}
    publish_json(tmp_path / "metrics/m0/judge.json", judged)
    analyse(tmp_path / "export", "points")
    html, markdown = make_report()
    page, drawn = Page(html), figures(html)
    row = page.row("Figure 3. Mean ratings by people", "empathy")
    assert len(row) == 3
    assert all("n = 6, 6 raters" in cell and "[" in cell for cell in row)
    drawing = drawn["Figure 3, drawn: mean ratings by people; simulated pointwise"]
    assert {"m0", "m1", "m2", "empathy", "overall"} <= set(texts(drawing))
    assert page.row("Agreement", "overall")[3:] == ["6", "18", "6", "18"]
    assert page.row("Correlation with a judge, a point a model", "overall")[2] == "1"
    assert "Ratings: n 72, sessions 36, items 36." in page.text
    assert "nobody has rated anything" not in page.text
    assert "simulated pointwise" in markdown


def test_figure_4_stands_with_win_rates_and_scores(tmp_path: Path):
    simulate.pairwise(tmp_path / "export", replace(simulate.Truth(), ties=0.3), SMALL, 1)
    analyse(tmp_path / "export", "pairs")
    html, _ = make_report()
    page, drawn = Page(html), figures(html)
    row = page.row("Figure 4. Comparisons by people", "m2 against m0")
    assert sum(map(int, row[:3])) == int(row[6]) == 60
    assert row[7] == "6"
    drawing = texts(drawn["Figure 4, drawn: comparisons by people; simulated pairwise"])
    assert {"win", "tie", "loss"} <= set(drawing)
    assert any(text.startswith("m2 against m0") for text in drawing)
    assert page.row("Bradley-Terry scores", "m1")[0].count("[") == 1


def test_results_without_failed_raters_stand_beside_those_of_all(tmp_path: Path):
    sessions = [session(f"s{at}", f"r{at}", "m0") for at in range(4)]
    ratings = [rating(f"r{at}", f"s{at}", "m0", 1 if at == 3 else 4) for at in range(4)]
    checks = [attention("r3", "item:check", False)]
    analyse(write_export(tmp_path / "e", sessions=sessions, ratings=ratings, attention=checks), "points")
    page = Page(make_report()[0])
    rows = [
        page.row(f"Figure 3. Mean ratings by people, from 1 to 5{whose}", "overall")
        for whose in ("; a", ", w")
    ]
    assert [row[0][:4] for row in rows] == ["3.25", "4.00"]


def test_what_has_no_number_says_why(tmp_path: Path):
    sessions = [session("s1", "r1", "m0", "m1")]
    lines = [comparison("r1", "s1#0", "m0", "m1", "first")]
    analyse(write_export(tmp_path / "e", "pairwise", sessions=sessions, comparisons=lines), "pairs")
    page = Page(make_report()[0])
    assert page.row("Figure 4", "m2 against m1")[3] == "not available nobody compared them"
    assert "all wins are on one side" in page.text
    assert page.row("Agreement", "the winner")[0] == "not available no unit was rated by two raters"
    assert "there were no attention checks" in page.text


def test_an_empty_study_is_reported_without_a_figure(tmp_path: Path):
    analyse(write_export(tmp_path / "e"), "points")
    html, _ = make_report()
    assert "<svg" not in html
    assert "Sessions: n 0." in Page(html).text


def test_a_file_of_something_else_is_an_error(tmp_path: Path):
    publish_json(tmp_path / "metrics/human/x.json", {"m0-m2": {"win": 61.25}})
    with pytest.raises(InputError, match=r"metrics/human/x\.json: field mode"):
        make_report()


def test_a_judge_s_file_of_something_else_is_an_error(tmp_path: Path):
    publish_json(tmp_path / "metrics/m0/judge.json", {"scores": 3})
    with pytest.raises(InputError, match=r"metrics/m0/judge\.json: field scores"):
        analyse(write_export(tmp_path / "e"), "points")
    assert not (tmp_path / "metrics/human").exists()
