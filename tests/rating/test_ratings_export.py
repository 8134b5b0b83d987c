"""An export is read whole or not at all: what is wrong is named by file, line and field."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from rating import report as human_report
from rating.analysis.export import read_export
from selfevolve.runtime.errors import InputError
from tests.support.ratings import analysed, attention, comparison, rating, session, write_export

SESSIONS = [session("s1", "r001", "m0"), session("s2", "r002", "m1")]
PAIR = [session("s1", "r001", "m0", "m1")]


@pytest.mark.parametrize(
    ("mode", "changes", "message"),
    [
        (
            "pointwise",
            {"ratings": [rating("r001", "s1", "m9", 3)]},
            "ratings.jsonl: record line 1: field model",
        ),
        ("pointwise", {"ratings": [rating("r001", "s1", "m1", 3)]}, "m1, and the session is of m0"),
        ("pointwise", {"ratings": [rating("r002", "s1", "m0", 3)]}, "the session's is 'r001'"),
        ("pointwise", {"ratings": [rating("r001", "s9", "m0", 3)]}, "field unit: there is no session 's9'"),
        ("pointwise", {"ratings": [rating("r001", "s1", "m0", 6)]}, "record line 1: field score"),
        ("pointwise", {"ratings": [rating("r001", "s1", "m0", 3, "charm")]}, "field dimension: 'charm'"),
        (
            "pointwise",
            {"ratings": [rating("r001", "s1", "m0", 3)] * 2},
            "line 2: field unit: the same record",
        ),
        ("pointwise", {"sessions": [SESSIONS[0]] * 2}, "field session: the same record as line 1"),
        ("pointwise", {"sessions": PAIR}, "field mode: is pairwise in a pointwise study"),
        ("pointwise", {"attention": [attention("r1", "s1", True)] * 2}, "attention.jsonl: record line 2"),
        ("pointwise", {"study": {"models": []}}, "study.json: field models"),
        ("pointwise", {"study": {"models": ["m0", "m0"]}}, "field models: a model occurs twice"),
        (
            "pairwise",
            {"comparisons": [comparison("r001", "s1#0", "m0", "m0", "tie")]},
            "compared with itself",
        ),
        (
            "pairwise",
            {"comparisons": [comparison("r001", "s1#0", "m0", "m2", "tie")]},
            "session is of m0 and m1",
        ),
        ("pairwise", {"comparisons": [comparison("r001", "s1#0", "m0", "m1", "A")]}, "field winner"),
        (
            "pairwise",
            {
                "comparisons": [
                    comparison("r1", "item:1", *two, "tie") for two in (("m0", "m1"), ("m1", "m0"))
                ]
            },
            "comparisons.jsonl: record line 2",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, mode: str, changes: dict[str, Any], message: str):
    sessions = {"sessions": SESSIONS if mode == "pointwise" else PAIR}
    with pytest.raises(InputError, match=re.escape(message)) as error:
        read_export(write_export(tmp_path, mode, **{**sessions, **changes}))
    assert str(tmp_path) in str(error.value)


@pytest.mark.parametrize("name", ["study.json", "ratings.jsonl", "withdrawals.json"])
def test_a_missing_file_is_an_error(tmp_path: Path, name: str):
    (write_export(tmp_path) / name).unlink()
    with pytest.raises(InputError, match=rf"{name}: no such file"):
        read_export(tmp_path)


def test_a_line_that_is_no_json_is_named(tmp_path: Path):
    (write_export(tmp_path) / "ratings.jsonl").write_text("\n{")
    with pytest.raises(InputError, match=r"ratings\.jsonl: record line 2: not JSON"):
        read_export(tmp_path)


def test_nothing_is_published_of_bad_input(tmp_path: Path):
    write_export(tmp_path / "export", ratings=[rating("r001", "s9", "m0", 3)])
    with pytest.raises(InputError):
        human_report.main(["--export", str(tmp_path / "export"), "--out", str(tmp_path / "out/x.json")])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("mode", ["pointwise", "pairwise"])
def test_an_empty_export_has_results_that_are_all_absent(tmp_path: Path, mode: str):
    found = json.dumps(analysed(write_export(tmp_path, mode)), allow_nan=False)
    assert '"value"' not in found
    assert "not_available" in found


def test_only_what_was_submitted_counts_and_the_rest_is_counted(tmp_path: Path):
    states = ("submitted", "draft", "discarded", "ended", "withdrawn")
    sessions = [session(f"s{at}", "r001", "m0", state=state) for at, state in enumerate(states)]
    ratings = [rating("r001", f"s{at}", "m0", at + 1) for at in range(5)]
    ratings += [rating("r001", "item:1", "m0", 4), rating("r001", "item:check", "m0", 5)]
    checks = [attention("r001", "item:check", True)]
    changes: dict[str, Any] = {"sessions": sessions, "ratings": ratings, "attention": checks}
    found = analysed(write_export(tmp_path, withdrawals=2, **changes))
    assert found["counts"]["sessions"] == {"n": 5} | dict.fromkeys(states, 1)
    left_out = {f"left_out_{state}": 1 for state in states[1:]} | {"left_out_attention_checks": 1}
    assert found["counts"]["ratings"] == {"n": 7, "sessions": 1, "items": 1} | left_out
    assert found["counts"]["raters_withdrawn"] == 2
    assert found["all"]["means"]["overall"]["m0"]["value"] == 1.0
    assert found["all"]["item_means"]["overall"]["m0"]["value"] == 4.0


def test_records_of_the_other_mode_are_counted(tmp_path: Path):
    odd = [comparison("r001", "item:1", "m0", "m1", "tie")]
    found = analysed(write_export(tmp_path, "pointwise", comparisons=odd))
    assert found["counts"]["comparisons"] == {"n": 1, "left_out_other_mode": 1}
