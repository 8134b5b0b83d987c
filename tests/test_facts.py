"""The stage facts, on files made from the world."""

from pathlib import Path
from typing import Any

import pytest

from stages import facts
from stages.records.errors import InputError
from stages.records.jsonl import read_records, write_records
from stages.records.schema import Context, Response, Takeup
from stages.world.profile import FACTS
from tests.conftest import read_lines
from tests.world_files import (
    Say,
    answers,
    dialogues_of,
    known_at,
    read,
    say_all,
    say_nothing,
    say_stranger_s,
    say_what_comes,
    without_profiles,
    write_world,
)


@pytest.fixture
def world(tmp_path: Path) -> Path:
    return write_world(tmp_path)


def run_facts(folder: Path, say: Say) -> tuple[dict[str, float], list[dict[str, Any]]]:
    responses = answers(folder, "responses", say)
    facts.main(
        [
            *("--responses", str(responses), "--dialogues", str(folder / "dialogues.jsonl")),
            *("--out", str(folder / "facts.json"), "--details", str(folder / "facts.jsonl")),
        ]
    )
    return read(folder / "facts.json"), read_lines(folder / "facts.jsonl")


@pytest.mark.parametrize(
    ("say", "expected"),
    [
        (say_all, {"own_share": 100.0, "personal": 100.0, "generic": 0.0, "wrong": 0.0}),
        (say_nothing, {"own_share": 0.0, "personal": 0.0, "generic": 100.0, "wrong": 0.0, "words": 6.0}),
        (say_stranger_s, {"own_share": 0.0, "personal": 0.0, "generic": 0.0, "wrong": 100.0}),
    ],
)
def test_facts_of_models_that_are_known(world: Path, say: Say, expected: dict[str, float]):
    # Contexts in which nothing has been said yet: with nothing to name, say_all is generic there.
    dialogues = dialogues_of(world)
    told = [
        context
        for context in read_records(world / "contexts.jsonl", Context)
        if known_at(context, dialogues[context.id.partition("#")[0]])
    ]
    write_records(world / "contexts.jsonl", told)
    summary, details = run_facts(world, say)
    assert list(summary)[:2] == ["responses", "with_profile"]
    assert summary["responses"] == summary["with_profile"] == len(details) == len(told) > 60
    assert {key: summary[key] for key in expected} == expected
    assert summary["own_count"] == pytest.approx(sum(len(d["own"]) for d in details) / len(details))


def test_details_agree_with_what_the_dialogues_say(world: Path):
    _, details = run_facts(world, say_what_comes)
    dialogues = dialogues_of(world)
    cut = {context.id: context for context in read_records(world / "contexts.jsonl", Context)}
    assert list(details[0]) == ["id", "known", "own", "early", "wrong", "words"]
    assert [detail["id"] for detail in details] == list(cut)
    for detail in details:
        dialogue = dialogues[detail["id"].partition("#")[0]]
        assert detail["known"] == list(known_at(cut[detail["id"]], dialogue))
        hidden = [key for key in FACTS if key not in detail["known"] and key != "name"]
        assert (detail["own"], detail["early"], detail["wrong"]) == ([], hidden, [])
    assert len(read_records(world / "facts.jsonl", Takeup)) == len(details)


def test_a_corpus_without_profiles_has_no_facts_to_count(world: Path):
    without_profiles(world)
    summary, details = run_facts(world, say_all)
    assert summary == {"responses": len(read_lines(world / "contexts.jsonl")), "with_profile": 0}
    assert details == []


def test_a_corpus_with_some_profiles_counts_those(world: Path):
    first, *others = dialogues_of(world).values()
    write_records(world / "dialogues.jsonl", [first.model_copy(update={"meta": {}}), *others])
    summary, details = run_facts(world, say_all)
    assert summary["responses"] > summary["with_profile"] == len(details) > 0
    assert not any(detail["id"].startswith(first.id) for detail in details)


@pytest.mark.parametrize(
    ("identity", "message"),
    [
        ("other-0001#3", r"record other-0001#3: no such dialogue in .*dialogues\.jsonl"),
        ("world-0001#4", "record world-0001#4: is no supporter turn"),
        ("world-0001#99", "record world-0001#99: is no supporter turn"),
        ("world-0001", "record world-0001: is no supporter turn"),
        ("world-0001#-1", "record world-0001#-1: is no supporter turn"),
    ],
)
def test_a_response_to_no_context_of_the_dialogues_is_an_error(world: Path, identity: str, message: str):
    response = Response(id=identity, text="x", finish_reason="stop", attempt=1, model="m")
    write_records(world / "odd.jsonl", [response])
    out = [f"--out={world / 'o.json'}", f"--details={world / 'o.jsonl'}"]
    with pytest.raises(InputError, match=rf"odd\.jsonl: {message}"):
        facts.main([f"--responses={world / 'odd.jsonl'}", f"--dialogues={world / 'dialogues.jsonl'}", *out])
    write_records(world / "odd.jsonl", [])
    with pytest.raises(InputError, match=r"odd\.jsonl: has no responses"):
        facts.main([f"--responses={world / 'odd.jsonl'}", f"--dialogues={world / 'dialogues.jsonl'}", *out])
    assert not (world / "o.json").exists()
    assert not (world / "o.jsonl").exists()
