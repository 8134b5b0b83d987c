"""The study's tables, and the folder that holds them."""

import json
from pathlib import Path
from typing import Any

from testbed.study.findings import Run, wanted
from testbed.study.tables import publish, readme
from tests.support.runs import arm, base, model, without

STUDY: dict[str, Any] = {"commit": "abc", "seeds": [1, 2]}


def cells(text: str, *heads: str) -> list[str]:
    """What stands behind these heads in the one row of the tables that begins with them."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rows = [[cell.strip().replace("\\", "") for cell in line[1:-1].split(" |")] for line in lines]
    found = [row for row in rows if tuple(row[: len(heads)]) == heads]
    assert len(found) == 1, (heads, rows)
    return found[0][len(heads) :]


def test_tables_of_effects_and_controls_say_what_does_not_hold():
    measured = {"mean": 1.0, "low": 0.5, "high": 1.5}
    effects = [
        {"name": "a", "expected": "> 0", **measured, "p": 0.00001, "p_holm": 0.0002, "holds": True},
        {"name": "b", "expected": ">= 0", "mean": 0.25, "low": -1.0, "high": 1.5, "p": None, "holds": False},
    ]
    symptom = {"seeds": 3, "symptom": "falls", "expected": "< 0", "p": 0.2, "p_holm": 0.5, "holds": False}
    small = {"mean": -0.0003, "low": -0.0036, "high": 0.003}
    controls = [
        {"arm": "swapped", **symptom, **measured},
        {"arm": "small", **symptom, **small},
        {"arm": "none", **symptom, **dict.fromkeys(small, 0.0)},
    ]
    text = readme(STUDY | {"effects": effects, "controls": controls})
    assert cells(text, "a") == [
        "> 0".replace(">", "&gt;"),
        "1.00 [0.50, 1.50]",
        "&lt; 0.0001",
        "0.0002",
        "yes",
    ]
    assert cells(text, "b")[1:] == ["0.25 [-1.00, 1.50]", "no test", "no test", "no"]
    assert cells(text, "swapped")[2:] == ["&lt; 0", "1.00 [0.50, 1.50]", "0.2000", "0.5000", "no"]
    assert cells(text, "small")[3] == "-0.0003 [-0.0036, 0.0030]"
    assert cells(text, "none")[3] == "0.00 [0.00, 0.00]"


def test_a_model_without_capability_says_so():
    models = {"m1": (model(30.0), model(32.0))}
    models["m2"] = (model(30.0, capability=48.0), model(30.0, capability=50.0))
    runs = [
        {"arm": "self", "seed": seed, "models": {name: seeds[seed] for name, seeds in models.items()}}
        for seed in (0, 1)
    ]
    text = readme(STUDY | {"runs": runs})
    at = cells(text, "runs", "model").index("benchmarks, average")
    m1, m2 = (cells(text, "self", name) for name in models)
    assert (m1[1], m1[at]) == ("31.00 ± 1.41", "not available")
    assert (m2[1], m2[at]) == ("30.00 ± 0.00", "49.00 ± 1.41")


def test_turns_are_means_over_all_contexts_of_the_seeds():
    other = {"3": {"contexts": 1, "fields_right": 10.0, "profile_named": 10.0, "wrong": 0.0}}
    second = Run("base", 2, {}, {"m1-synesc": {"by_seeker_turns": other}}, {})
    runs = [
        {"arm": one.arm, "iterations": one.iterations} for one in (base(1), second, Run("", 3, {}, {}, {}))
    ]
    text = readme(STUDY | {"runs": runs})
    # of three turns: (3 x 90 + 10) / 4
    assert [cells(text, turns)[:2] for turns in "235"] == [["1", "100.0"], ["4", "70.0"], ["1", "50.0"]]


def test_the_folder_has_every_table_and_what_is_missing(tmp_path: Path):
    bases = [without(base(seed), "m1-synesc", "refined_own_share") for seed in (1, 2)]
    arms = {
        "self": [arm(1, 30.0, 31.0), arm(2, 40.0, 41.0)],
        "swapped": [arm(1, 3.0, 2.0, "swapped"), arm(2, 3.0, 2.0, "swapped")],
    }
    for name in ("first", "again"):
        publish(tmp_path / name, STUDY, bases, arms)
    study = json.loads((tmp_path / "first" / "study.json").read_text())
    missing = ["own facts named, M0: refined - direct", "own facts named, refined - direct: M0 - M1"]
    changed = (*wanted().controls, *wanted().variants, *wanted().losses)
    spoilt = [arm for arm in (*changed, "human", "personal") if arm != "swapped"]
    assert (study["commit"], study["seeds"]) == ("abc", [1, 2])
    assert study["not_available"] == [*missing, *(f"{name}: not run" for name in spoilt)]
    assert len(study["effects"]) == 18 - 2
    assert [control["arm"] for control in study["controls"]] == ["swapped", "swapped"]
    assert [(run["arm"], run["seed"]) for run in study["runs"]][:3] == [("base", 1), ("base", 2), ("self", 1)]
    page = (tmp_path / "first" / "README.md").read_text()
    assert "Of commit abc, seeds 1, 2" in page
    assert missing[0] in page
    assert cells(page, "swapped", "m2")[1] == "2.00 ± 0.00"
    assert cells(page, "{SR, P}", "M2 - M1", "2")[0] == "1.00 [1.00, 1.00]"
    for file in ("study.json", "README.md"):
        assert (tmp_path / "again" / file).read_bytes() == (tmp_path / "first" / file).read_bytes()
    arms |= {name: [arm(1, 3.0, 2.0, name), arm(2, 3.0, 2.0, name)] for name in spoilt}
    publish(tmp_path / "whole", STUDY, [base(1), base(2)], arms)
    whole = (tmp_path / "whole" / "README.md").read_text()
    assert "left out" not in whole
    row = cells(whole, "ask-again", "own facts, M2 - the method's M2: above zero", "2")
    assert row[:2] == ["&gt; 0", "-34.00 [-97.53, 29.53]"]
    for loss in ("ipo", "hinge", "orpo", "simpo"):
        found = cells(whole, loss, "own facts, M2 - the method's M2: above zero", "2")
        assert found[:3] == row[:3]  # and their own correction
