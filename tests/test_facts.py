"""The stages facts, reflections and sample, and the table, on files made from the world."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stages import experiment, facts, reflections, sample, table
from stages.dialogue.cleaning import clean_corpus
from stages.dialogue.contexts import contexts
from stages.dialogue.raw import RawDialogue, RawTurn
from stages.records.errors import InputError
from stages.records.jsonl import natural_key, read_records, write_records
from stages.records.publish import publish_json
from stages.records.schema import Context, Dialogue, Refinement, Response, Takeup, Understanding
from stages.world import lessons
from stages.world.profile import FACTS, Profile, draw_profile, draw_stranger, facts_named
from stages.world.session import make_session
from stages.world.upstreams import ESCONV
from tests.conftest import read_lines

PROFILE = draw_profile(random.Random(99))
GENERIC = "That sounds hard. What happened next?"


# --- files made from the world


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """A folder with dialogues.jsonl and contexts.jsonl: ten cleaned dialogues of the world."""
    raw = []
    for number in range(10):
        rng = random.Random(number)
        session = make_session(draw_profile(rng), ESCONV, rng)
        turns = [RawTurn(said.role, said.text) for said in session.utterances]
        meta = {"profile": session.profile.as_meta(session.disclosure)}
        raw.append(RawDialogue(f"world-{number:04d}", "world", turns, meta))
    dialogues, _ = clean_corpus(raw, 10)
    write_records(tmp_path / "dialogues.jsonl", dialogues)
    write_records(tmp_path / "contexts.jsonl", [c for d in dialogues for c in contexts(d, 1, 2)])
    return tmp_path


def dialogues_of(folder: Path) -> dict[str, Dialogue]:
    return {dialogue.id: dialogue for dialogue in read_records(folder / "dialogues.jsonl", Dialogue)}


def known_at(context: Context, dialogue: Dialogue) -> dict[str, str]:
    """What the seeker turns of a context say, found in their text and not in the disclosure's numbers."""
    said = " ".join(message.content for message in context.messages if message.role == "user")
    profile = dialogue.meta["profile"]
    named = facts_named(said, profile)
    return {key: profile[key] for key in FACTS if key in named and key != "name"}


Say = Callable[[Context, dict[str, str], Profile], str]


def say_all(_: Context, known: dict[str, str], __: Profile) -> str:
    return "I hear this: " + ", ".join(known.values())


def say_nothing(*_: Any) -> str:
    return GENERIC


def say_stranger_s(context: Context, _: dict[str, str], profile: Profile) -> str:
    return f"You feel {draw_stranger(profile, random.Random(context.id)).emotion}."


def say_what_comes(_: Context, known: dict[str, str], profile: Profile) -> str:
    return ", ".join(value for key, value in profile.facts.items() if key not in known and key != "name")


def answers(folder: Path, name: str, say: Say) -> Path:
    """Write a response to every context of the folder."""
    dialogues, written = dialogues_of(folder), []
    for context in read_records(folder / "contexts.jsonl", Context):
        dialogue = dialogues[context.id.partition("#")[0]]
        there = "profile" in dialogue.meta
        profile = Profile.from_meta(dialogue.meta["profile"]) if there else PROFILE
        text = say(context, known_at(context, dialogue) if there else {}, profile)
        written.append(Response(id=context.id, text=text, finish_reason="stop", attempt=1, model="m"))
    path = folder / f"{name}.jsonl"
    write_records(path, written)
    return path


def without_profiles(folder: Path) -> None:
    """Make a real corpus of it: the same dialogues, of whose seekers nothing is known."""
    plain = [dialogue.model_copy(update={"meta": {}}) for dialogue in dialogues_of(folder).values()]
    write_records(folder / "dialogues.jsonl", plain)


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


# --- the stage facts


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


# --- the stage reflections


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


# --- the stage sample


def run_sample(folder: Path, first: Say, last: Say) -> dict[str, Any]:
    sample.main(
        [
            *("--first", str(answers(folder, "first", first)), "--last", str(answers(folder, "last", last))),
            *("--contexts", str(folder / "contexts.jsonl")),
            *("--dialogues", str(folder / "dialogues.jsonl"), "--out", str(folder / "sample.json")),
        ]
    )
    return read(folder / "sample.json")


def test_the_sample_is_the_first_context_that_the_rule_matches(world: Path):
    def first(context: Context, known: dict[str, str], profile: Profile) -> str:
        """Generic only from the third dialogue on."""
        early = natural_key(context.id) < ("world-0002", 0)
        return say_all(context, known, profile) if early else GENERIC

    def last(context: Context, known: dict[str, str], profile: Profile) -> str:
        """Right about all, but from there until late in the fourth it mixes the seeker up with somebody."""
        text = say_all(context, known, profile)
        wrong = ("world-0002", 0) <= natural_key(context.id) < ("world-0003", 9)
        return text if not wrong else f"{text}. {say_stranger_s(context, known, profile)}"

    everything = read_records(world / "contexts.jsonl", Context)
    matching = [context for context in everything if natural_key(context.id) >= ("world-0003", 9)]
    matching = [c for c in matching if known_at(c, dialogues_of(world)[c.id.partition("#")[0]])]
    picked = run_sample(world, first, last)
    keys = ["rule", "contexts", "matching", "id", "messages", "first", "last", "golden", "own"]
    assert list(picked) == keys
    assert (picked["contexts"], picked["matching"]) == (len(everything), len(matching))
    assert picked["id"] == matching[0].id == "world-0003#9"
    assert [m["content"] for m in picked["messages"]] == [m.content for m in matching[0].messages[5:9]]
    assert (picked["golden"], picked["first"]) == (matching[0].golden, GENERIC)
    profile = dialogues_of(world)["world-0003"].meta["profile"]
    assert set(picked["own"]) == facts_named(picked["last"], profile)


