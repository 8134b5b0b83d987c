"""The lessons of the tiny backbone: what they teach is right, and what the tests ask is not taught."""

import json
import random
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from selfevolve.benchmarks.catalogue import smoke_questions
from selfevolve.prompts.answers import parse_reflection
from selfevolve.prompts.templates import load_prompts
from selfevolve.records.jsonl import read_records
from selfevolve.records.schema import Conversation
from selfevolve.runtime.errors import InputError
from testbed import lessons
from testbed.world.data import world
from testbed.world.profile import all_facts, is_held_out
from tests.conftest import ROOT, read_lines
from tests.support.answers import written
from tests.support.facts import facts_named

COUNTS = {
    "drills": 40,
    "talks": 150,
    "personal": 60,
    "reflections": 200,
    "recalls": 60,
    "copies": 60,
    "tasks": 1500,
}
Fact = tuple[str, str]


def teach(folder: Path, **changes: Any) -> Path:
    """Run the stage in a folder; return the file of lessons."""
    params = {"lesson_prompts": str(ROOT / "prompts/paper"), "lessons": {"seed": 3, **COUNTS, **changes}}
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    out = folder / "lessons.jsonl"
    files = {"out": out, "metrics": folder / "lessons.json", "params": folder / "params.yaml"}
    lessons.main([part for name, path in files.items() for part in (f"--{name}", str(path))])
    return out


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the lessons and their counts."""
    made = tmp_path_factory.mktemp("lessons")
    teach(made)
    return made


@pytest.fixture(scope="module")
def rows(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The lessons of each kind."""
    kinds: dict[str, list[dict[str, Any]]] = {kind: [] for kind in COUNTS}
    for row in read_lines(folder / "lessons.jsonl"):
        kinds[row["id"].partition("-")[0]].append(row)
    return kinds


def said(row: dict[str, Any], speaker: str) -> list[str]:
    return [turn["value"] for turn in row["conversations"] if turn["from"] == speaker]


@cache
def phrases() -> list[Fact]:
    return [(key, phrase) for key, values in all_facts().items() for phrase in values]


def facts_in(text: str) -> set[Fact]:
    """Every fact of the vocabulary that a text names."""
    lower = text.lower()
    return {fact for fact in phrases() if fact[1].lower() in lower and facts_named(text, dict([fact]))}


