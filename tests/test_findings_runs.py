"""What the study reads of the files that an evolution left."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stages.findings.runs import read_run
from stages.records.errors import InputError
from stages.records.jsonl import write_records
from stages.records.publish import publish_json
from stages.records.schema import Takeup

MODEL = {"own_share": 20.0, "own_count": 1.0, "personal": 50.0, "generic": 40.0, "wrong": 10.0, "words": 12.0}
SCORES = {"paper": {"bleu_2": 5.0, "distinct_2": 90.0, "meteor": 7.0}}
SCORES |= {"standard": {"bleu_2": 4.0, "distinct_2": 50.0}}
TEXT = {"bleu_2_paper": 5.0, "bleu_2_standard": 4.0, "distinct_2_paper": 90.0, "distinct_2_standard": 50.0}
TEXT |= {"meteor_paper": 7.0}
TRAINED = {"reward_chosen_first": 0.0, "reward_rejected_first": 0.0, "reward_chosen_last": 0.5}
COUNTS = {"pairs": 9, "chosen_source": {"refined": 9}, "words_chosen": 12.5, "words_rejected": 10.0}
TURNS = {"2": {"contexts": 1, "fields_right": 100.0, "profile_named": 30.0, "wrong": 0.0}}
REFLECTIONS = {
    "valid_first": 90.0,
    "valid": 95.0,
    "refined_own_share": 80.0,
    "direct_own_share": 20.0,
    "by_seeker_turns": TURNS,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files of an arm: M1 without capability, M2 with everything, and M0's reflections beside them."""
    for name in ("m1", "m2"):
        publish_json(tmp_path / name / "facts.json", {"responses": 2, "with_profile": 2} | MODEL)
        publish_json(tmp_path / name / "text.json", SCORES | {"count": 2})
        publish_json(tmp_path / name / "training.json", TRAINED | {"steps": 4})
        publish_json(tmp_path / name / "preferences.json", COUNTS | {"train": 8})
        taken = [
            Takeup(id="d1#3", known=["cause", "person"], own=["cause"], early=[], wrong=[], words=9),
            Takeup(id="d2#3", known=[], own=[], early=[], wrong=[], words=9),
            Takeup(id="d3#3", known=["cause"], own=[], early=[], wrong=[], words=9),
        ]
        write_records(tmp_path / name / "facts.jsonl", taken)
    publish_json(tmp_path / "m2" / "capability.json", {"score": {"smoke": 40.0, "average": 40.0}})
    for name in ("m1-synesc", "m2"):
        publish_json(tmp_path / name / "reflections.json", {"count": 2} | REFLECTIONS)
    (tmp_path / "log.txt").write_text("")
    return tmp_path


def test_a_run_is_read_from_its_files(folder: Path):
    run = read_run(folder, "self", 3)
    assert (run.arm, run.seed, list(run.models)) == ("self", 3, ["m1", "m2"])
    assert run.models["m1"] == MODEL | TEXT
    assert run.models["m2"] == MODEL | TEXT | {"capability": 40.0}
    assert run.shares["m2"] == {"d1#3": 50.0, "d3#3": 0.0}  # before d2#3 there was nothing to take up
    assert run.iterations["m1"] == COUNTS | TRAINED
    assert run.iterations["m2"] == COUNTS | TRAINED | REFLECTIONS
    assert run.iterations["m1-synesc"] == REFLECTIONS


def test_what_was_not_measured_is_absent(folder: Path):
    publish_json(folder / "m2" / "reflections.json", {"valid_first": 0.0, "by_seeker_turns": TURNS})
    publish_json(folder / "m2" / "capability.json", {"score": {"average": None}})
    facts = {name: value for name, value in MODEL.items() if name != "own_share"}
    publish_json(folder / "m2" / "facts.json", facts)
    run = read_run(folder, "self", 3)
    assert run.models["m2"] == facts | TEXT
    assert "refined_own_share" not in run.iterations["m2"]
    assert run.iterations["m2"]["valid_first"] == 0


def remove(name: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (remove("m1/facts.json"), r"m1/facts\.json: no such file"),
        (remove("m1/facts.jsonl"), r"m1/facts\.jsonl: no such file"),
        (remove("m2/text.json"), r"m2/text\.json: no such file"),
        (remove("m2/training.json"), r"m2/training\.json: no such file"),
        (lambda folder: (folder / "m2/text.json").write_text("{"), r"m2/text\.json: not JSON"),
    ],
)
def test_a_file_that_is_missing_or_broken_is_named(folder: Path, spoil: Callable[[Path], Any], message: str):
    spoil(folder)
    with pytest.raises(InputError, match=message):
        read_run(folder, "self", 3)


def test_a_folder_without_models_is_an_error(tmp_path: Path):
    with pytest.raises(InputError, match="holds no model that was measured"):
        read_run(tmp_path / "nothing", "self", 3)