def test_where_nothing_matches_there_is_no_sample(world: Path):
    assert set(run_sample(world, say_all, say_nothing)) == {"rule", "contexts", "matching"}
    assert run_sample(world, say_nothing, say_nothing)["matching"] == 0
    without_profiles(world)
    picked = run_sample(world, say_nothing, say_all)
    assert set(picked) == {"contexts", "matching", "reason"}
    assert (picked["contexts"], picked["matching"]) == (len(read_lines(world / "contexts.jsonl")), 0)


def test_a_context_that_a_model_did_not_answer_is_an_error(world: Path):
    run_sample(world, say_nothing, say_all)
    before = (world / "sample.json").read_bytes()
    missing, *others = read_records(world / "last.jsonl", Response)
    write_records(world / "short.jsonl", others)
    arguments = [f"--{name}={world / name}.jsonl" for name in ("first", "contexts", "dialogues")]
    with pytest.raises(InputError, match=rf"short\.jsonl: record {missing.id}: has no record of this id"):
        sample.main([*arguments, f"--last={world / 'short.jsonl'}", f"--out={world / 'sample.json'}"])
    assert (world / "sample.json").read_bytes() == before


# --- the table


def print_metrics(folder: Path, capsys: pytest.CaptureFixture[str], *models: str) -> str:
    table.main([*models, "--metrics", str(folder)])
    return capsys.readouterr().out


def test_the_table_has_a_block_of_own_facts_where_there_are_any(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    heading = "the seeker's own facts (mini world), percent of responses"
    assert heading not in print_metrics(tmp_path, capsys, "m0", "m1")
    publish_json(tmp_path / "m0" / "facts.json", {"responses": 5, "with_profile": 0})
    assert heading not in print_metrics(tmp_path, capsys, "m0", "m1")
    numbers = {"own_share": 41.234, "own_count": 1.5, "personal": 60.0, "generic": 30.0, "wrong": 10.0}
    whole = {"responses": 5, "with_profile": 5, **numbers, "words": 21.4}
    publish_json(tmp_path / "m1" / "facts.json", whole)
    del whole["own_share"]
    publish_json(tmp_path / "m2" / "facts.json", whole)
    block = print_metrics(tmp_path, capsys, "m0", "m1", "m2").split(f"\n{heading}\n")[1].split("\n\n")[0]
    rows = block.splitlines()
    assert rows[0].split() == ["own", "facts", "personal", "generic", "wrong", "words"]
    assert rows[1].split() == ["m1", "41.23", "60.00", "30.00", "10.00", "21.40"]
    assert rows[2].split() == ["m2", "n/a", "60.00", "30.00", "10.00", "21.40"]
    assert len(rows) == 3
    assert len({len(row) for row in rows}) == 1


@pytest.mark.parametrize(("columns", "widest"), [(60, 60), (200, 100)])
def test_the_sample_is_printed_no_wider_than_the_terminal(
    world: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    columns: int,
    widest: int,
):
    monkeypatch.setenv("COLUMNS", str(columns))
    assert "sample" not in print_metrics(world, capsys, "m0")
    run_sample(world, say_nothing, say_nothing)
    assert "sample" not in print_metrics(world, capsys, "m0")
    picked = run_sample(world, say_nothing, say_all)
    printed = print_metrics(world, capsys, "m0").split("\nsample ")[1]
    start = f"{picked['id']}: the rule matches {picked['matching']} of {picked['contexts']} contexts"
    assert printed.startswith(start)
    assert max(map(len, printed.splitlines())) <= widest
    flat = " ".join(printed.split())
    for text in (picked["last"], picked["golden"], *(m["content"] for m in picked["messages"])):
        assert " ".join(text.split()) in flat
    assert "seeker" in flat
    assert flat.endswith("own facts " + ", ".join(picked["own"]))


def test_a_run_measures_facts_reflections_and_the_sample():
    refined, golden = {"chosen": "refined"}, {"chosen": "golden"}
    comparisons = {"m0-m1": {"first": "m0", "last": "m1"}, "m1-m2": {"first": "m1", "last": "m2"}}
    wanted = experiment.targets(["vanilla", "m0", "m1"], {"m1": refined, "m2": refined}, comparisons)
    assert {"headline", "sample", "facts@vanilla", "facts@m0", "facts@m1", "reflections@m1"} < set(wanted)
    assert {"intervals@vanilla", "intervals@m1", "compare@m0-m1"} < set(wanted)
    assert not {"reflections@m0", "reflections@m2", "facts@m2", "compare@m1-m2"} & set(wanted)
    assert "sample" not in experiment.targets(["vanilla"], {"m1": refined}, comparisons)
    assert "reflections@m1" not in experiment.targets(["m0", "m1"], {"m1": golden}, comparisons)
