"""What reflections name of gold profiles with free fields: the own value, others that nobody said."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfevolve.metrics.profiles import (
    Reflection,
    free_profile,
    infer_profiles,
    plain,
    profile_report,
    similarity_report,
)
from selfevolve.records.jsonl import read_records, write_records
from selfevolve.records.schema import Context, Dialogue, Message, Refinement, Turn, Understanding
from selfevolve.runtime.errors import InputError
from stages.analyses import unseen_profile
from tests.conftest import read_lines

NURSE = {"Occupation": "Night nurse", "Age": "34"}
COOK = {"Occupation": "cook", "Age": "51"}


def reflection(name: str, said: str, believed: str | None, profile: dict[str, str]) -> Reflection:
    """One reflection that believes something after the seeker has said something."""
    fields = dict.fromkeys(("user_emotion", "user_personality", "user_intention"), "unknown")
    understanding = Understanding(user_profile=believed, **fields) if believed else None
    status = "parsed" if believed else "failed"
    refinement = Refinement(
        id=name,
        understanding=understanding,
        refined_response="I see." if believed else None,
        status=status,
        attempts=1,
        raw=["..."],
    )
    context = Context(id=name, messages=[Message(role="user", content=said)], golden="I see.")
    return Reflection(refinement, context, profile)


def shares(*reflections: Reflection) -> dict[str, dict[str, float]]:
    """The means of the report, in percent, by field."""
    report = profile_report(infer_profiles(reflections))
    return {
        field: {name: of["mean"] if isinstance(of, dict) else of for name, of in numbers.items()}
        for field, numbers in report.items()
    }


def test_a_value_is_named_by_its_words_in_any_case_and_punctuation():
    one = reflection("a#1", "I am a NIGHT-nurse.", "She works as a night nurse; 34?", NURSE)
    found = shares(one, reflection("b#1", "Hello.", None, COOK))
    shown = {"asked": 2, "told": 1, "named": 50, "named_of_told": 100}
    assert found["Occupation"] == shown | {"wrong": 0, "invented": 0, "by_chance": 0}
    assert (found["Age"]["told"], found["Age"]["named"]) == (0, 50)  # right, though nobody said it


@pytest.mark.parametrize(
    ("said", "kind"), [("I am a night nurse.", "wrong"), ("I feel low.", "invented"), ("I met a cook.", None)]
)
def test_what_only_others_are_is_wrong_or_invented_unless_somebody_said_it(said: str, kind: str | None):
    found = shares(reflection("a#1", said, "A cook.", NURSE), reflection("b#1", "I cook.", "Somebody.", COOK))
    of = {name: found["Occupation"][name] for name in ("wrong", "invented")}
    assert of == {"wrong": 0, "invented": 0} | ({kind: 50} if kind else {})
    assert found["Occupation"]["by_chance"] == (50 if kind else 0)


def test_a_longer_value_within_a_shorter_one_is_not_both():
    boss, aide = {"Occupation": "sales manager"}, {"Occupation": "manager"}
    found = shares(
        reflection("a#1", "Hi.", "A sales manager.", boss), reflection("b#1", "Hi.", "No idea.", aide)
    )
    assert found["Occupation"]["named"] == 50
    assert found["Occupation"]["invented"] == 0


def test_only_texts_and_numbers_of_a_profile_are_fields():
    profile = {"Age": 34, "Name": "Ann", "tags": ["x"], "none": None, "mark": "?!", "yes": True}
    assert free_profile({"profile": profile}) == {"Age": "34", "Name": "Ann"}
    assert free_profile({"profile": "a nurse"}) == free_profile({}) == {}


def test_likeness_is_to_the_own_value_and_to_those_of_others():
    reflections = [
        reflection("a#1", "Hi.", "north", {"place": "up"}),
        reflection("b#1", "Hi.", "east", {"place": "right"}),
    ]
    up, right = np.array([1.0, 0.0]), np.array([0.6, 0.8])
    north, east = (one.understanding for one in reflections)
    found = similarity_report(reflections, {north: up, "up": up, east: right, "right": right})
    assert found["place"]["own"]["mean"] == pytest.approx(1)
    assert found["place"]["others"]["mean"] == pytest.approx(0.6)


@given(st.lists(st.tuples(st.text(), st.text(), st.text()), min_size=2, max_size=5))
def test_no_text_ends_it_and_shares_lie_between_0_and_100(rows: list[tuple[str, str, str]]):
    reflections = [
        reflection(f"d{n}#1", said, believed or None, free_profile({"profile": {"field": value}}))
        for n, (said, believed, value) in enumerate(rows)
    ]
    for numbers in shares(*reflections).values():
        for name, share in numbers.items():
            assert name in ("asked", "told") or share == "not available" or 0 <= share <= 100
    assert all(plain(value) == plain(plain(value)) for _, _, value in rows)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Two dialogues, one with a profile that holds a long text, and a reflection on each."""
    profile = NURSE | {"situation": "The ward was closed and nobody told the staff about it."}
    turns = [Turn(role="seeker", text="They closed my ward."), Turn(role="supporter", text="I see.")]
    dialogues = [
        Dialogue(id="a", source="own", turns=turns, meta={"profile": profile}),
        Dialogue(id="b", source="own", turns=turns),
    ]
    told = [reflection(f"{name}#1", "They closed my ward.", "A night nurse.", {}) for name in "ab"]
    named = {name: tmp_path / f"{name}.jsonl" for name in ("refined", "contexts", "dialogues", "details")}
    write_records(named["refined"], [one.refinement for one in told])
    write_records(named["contexts"], [one.context for one in told])
    write_records(named["dialogues"], dialogues)
    return named | {"out": tmp_path / "out.json"}


def run_stage(files: dict[str, Path], params: Path) -> None:
    named = {**files, "params": params}
    unseen_profile.main([word for name, file in named.items() for word in (f"--{name}", str(file))])


def test_the_stage_reports_fields_likeness_and_each_reflection(
    files: dict[str, Path], params_file: Callable[..., Path]
):
    run_stage(files, params_file())
    report = json.loads(files["out"].read_text())
    assert (report["reflections"], report["dialogues"], report["invalid"]) == (1, 1, 0)  # b has no profile
    assert report["fields"]["Occupation"]["named"] == {"mean": 100.0}
    assert "situation" not in report["fields"]  # too long to be looked for
    assert 0 < report["similarity"]["fields"]["situation"]["own"]["mean"] < 1
    assert [line["id"] for line in read_lines(files["details"])] == ["a#1"]


def test_a_set_without_profiles_has_an_empty_report(files: dict[str, Path], params_file: Callable[..., Path]):
    dialogues = read_records(files["dialogues"], Dialogue)
    write_records(files["dialogues"], [one.model_copy(update={"meta": {}}) for one in dialogues])
    run_stage(files, params_file())
    empty = {"reflections": 0, "dialogues": 0, "invalid": 0, "fields": {}}
    assert json.loads(files["out"].read_text()) == empty


def test_a_reflection_on_no_dialogue_is_one_line_and_leaves_nothing(
    files: dict[str, Path], params_file: Callable[..., Path]
):
    write_records(files["dialogues"], read_records(files["dialogues"], Dialogue)[:1])
    with pytest.raises(InputError, match=r"dialogues\.jsonl: record b#1: belongs to no dialogue"):
        run_stage(files, params_file())
    assert not files["out"].exists()
