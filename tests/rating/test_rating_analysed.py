"""A study from the first link to its results: the analysis reads what the application exports."""

import json
from pathlib import Path

import pytest

from rating import report as human_report
from rating.app.export import export
from rating.app.raters import withdraw
from selfevolve.runtime.errors import InputError
from tests.support.rating_store import Rater, make_store, make_study


@pytest.mark.parametrize("mode", ["pointwise", "pairwise"])
def test_a_study_goes_from_the_application_to_its_results(mode: str, tmp_path: Path):
    """Five raters, one of whom takes back all."""
    study = make_study(tmp_path, mode, overlap=2, attention_checks=1, raters=6, minimum_turns=3)
    store = make_store(tmp_path, study)
    people = [Rater(store) for _ in range(5)]
    for number, rater in enumerate(people):
        rater.do_all(value=1 + number, choice=("a", "b", "tie", "a", "b")[number])
    with store.writing() as db:
        withdraw(db, people[-1].id)
    folder, out = tmp_path / "export", tmp_path / "human.json"
    with store.reading() as db:
        export(db, study, folder)
    human_report.main(["--export", str(folder), "--out", str(out), "--resamples", "50"])
    found = json.loads(out.read_text(encoding="utf-8"))
    assert found["counts"]["raters"] == 4
    assert found["counts"]["raters_withdrawn"] == 1
    assert found["counts"]["sessions"]["submitted"] == 4
    name = "ratings" if mode == "pointwise" else "comparisons"
    rows = [json.loads(line) for line in (folder / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {row["rater"] for row in rows} == {rater.name for rater in people[:-1]}
    assert found["counts"][name]["n"] == len(rows)


def test_all_exports_of_a_folder_are_analysed_and_none_is_no_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    exports, out = tmp_path / "exports", tmp_path / "human"
    arguments = ["--exports", str(exports), "--out", str(out), "--resamples", "20"]
    human_report.main(arguments)
    assert not out.exists()
    for mode in ("pointwise", "pairwise"):
        place = tmp_path / mode
        place.mkdir()
        study = make_study(place, mode, overlap=1, raters=2, minimum_turns=3)
        store = make_store(place, study)
        Rater(store).do_all(value=4, choice="a")
        with store.reading() as db:
            export(db, study, exports / mode)
    (exports / "notes").mkdir()
    human_report.main(arguments)
    assert sorted(file.name for file in out.iterdir()) == ["pairwise.json", "pointwise.json"]
    assert "pairwise.json: 1 raters, 1 sessions" in capsys.readouterr().out
    (exports / "pairwise" / "comparisons.jsonl").write_text("{}")
    with pytest.raises(InputError, match=r"pairwise/comparisons.jsonl: record line 1"):
        human_report.main(arguments)
