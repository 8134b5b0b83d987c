"""Fact mentions by the stage score, on files made from the world."""

from pathlib import Path
from typing import Any

import pytest

from selfevolve.metrics.facts import FACTS
from selfevolve.records.jsonl import read_records, write_records
from selfevolve.records.schema import Context, FactMentions, Response
from selfevolve.runtime.errors import InputError
from stages import compare, score
from tests.conftest import read_lines
from tests.support.world_files import (
    Say,
    answers,
    dialogues_of,
    given,
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


def score_facts(folder: Path, responses: Path, *more: str) -> None:
    (folder / "params.yaml").write_text(
        "score: {semantic: false}\ncompare: {seed: 3, resamples: 1000, level: 0.95}\n"
    )
    score.main(
        [
            *more,
            *("--responses", str(responses), "--contexts", str(folder / "contexts.jsonl")),
            *("--out", str(folder / "text.json"), "--params", str(folder / "params.yaml")),
            *(*given(folder), "--facts", str(folder / "facts.json")),
            *("--fact-details", str(folder / "facts.jsonl")),
        ]
    )


def run_facts(folder: Path, say: Say) -> tuple[dict[str, float], list[dict[str, Any]]]:
    score_facts(folder, answers(folder, "responses", say))
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
    assert list(details[0]) == ["id", "known", "own", "early", "wrong", "fragments", "words"]
    assert [detail["id"] for detail in details] == list(cut)
    for detail in details:
        dialogue = dialogues[detail["id"].partition("#")[0]]
        assert detail["known"] == list(known_at(cut[detail["id"]], dialogue))
        hidden = [key for key in FACTS if key not in detail["known"] and key != "name"]
        assert (detail["own"], detail["early"], detail["wrong"]) == ([], hidden, [])
    assert len(read_records(world / "facts.jsonl", FactMentions)) == len(details)


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
    context = read_records(world / "contexts.jsonl", Context)[0]
    write_records(world / "contexts.jsonl", [context.model_copy(update={"id": identity})])
    with pytest.raises(InputError, match=rf"odd\.jsonl: {message}"):
        score_facts(world, world / "odd.jsonl")
    for name in ("facts.json", "facts.jsonl"):
        assert not (world / name).exists()


def test_the_intervals_are_those_of_the_stage_compare(world: Path):
    responses = answers(world, "responses", say_all)
    details, out = world / "scores.jsonl", world / "intervals.json"
    score_facts(world, responses, "--details", str(details), "--intervals", str(out))
    files = {"responses": responses, "details": details, "scores": world / "text.json"}
    files |= {"facts": world / "facts.jsonl"}
    given_ = [part for name, file in files.items() for part in (f"--{name}", f"{world.name}={file}")]
    more = ["--contexts", str(world / "contexts.jsonl"), "--params", str(world / "params.yaml")]
    compare.main([*given_, *more, "--out", str(world / "alone.json")])
    assert out.read_bytes() == (world / "alone.json").read_bytes()
    found = read(out)["models"][world.name]["facts"]
    summary = read(world / "facts.json")
    assert {name: one["value"] for name, one in found.items()} == pytest.approx(
        {name: summary[name] for name in found}
    )


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--dialogues", "d.jsonl"], "together"),
        (["--facts", "f.json", "--fact-details", "f.jsonl"], "together"),
        (["--intervals", "i.json"], "--intervals needs --details"),
    ],
)
def test_options_that_do_not_fit_are_an_error_of_usage(
    more: list[str], message: str, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit) as stopped:
        score.main(["--responses", "r.jsonl", "--contexts", "c.jsonl", "--out", "o.json", *more])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
