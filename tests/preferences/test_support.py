"""The support rule: refined responses that say of the seeker what the dialogue does not hold."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfevolve.metrics.semantic import find_encoder
from selfevolve.preferences.support import by_encoder, by_facts, statements
from selfevolve.records.jsonl import dialogue_of, read_records, write_records
from selfevolve.records.schema import Context, Message, Preference, Response
from selfevolve.runtime.errors import InputError
from tests.support.facts import pattern
from tests.support.preferences import direct, pairs_made_in, refined
from tests.support.world_files import (
    GENERIC,
    Say,
    answers,
    dialogues_of,
    say_all,
    say_nothing,
    say_stranger_s,
    say_what_comes,
    write_world,
)

DIALOGUE = (
    "My sister and I had a terrible fight, and she moved out last week.",
    "That must hurt. How are you now?",
    "I cannot sleep, and I keep failing my exams at university.",
)


def said(folder: Path, name: str, say: Say) -> dict[str, str]:
    return {one.id: one.text for one in read_records(answers(folder, name, say), Response)}


@pytest.mark.parametrize("say", [say_all, say_nothing, say_stranger_s, say_what_comes])
def test_a_fact_that_no_turn_names_is_found_and_no_other(tmp_path: Path, say: Say):
    folder = write_world(tmp_path)
    contexts, texts = read_records(folder / "contexts.jsonl", Context), said(folder, "made", say)
    found = by_facts(contexts, texts, folder / "vocabulary.json")
    vocabulary = json.loads((folder / "vocabulary.json").read_text())["phrases"]
    phrases = {phrase for own in vocabulary.values() for phrase in own}
    for context in contexts:
        turns = " / ".join(message.content for message in context.messages)
        failing = found.unsupported.get(context.id, [])
        for phrase in failing:
            assert phrase in phrases
            assert pattern(phrase).search(texts[context.id])
            assert not pattern(phrase).search(turns)
        if say in (say_all, say_nothing):
            assert not failing
    if say in (say_stranger_s, say_what_comes):
        assert found.counts["unsupported"] > len(contexts) / 2
    assert found.counts["checked"] == len(contexts)
    assert found.counts["unsupported_statements"] == sum(map(len, found.unsupported.values()))


def write_refined(folder: Path) -> tuple[Counter[str], list[str]]:
    """Refinements, a third with a stranger's emotion; how many of each kind, and those without support."""
    texts = {"stranger": said(folder, "stranger", say_stranger_s), "own": said(folder, "own", say_all)}
    contexts = read_records(folder / "contexts.jsonl", Context)
    kinds = {context.id: ("stranger", "own", "failed")[n % 3] for n, context in enumerate(contexts)}
    write_records(folder / "rejected.jsonl", [direct(GENERIC, context.id) for context in contexts])
    made = [refined(texts[kind][name] if kind in texts else None, name) for name, kind in kinds.items()]
    write_records(folder / "refined.jsonl", made)
    emotions = {name: one.meta["profile"]["emotion"] for name, one in dialogues_of(folder).items()}
    strange = [c.id for c in contexts if kinds[c.id] == "stranger" and unnamed(c, texts["stranger"][c.id])]
    assert not [name for name in strange if emotions[dialogue_of(name)] in texts["stranger"][name]]
    return Counter(kinds.values()), strange


def unnamed(context: Context, text: str) -> bool:
    emotion = text.removeprefix("You feel ").removesuffix(".")
    return not any(pattern(emotion).search(message.content) for message in context.messages)


@pytest.mark.parametrize("unsupported", ["golden", "drop"])
def test_the_stage_drops_or_replaces_what_has_no_support_and_counts_it(
    unsupported: str, tmp_path: Path, params_file: Callable[..., Path]
):
    folder = write_world(tmp_path)
    kinds, strange = write_refined(folder)
    assert 0 < len(strange) <= kinds["stranger"]
    rule: dict[str, Any] = {"pair.supported_by": "facts", "pair.unsupported": unsupported}
    params = params_file({**rule, "pair.max_length_ratio": None, "pair.valid_share": 0.2})
    more = ("--refined", str(folder / "refined.jsonl"), "--vocabulary", str(folder / "vocabulary.json"))
    pairs = {made.id: made for made in pairs_made_in(folder, params, *more)}
    counts = json.loads((folder / "m.json").read_text())
    assert counts["support"]["checked"] == kinds["stranger"] + kinds["own"]
    assert counts["support"]["unsupported"] == len(strange)
    assert counts["contexts"] == counts["pairs"] + sum(counts["dropped"].values())
    assert counts["dropped"]["unsupported"] == (len(strange) if unsupported == "drop" else 0)
    golden = {context.id: context.golden for context in read_records(folder / "contexts.jsonl", Context)}
    for name in strange:
        if unsupported == "drop":
            assert name not in pairs
        else:
            assert (pairs[name].chosen_source, pairs[name].chosen.value) == ("golden_support", golden[name])
    rest = [made for name, made in pairs.items() if name not in strange]
    assert {made.chosen_source for made in rest} == {"refined", "golden_parse"}


