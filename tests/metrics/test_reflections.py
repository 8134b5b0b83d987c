"""The stage reflections, on files made from the world."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfevolve.records.jsonl import read_records, write_records
from selfevolve.records.schema import (
    Context,
    Preference,
    Refinement,
    ShareGptMessage,
    Understanding,
    sharegpt,
)
from selfevolve.runtime.errors import InputError
from stages import reflections
from testbed import lessons
from testbed.world.profile import draw_stranger
from tests.support.facts import profile_of
from tests.support.world_files import (
    GENERIC,
    PROFILE,
    answers,
    dialogues_of,
    given,
    known_at,
    read,
    say_all,
    say_nothing,
    say_stranger_s,
    without_profiles,
    write_world,
)


@pytest.fixture
def world(tmp_path: Path) -> Path:
    return write_world(tmp_path)


def run_reflections(folder: Path, refined: list[Refinement], *more: str) -> dict[str, Any]:
    write_records(folder / "refined.jsonl", refined)
    rejected = answers(folder, "rejected", say_nothing)
    reflections.main(
        [
            *("--refined", str(folder / "refined.jsonl"), "--rejected", str(rejected)),
            *(*given(folder), "--out", str(folder / "reflections.json"), *more),
        ]
    )
    return read(folder / "reflections.json")


def write_pairs(folder: Path) -> int:
    """Write a pair of every context, the first dialogue's held back; return how many are refined.

    Refined responses say all that is known, golden ones the emotion of a stranger, rejected ones nothing.
    """
    dialogues, parts = dialogues_of(folder), {"train": [], "valid": []}
    for number, context in enumerate(read_records(folder / "contexts.jsonl", Context)):
        source = "refined" if number % 3 else "golden_length"
        dialogue = dialogues[context.id.partition("#")[0]]
        say = say_all if source == "refined" else say_stranger_s
        text = say(context, known_at(context, dialogue), profile_of(dialogue.meta["profile"]))
        pair = Preference(
            id=context.id,
            system="S",
            conversations=sharegpt(context.messages),
            chosen=ShareGptMessage(from_="gpt", value=text),
            rejected=ShareGptMessage(from_="gpt", value=GENERIC),
            chosen_source=source,
        )
        parts["valid" if context.id.startswith("world-0000") else "train"].append(pair)
    for part, pairs in parts.items():
        write_records(folder / "pairs" / f"{part}.jsonl", pairs)
    return sum(pair.chosen_source == "refined" for pairs in parts.values() for pair in pairs)


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


def test_the_facts_of_the_pairs_stand_by_the_source_of_the_chosen_responses(world: Path):
    refined, count = refinements(world), write_pairs(world)
    result = run_reflections(world, refined, "--preferences", str(world / "pairs"))
    by_source = result.pop("facts_by_source")
    assert result == run_reflections(world, refined)
    assert list(by_source) == ["golden_length", "refined"]
    assert by_source["refined"]["pairs"] == count
    assert by_source["refined"]["pairs"] + by_source["golden_length"]["pairs"] == len(refined)
    known = [
        len(known_at(context, dialogues_of(world)[context.id.partition("#")[0]]))
        for number, context in enumerate(read_records(world / "contexts.jsonl", Context))
        if number % 3
    ]
    assert by_source["refined"]["chosen_own"] == pytest.approx(sum(known) / len(known))
    assert by_source["refined"]["chosen_wrong"] == by_source["golden_length"]["chosen_own"] == 0
    assert by_source["golden_length"]["chosen_wrong"] == 1
    assert {source["rejected_own"] + source["rejected_wrong"] for source in by_source.values()} == {0}
    without_profiles(world)
    assert run_reflections(world, refined, "--preferences", str(world / "pairs"))["facts_by_source"] == {}


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
        profile = profile_of(dialogues_of(world)[refinement.id.partition("#")[0]].meta["profile"])
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
