"""Role cards: the layouts that are read, and what is said of a card that is none."""

import json
from pathlib import Path
from typing import Any

import pytest

from selfevolve.runtime.errors import InputError
from selfevolve.sessions.cards import read_cards
from tests.conftest import SHARED

ADA = {"name": "Ada", "profile": {"age": 34, "occupation": "nurse"}, "problem": "No sleep for weeks."}
BO = {"id": "b", "name": "Bo", "description": "Has lost a friend.", "facts": {"emotion": "lonely"}}


def write(folder: Path, content: Any) -> Path:
    path = folder / "cards.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_a_list_and_lines_give_the_same_cards(tmp_path: Path):
    listed = read_cards(write(tmp_path, [BO, ADA]))
    lines = read_cards(write(tmp_path, "\n".join(map(json.dumps, [ADA, BO]))))
    assert listed == lines
    assert [(card.id, card.name) for card in listed] == [("Ada", "Ada"), ("b", "Bo")]
    assert listed[0].text() == "- name: Ada\n- age: 34\n- occupation: nurse\n- problem: No sleep for weeks."
    assert listed[1].text() == "- name: Bo\n- emotion: lonely\n- more: Has lost a friend."


def test_a_profile_may_be_a_text(tmp_path: Path):
    (card,) = read_cards(write(tmp_path, [{"name": "Cy", "profile": "A baker of sixty."}]))
    assert card.text() == "- name: Cy\n- about: A baker of sixty."


def test_esc_eval_s_layout_leaves_out_what_is_not_mentioned(tmp_path: Path):
    base = "Age: Not mentioned\nGender: Female\nOccupation: not mentioned\n\nProblem: Quarrels,\nevery day."
    (card,) = read_cards(write(tmp_path, [{"id": 7, "base": base, "source": "ESconv", "res": "x"}]))
    assert (card.id, card.name) == ("esc-eval-7", None)
    assert card.text() == "- gender: Female\n- problem: Quarrels, every day."


def test_the_whole_of_esc_eval_s_file_is_read():
    path = SHARED / "data/esc_eval/card_high_en.json"
    if not path.is_file():
        pytest.skip("ESC-Eval's role cards are not at hand (set ESC_SHARED)")
    cards = read_cards(path)
    assert len(cards) == len(json.loads(path.read_text(encoding="utf-8")))
    assert all(card.problem for card in cards)
    said = [text.lower() for card in cards for text in card.profile.values()]
    assert len(said) > 200
    assert not [text for text in said if text.startswith("not mentioned")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"cards\.json: has no role cards: give at least one"),
        ("[]", r"has no role cards"),
        ([{"profile": "x"}], r"cards\.json: record card 1: field name: missing: give every card"),
        ([ADA, {**ADA, "name": "  "}], r"record card 2: field name: missing"),
        ('{"name": "A", "problem": "x"}\n{"problem": "x"}', r"record line 2: field name: missing"),
        ([{"name": "Ada"}], r"record card 1: says nothing of the seeker: give one of profile, problem,"),
        ([ADA, ADA], r"record card 2: field id: 'Ada' stands twice: give every card an id"),
        ([{**ADA, "id": "a#1"}], r"record card 1: field id: may not contain '#'"),
        ([{**ADA, "mood": "x"}], r"record card 1: field mood: Extra inputs"),
        ([{**ADA, "facts": {"mood": "low"}}], r"field facts: has no fact named mood; there are name, occup"),
        ([3], r"record card 1: must be an object"),
        ("[{", r"not JSON"),
        ([{"id": 1, "base": "Name: x"}], r"record card 1: field base: each line must begin with Age,"),
        ([{"base": "Age: 3"}], r"record card 1: field id: missing"),
    ],
)
def test_a_card_that_is_none_is_named(tmp_path: Path, content: Any, message: str):
    with pytest.raises(InputError, match=message) as raised:
        read_cards(write(tmp_path, content))
    assert "\n" not in str(raised.value)