def test_without_the_rule_nothing_is_asked_or_counted(tmp_path: Path, params_file: Callable[..., Path]):
    folder = write_world(tmp_path)
    write_refined(folder)
    params = params_file({"pair.max_length_ratio": None})
    pairs_made_in(folder, params, "--refined", str(folder / "refined.jsonl"))
    counts = json.loads((folder / "m.json").read_text())
    assert "support" not in counts
    assert counts["dropped"]["unsupported"] == counts["chosen_source"]["golden_support"] == 0


def test_a_response_that_is_too_long_is_counted_as_such_and_not_checked(
    tmp_path: Path, params_file: Callable[..., Path]
):
    folder = write_world(tmp_path)
    write_refined(folder)
    changes = {"pair.supported_by": "facts", "pair.max_length_ratio": 0.1}
    more = ("--refined", str(folder / "refined.jsonl"), "--vocabulary", str(folder / "vocabulary.json"))
    made: list[Preference] = pairs_made_in(folder, params_file(changes), *more)
    assert {one.chosen_source for one in made} == {"golden_length", "golden_parse"}
    assert json.loads((folder / "m.json").read_text())["support"]["checked"] == 0


def test_without_gold_profiles_facts_are_refused(tmp_path: Path, params_file: Callable[..., Path]):
    folder = write_world(tmp_path)
    write_refined(folder)
    (folder / "vocabulary.json").write_text('{"phrases": {}, "words": []}')
    params = params_file({"pair.supported_by": "facts"})
    more = ("--refined", str(folder / "refined.jsonl"))
    with pytest.raises(InputError, match=r"vocabulary\.json: is empty, .* must be encoder or null"):
        pairs_made_in(folder, params, *more, "--vocabulary", str(folder / "vocabulary.json"))
    with pytest.raises(InputError, match=r"field pair\.supported_by: facts need --vocabulary"):
        pairs_made_in(folder, params, *more)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("You lost your job at the bakery.", ["You lost your job at the bakery."]),
        ("That is hard. Your sister moved out! I see.", ["Your sister moved out!"]),
        ("You’re worried about the exams", ["You’re worried about the exams"]),
        ("You can't sleep before exams.", ["You can't sleep before exams."]),
        ("Did you lose your job?", []),  # a question
        ("You could call your sister tonight.", []),  # advice
        ("If you lost your job, the union helps.", []),  # a condition
        ("Thank you for sharing this with me.", []),  # formulas
        ("Losing a sister hurts.", []),  # of nobody
    ],
)
def test_a_statement_is_about_the_seeker(text: str, found: list[str]):
    assert statements(text) == found


def test_a_statement_must_be_near_to_something_that_was_said():
    roles = ("user", "assistant", "user")
    messages = [Message(role=role, content=text) for role, text in zip(roles, DIALOGUE, strict=True)]
    context = Context(id="d#3", messages=messages, golden="g")
    encoder = find_encoder("minilm")

    def failing(text: str, least: float = 0.3) -> list[str]:
        return list(by_encoder([context], {"d#3": text}, encoder, least).unsupported.get("d#3", []))

    own = "I am sorry that your sister left after the argument. You are anxious about university exams."
    strange = "You lost your job at the bakery on Monday."
    assert failing(own) == []
    assert failing(f"{own} {strange}") == [strange]
    assert failing(own, 1.0) == statements(own)
    assert failing("How are you? You could try some tea.") == []
    # no entailment: a wrong detail of the right subject passes
    assert failing("Your brother moved out after a fight.") == []
    counts = by_encoder([context], {"d#3": f"{own} {strange}"}, encoder, 0.3).counts
    numbers = {"checked": 1, "statements": 3, "unsupported_statements": 1, "unsupported": 1, "truncated": 0}
    assert counts == numbers | {"signature": encoder.vector_signature}