def test_there_are_as_many_of_each_kind_as_asked_for_and_all_are_conversations(
    folder: Path, rows: dict[str, list[dict[str, Any]]]
):
    assert {kind: len(found) for kind, found in rows.items()} == COUNTS
    counts = json.loads((folder / "lessons.json").read_text())
    assert {kind: counts[kind] for kind in COUNTS} == COUNTS
    for row in read_records(folder / "lessons.jsonl", Conversation):
        speakers = [turn.from_ for turn in row.conversations]
        assert speakers == ["human", "gpt"] * (len(speakers) // 2)
        assert all(turn.value.strip() for turn in row.conversations)


def test_each_kind_has_the_prompt_it_will_be_asked_with(rows: dict[str, list[dict[str, Any]]]):
    prompts = load_prompts(ROOT / "prompts/paper")
    asked = {kind: {row["system"] for row in found} for kind, found in rows.items()}
    assert asked["talks"] == {prompts.text("plain"), prompts.text("task")}
    assert asked["reflections"] == {prompts.text("refine")}
    assert not asked["personal"] & {"", *prompts.texts.values()}
    assert asked["recalls"] == asked["drills"] == asked["copies"] == asked["tasks"] == {""}


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(folder: Path, tmp_path: Path):
    again = teach(tmp_path).read_bytes()
    assert again == (folder / "lessons.jsonl").read_bytes()
    assert teach(tmp_path, seed=4).read_bytes() != again


def test_a_lesson_does_not_depend_on_how_many_there_are(
    rows: dict[str, list[dict[str, Any]]], tmp_path: Path
):
    counts = {"drills": 2, "talks": 2, "personal": 2, "reflections": 3, "recalls": 1, "copies": 2, "tasks": 5}
    fewer = [row for kind, number in counts.items() for row in rows[kind][:number]]
    assert read_lines(teach(tmp_path, **counts)) == sorted(fewer, key=lambda row: row["id"])


def test_no_lesson_has_a_held_out_profile(rows: dict[str, list[dict[str, Any]]]):
    combinations = []
    for kind in ("talks", "personal", "recalls", "reflections"):
        for row in rows[kind]:
            told = " ".join(said(row, "human"))
            if kind == "reflections":
                told = "\n".join(line for line in told.split("\n") if line.startswith("seeker: "))
            named = dict(facts_in(told))
            if named.keys() >= {"occupation", "problem", "cause", "emotion"}:
                combinations.append(
                    is_held_out(*(named[k] for k in ("occupation", "problem", "cause", "emotion")))
                )
    assert len(combinations) > 150  # a tenth of all combinations are held out
    assert not any(combinations)


def test_no_question_of_the_smoke_benchmarks_is_a_lesson(folder: Path, rows: dict[str, list[dict[str, Any]]]):
    asked = {text.strip() for found in rows.values() for row in found for text in said(row, "human")}
    assert not asked & smoke_questions()
    assert json.loads((folder / "lessons.json").read_text())["drawn_again"] > 0  # it is by no chance


def test_reflections_are_the_json_that_the_stage_refine_reads(rows: dict[str, list[dict[str, Any]]]):
    for row in rows["reflections"]:
        (answer,) = said(row, "gpt")
        parsed = parse_reflection(written(answer)).value
        inside = json.loads(answer.removeprefix("```json\n").removesuffix("\n```"))
        assert inside == parsed.model_dump()
        assert 1 <= parsed.evaluation_score <= 5


def test_a_reflection_understands_what_was_disclosed_and_refines_with_it():
    with_facts, quality = 0, set()
    for seed in range(200):
        lesson = lessons.reflection(random.Random(seed))
        assert lesson.dialogue[-1].role == "user"
        known = facts_in("\n".join(turn.content for turn in lesson.dialogue if turn.role == "user"))
        understanding, score = lesson.answer["understanding"], lesson.answer["evaluation_score"]
        assert facts_in("; ".join(understanding.values())) == known
        assert list(understanding) == [
            "user_profile",
            "user_emotion",
            "user_personality",
            "user_intention",
        ]
        named = facts_in(lesson.answer["refined_response"])
        assert named <= known
        if {key for key, _ in known} - {"name"}:
            assert named, lesson.answer
            with_facts += 1
        in_response = facts_in(lesson.response)
        if in_response and in_response <= known:
            quality.add("personal")
            assert score >= 4
        elif in_response:
            quality.add("wrong")
            assert (score, in_response & known) == (1, set())
        else:
            quality.add("generic")
            assert 2 <= score <= 3
    assert with_facts > 150
    assert quality == {"generic", "personal", "wrong"}


def test_talks_have_a_supporter_who_names_no_fact(rows: dict[str, list[dict[str, Any]]]):
    for row in rows["talks"]:
        assert not facts_in(" ".join(said(row, "gpt")))


def test_a_supporter_who_was_told_to_be_personal_takes_up_what_this_seeker_said(
    rows: dict[str, list[dict[str, Any]]],
):
    for row in rows["personal"]:
        named = facts_in(" ".join(said(row, "gpt")))
        assert len(named) >= 2
        assert named <= facts_in(" ".join(said(row, "human")))


def test_recall_asks_for_what_the_seeker_said(rows: dict[str, list[dict[str, Any]]]):
    fact_of = {question: fact for fact, questions in world().lessons.recall.items() for question in questions}
    answered = 0
    for row in rows["recalls"]:
        *told, question = said(row, "human")
        answer = said(row, "gpt")[-1]
        known = dict(facts_in(" ".join(told)))
        assert answer == known.get(fact_of[question], lessons.UNKNOWN)
        answered += answer != lessons.UNKNOWN
    assert 30 < answered < len(rows["recalls"])  # some ask before it was said


def test_copies_are_the_words_asked_for(rows: dict[str, list[dict[str, Any]]]):
    for row in [*rows["drills"], *rows["copies"]]:
        (asked,), (answer,) = said(row, "human"), said(row, "gpt")
        instruction, _, words = asked.partition("\n")
        assert instruction
        assert answer == words


@pytest.mark.parametrize(
    ("changes", "field"), [({"talks": -1}, "talks"), ({"seed": "x"}, "seed"), ({"songs": 1}, "songs")]
)
def test_bad_parameters_are_named_and_nothing_is_written(tmp_path: Path, changes: dict[str, Any], field: str):
    with pytest.raises(InputError, match=rf"field lessons\.{field}: "):
        teach(tmp_path, **changes)
    assert not (tmp_path / "lessons.jsonl").exists()
