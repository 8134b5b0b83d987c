"""The study's tables, and the page that holds them."""

import json
from pathlib import Path

from stages.findings.controls import SYMPTOMS, Control, sources
from stages.findings.effects import Effect
from stages.findings.markdown import controls_table, effects_table, models_table, sources_table, turns_table
from stages.findings.page import publish
from stages.findings.runs import Run
from tests.runs import arm, base, model, without


def cells(table: str, row: int) -> list[str]:
    return [cell.strip() for cell in table.splitlines()[row].split("|")[1:-1]]


def test_tables_of_effects_and_controls_say_what_does_not_hold():
    found = [
        Effect("a", "> 0", 1.0, 0.5, 1.5, 0.00001, True),
        Effect("b", "> 0", 0.25, -1.0, 1.5, None, False),
    ]
    table = effects_table(found)
    assert cells(table, 2) == ["a", "> 0", "1.00 [0.50, 1.50]", "< 0.0001", "yes"]
    assert cells(table, 3) == ["b", "> 0", "0.25 [-1.00, 1.50]", "", "**no**"]
    table = controls_table([Control("swapped", 3, "falls", -1.0, -2.0, 0.5, False)])
    assert cells(table, 2) == ["swapped", "3", "falls", "-1.00 [-2.00, 0.50]", "**no**"]
    table = controls_table([Control("a", 3, "small", -0.0003, -0.0036, 0.003, False)])
    assert cells(table, 2)[3] == "-0.0003 [-0.0036, 0.0030]"
    assert cells(controls_table([Control("a", 3, "none", 0.0, 0.0, 0.0, False)]), 2)[3] == "0.00 [0.00, 0.00]"


def test_a_model_without_capability_has_an_empty_cell():
    rows = {
        "M1": [model(30.0), model(32.0)],
        "M2": [model(30.0, capability=48.0), model(30.0, capability=50.0)],
    }
    table = models_table(rows)
    header, m1, m2 = (dict(zip(cells(table, 0), cells(table, row), strict=True)) for row in (0, 2, 3))
    assert list(header)[:2] == ["model", "own facts"]
    assert (m1["own facts"], m1["capability"]) == ("31.00 ± 1.41", "")
    assert (m2["own facts"], m2["capability"]) == ("30.00 ± 0.00", "49.00 ± 1.41")


def test_turns_are_means_over_all_contexts_of_the_seeds():
    other = {"3": {"contexts": 1, "fields_right": 10.0, "profile_named": 10.0, "wrong": 0.0}}
    second = Run("base", 2, {}, {"m1-synesc": {"by_seeker_turns": other}}, {})
    unread = Run("base", 3, {}, {}, {})
    table = turns_table([base(1), second, unread])
    assert [cells(table, row)[:3] for row in (2, 3, 4)] == [
        ["2", "1", "100.0"],
        ["3", "4", "70.0"],  # (3 x 90 + 10) / 4
        ["5", "1", "50.0"],
    ]


def test_the_table_of_sources_has_both_steps():
    own = [arm(1, 30.0, 31.0), arm(2, 40.0, 41.0)]
    rows, _ = sources({"self": own}, {"X": "self"}, own, [base(1), base(2)])
    assert cells(sources_table(rows), 2)[0] == "X"
    assert cells(sources_table(rows), 2)[-2:] == ["1.00 [1.00, 1.00]", "0.00 [0.00, 0.00]"]


def test_the_page_has_every_table_and_what_is_missing(tmp_path: Path):
    bases = [without(base(seed), "m1-synesc", "refined_own_share") for seed in (1, 2)]
    arms = {
        "self": [arm(1, 30.0, 31.0), arm(2, 40.0, 41.0)],
        "swapped": [arm(1, 3.0, 2.0, "swapped"), arm(2, 3.0, 2.0, "swapped")],
    }
    for name in ("first", "again"):
        publish(tmp_path / name, {"commit": "abc", "seeds": [1, 2]}, bases, arms)
    study = json.loads((tmp_path / "first" / "study.json").read_text())
    missing = ["own facts taken up, M0: refined - direct", "own facts taken up, refined - direct: M0 - M1"]
    spoilt = [arm for arm in (*SYMPTOMS, "human") if arm != "swapped"]
    assert (study["commit"], study["seeds"]) == ("abc", [1, 2])
    assert study["not_available"] == [*missing, *(f"{name}: not run" for name in spoilt)]
    assert len(study["effects"]) == 17 - 2
    assert [control["arm"] for control in study["controls"]] == ["swapped", "swapped"]
    assert [(run["arm"], run["seed"]) for run in study["runs"]][:3] == [("base", 1), ("base", 2), ("self", 1)]
    page = (tmp_path / "first" / "README.md").read_text()
    assert "Commit abc, seeds 1, 2" in page
    assert f"- {missing[0]}" in page
    assert "| swapped: M2 | 2.00 ± 0.00 |" in page
    for file in ("study.json", "README.md"):
        assert (tmp_path / "again" / file).read_bytes() == (tmp_path / "first" / file).read_bytes()
    arms |= {name: [arm(1, 3.0, 2.0, name), arm(2, 3.0, 2.0, name)] for name in spoilt}
    publish(tmp_path / "whole", {"commit": "abc", "seeds": [1, 2]}, [base(1), base(2)], arms)
    assert "left out" not in (tmp_path / "whole" / "README.md").read_text()
