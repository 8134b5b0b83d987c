"""Sessions in the report: scores, paths, differences, and whether controls come out where they belong."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfevolve.metrics.comparison import CompareParams
from selfevolve.metrics.statistics import Resampling
from selfevolve.records.jsonl import write_records
from selfevolve.report.controls import verdict
from selfevolve.report.reading import Part
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import publish_json
from selfevolve.sessions.comparison import compare_sessions
from selfevolve.sessions.measures import Phrases, report
from selfevolve.sessions.session import Session
from selfevolve.sessions.supporters import Same, Shuffled
from tests.support.reports import Page, figures, make_report, texts, write_project
from tests.support.talks import Scripted, is_withdrawn, listens, world_sessions

HOW = CompareParams(seed=1, resamples=1000, level=0.95)
CONTROLS = "Sessions with seekers by rule: does the model come out above the controls?"
TABLE = "Sessions with seekers by rule"


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path, {})


def measured(path: str, sessions: list[Session]) -> dict[str, Any]:
    """Publish what sessions came to, as `converse` does."""
    found = report(sessions, Phrases.of(sessions), Resampling(1, 200))
    publish_json(Path(path), found)
    return found


def write_world(say: Callable[..., str]) -> dict[str, Any]:
    """Sessions of m0, who says next to nothing, of m2, who follows a script, and of m2's controls."""
    Path("of").mkdir()
    supporters = {"m0": Scripted("m0", is_withdrawn), "m2": Scripted("m2", say), "same": Same()}
    files = {name: Path(f"of/{name}.jsonl") for name in (*supporters, "shuffled")}
    found = {}
    for name, path in files.items():
        sessions = world_sessions(supporters.get(name) or Shuffled(files["m2"]), sessions=12)
        write_records(path, sessions)
        own = name in ("m0", "m2")
        metrics = f"metrics/{name}/world_sessions.json" if own else f"metrics/world_sessions/{name}.json"
        found[name] = measured(metrics, sessions)
    controls = compare_sessions(files, [("same", "m2"), ("shuffled", "m2")], HOW)
    publish_json(Path("metrics/world_sessions/controls.json"), controls)
    publish_json(Path("metrics/world_sessions/m0-m2.json"), compare_sessions(files, [("m0", "m2")], HOW))
    return found


def test_who_listens_stands_above_its_controls_and_every_number_is_the_file_s():
    found = write_world(listens)
    html, markdown = make_report()
    page = Page(html)
    row = page.row(TABLE, "m2", "all")
    assert row[:2] == ["12", "12"]
    for at, score in enumerate(("emotion_start", "emotion_end", "emotion_change", "disclosed"), start=2):
        one = found["m2"]["all"][score]
        assert row[at] == f"{one['value']:.2f} [{one['low']:.2f}, {one['high']:.2f}]"
    assert page.row(TABLE, "control: same", "all")[9].startswith("100.00")  # says one thing again and again
    caption = f"{TABLE}: differences"
    assert page.row(caption, "m2 minus m0", "change of the emotion")[0].startswith("-")
    assert "same" not in {cells[0] for cells in page.tables[f"{caption} of models that had the same ones"]}
    verdicts = {tuple(cells[:2]): cells[-1] for cells in page.tables[CONTROLS][1:]}
    assert verdicts["m2 minus same", "repetition: less"] == "yes"
    assert verdicts["m2 minus shuffled", "facts told: more"] == "yes"
    assert len(verdicts) == 8  # one of nine is missing: who says one sentence is told nothing to take up
    assert "taken_up is not available" in page.text
    assert CONTROLS in markdown


def test_who_says_next_to_nothing_stands_above_no_control():
    write_world(is_withdrawn)
    verdicts = {tuple(cells[:2]): cells[-1] for cells in Page(make_report()[0]).tables[CONTROLS][1:]}
    assert verdicts["m2 minus shuffled", "facts told: more"] != "yes"
    assert verdicts["m2 minus shuffled", "change of the emotion: less"] != "yes"


def test_the_emotion_s_path_is_drawn_for_every_model_and_who_is_missing_is_named():
    found = write_world(listens)
    html, _ = make_report()
    (caption,) = [name for name in figures(html) if name.startswith("Emotion of seekers by rule")]
    assert caption.endswith("m0, m2, control: same, control: shuffled")
    drawn = texts(figures(html)[caption])
    assert {"m0", "m2", "control: same", *found["m2"]["emotion_path"]} <= set(drawn)
    assert "Sessions with seekers by rule, of vanilla, m1: not run." in Page(html).text
    assert "Sessions with played seekers: not run" in Page(html).text


def test_played_seekers_are_shown_with_the_resistant_apart(tmp_path: Path):
    write_project(tmp_path, {}, {"conversed.played.models": {"m0": {}, "m2": {}}})
    sessions = world_sessions(Scripted("m2", listens), sessions=12)
    measured(
        "metrics/m2/sessions.json",
        [one.model_copy(update={"resistant": at < 4, "facts": None}) for at, one in enumerate(sessions)],
    )
    page = Page(make_report()[0])
    rows = {
        group: page.row("Sessions with played seekers", "m2", group) for group in ("all", "open", "resistant")
    }
    assert rows["all"][5] == rows["open"][5] == "not available"  # cards without facts
    assert len({row[2] for row in rows.values()}) == 3
    assert "Sessions with played seekers, of m0: not run." in page.text


def test_a_score_that_is_no_number_is_named():
    publish_json(Path("metrics/m0/world_sessions.json"), {"all": {"words": {"value": "many"}}})
    with pytest.raises(InputError, match=r"world_sessions\.json: field all\.words\.value: is not a number"):
        make_report()


@pytest.mark.parametrize(
    ("low", "high", "more", "less", "not_more"),
    [(1, 2, "yes", "no", "no"), (-2, -1, "no", "yes", "yes"), (-1, 1, "undecided", "undecided", "yes")],
)
def test_where_a_difference_belongs(low: float, high: float, more: str, less: str, not_more: str):
    found = Part("x.json", {"difference": 0.0, "low": low, "high": high})
    assert [verdict(found, wanted) for wanted in ("more", "less", "not more")] == [more, less, not_more]


def test_controls_of_personalisation_say_where_they_belong():
    scores = {"auc": 80.0, "reciprocal_rank": 60.0, "matched_auc": 70.0}
    differences = {
        "shuffled": {"mean": -30.0, "low": -34.0, "high": -26.0, "p": 0.0001},
        "generic": {"mean": -1.0, "low": -4.0, "high": 2.0, "p": 0.5},
        "longer": {"mean": 3.0, "low": 1.0, "high": 5.0, "p": 0.01},
    }
    found = {name: scores | {"auc": 50.0} for name in differences}
    publish_json(
        Path("metrics/personalisation_controls.json"), {"human": scores, **found, "differences": differences}
    )
    page, caption = Page(make_report()[0]), "Whose response it is: the human responses, and controls"
    assert page.row(caption, "human")[:4] == ["80.00", "60.00", "70.00", "not available"]
    assert page.row(caption, "shuffled")[3:] == ["-30.00 [-34.00, -26.00]", "0.0001", "yes"]
    assert page.row(caption, "generic")[-1] == "undecided"
    assert page.row(caption, "longer")[-1] == "no"
