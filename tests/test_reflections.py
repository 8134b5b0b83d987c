"""The stage reflections, on files made from the world."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stages import reflections
from stages.records.errors import InputError
from stages.records.jsonl import read_records, write_records
from stages.records.schema import Context, Refinement, Understanding
from stages.world import lessons
from stages.world.profile import Profile, draw_stranger
from tests.world_files import (
    PROFILE,
    answers,
    dialogues_of,
    known_at,
    read,
    say_all,
    say_nothing,
    without_profiles,
    write_world,
)


@pytest.fixture
def world(tmp_path: Path) -> Path:
    return write_world(tmp_path)


def run_reflections(folder: Path, refined: list[Refinement]) -> dict[str, Any]:
    write_records(folder / "refined.jsonl", refined)
    rejected = answers(folder, "rejected", say_nothing)
    reflections.main(
        [
            *("--refined", str(folder / "refined.jsonl"), "--rejected", str(rejected)),
            *("--dialogues", str(folder / "dialogues.jsonl"), "--out", str(folder / "reflections.json")),
        ]
    )
    return read(folder / "reflections.json")


def refinements(folder: Path, failing: Callable[[int], bool] = lambda _: False) -> list[Refinement]:
    """What a perfect model would write for every context, or what cannot be read."""
    dialogues, written = dialogues_of(folder), []
    for number, context in enumerate(read_records(folder / "contexts.jsonl", Context)):
        if failing(number):
            written.append(Refinement(id=context.id, attempts=3, status="failed", raw=["", "", ""]))
            continue
        known = known_at(context, dialogues[context.id.partition("#")[0]])
        written.append(
            Refinement(
                id=context.id,
                understanding=Understanding(**lessons.understanding(known)),
                evaluation_score=2.0,
                feedback="",
                refined_response=say_all(context, known, PROFILE),
                attempts=1 + number % 2,
                status="parsed",
            )
        )
    return written


def test_perfect_reflections_are_right_and_know_no_more_than_was_said(world: Path):
    refined = refinements(world)
    result = run_reflections(world, refined)
    assert (result["count"], result["contexts"]) == (len(refined), len(refined))
    assert result["valid"] == 100
    assert result["valid_first"] == pytest.approx(50, abs=1)
    assert (result["fields_right"], result["said_named"], result["wrong"]) == (100, 100, 0)
    assert 40 < result["profile_named"] < 90  # what is still hidden is missing
    by_turns = result["by_seeker_turns"]
    assert list(by_turns) == [str(number) for number in range(2, 2 + len(by_turns))]
    assert sum(part["contexts"] for part in by_turns.values()) == len(refined)
    assert by_turns["2"]["profile_named"] < by_turns["5"]["profile_named"] < by_turns["8"]["profile_named"]
    assert (result["refined_own_share"], result["direct_own_share"]) == (100, 0)
    assert result["refined_minus_direct"] == {"mean": 100, "low": 100, "high": 100, "p": 2 / 2**10}


def test_what_cannot_be_read_counts_as_nothing_understood(world: Path):
    refined = refinements(world, failing=lambda number: number % 2 == 0)
    half = sum(refinement.status == "parsed" for refinement in refined) / len(refined)
    result = run_reflections(world, refined)
    assert result["valid"] == result["fields_right"] == pytest.approx(100 * half)
    assert result["valid_first"] == 0  # those that could be read took two attempts
    assert result["said_named"] == pytest.approx(100 * half, abs=10)
    assert result["refined_own_share"] == 100  # over those that could be read
    nothing = run_reflections(world, refinements(world, failing=lambda _: True))
    assert (nothing["valid"], nothing["fields_right"], nothing["said_named"], nothing["wrong"]) == (
        0,
        0,
        0,
        0,
    )
    assert not {"refined_own_share", "direct_own_share", "refined_minus_direct"} & nothing.keys()


def test_one_dialogue_gives_shares_but_no_interval(world: Path):
    refined = [r for r in refinements(world) if r.id.startswith("world-0000")]
    result = run_reflections(world, refined)
    assert result["refined_own_share"] == 100
    assert "refined_minus_direct" not in result


def test_a_reflection_on_somebody_else_is_wrong(world: Path):
    refined = []
    for refinement in refinements(world):
        profile = Profile.from_meta(dialogues_of(world)[refinement.id.partition("#")[0]].meta["profile"])
        stranger = draw_stranger(profile, random.Random(refinement.id)).facts
        understanding = Understanding(**lessons.understanding(stranger))
        refined.append(refinement.model_copy(update={"understanding": understanding}))
    result = run_reflections(world, refined)
    assert (result["fields_right"], result["said_named"], result["profile_named"]) == (0, 0, 0)
    assert result["wrong"] == 100


def test_reflections_on_a_corpus_without_profiles_are_counted_alone(world: Path):
    refined = refinements(world)
    without_profiles(world)
    result = run_reflections(world, refined)
    assert list(result) == ["count", "valid_first", "valid", "contexts"]
    assert (result["count"], result["valid"], result["contexts"]) == (len(refined), 100, 0)


def test_a_refinement_without_its_direct_response_is_an_error(world: Path):
    refined = refinements(world)
    extra = refined[-1].model_copy(update={"id": "world-0000#1"})
    with pytest.raises(InputError, match=r"rejected\.jsonl: record world-0000#1: has no record of this id"):
        run_reflections(world, [extra, *refined])
    with pytest.raises(InputError, match=r"refined\.jsonl: has no refinements"):
        run_reflections(world, [])
    assert not (world / "reflections.json").exists()
