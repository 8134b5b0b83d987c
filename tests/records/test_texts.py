"""Texts that any model could write: whole characters in every file, thinking apart from what is said."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from selfevolve.generation.journal import FailedAttempt, Journal
from selfevolve.generation.request import Request, Sampling
from selfevolve.judge.ledger import Ledger
from selfevolve.records.jsonl import read_records, write_records
from selfevolve.records.schema import Message, Preference, Refinement, Response, ShareGptMessage
from selfevolve.records.texts import (
    after_thinking,
    begins_with_thinking,
    whole_characters,
    without_thinking_so_far,
)
from selfevolve.runtime.errors import InputError, ParseError

SAMPLING = Sampling(temperature=0.8, top_p=0.95, top_k=50, repetition_penalty=1.0, max_new_tokens=20)
ANY = st.text(st.characters()) | st.binary().map(lambda content: content.decode("utf-8", "surrogateescape"))
KEPT = settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])


def response(text: str, identity: str = "a#1") -> Response:
    return Response(id=identity, text=text, finish_reason="stop", attempt=1, model="m")


# ---- whole characters ----


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("stu\ud83d", "stu\ufffd"),
        ("\ude00 and \ud83d\ude00", "\ufffd and \U0001f600"),
        ("\ud83d\ud83d\ude00\ude00", "\ufffd\U0001f600\ufffd"),
        ("\udcff\x00\U0001f600", "\ufffd\x00\U0001f600"),
    ],
)
def test_halves_are_replaced_and_pairs_are_joined(text: str, whole: str):
    assert whole_characters({text: [text, 1, None]}) == {whole: [whole, 1, None]}
    assert response(text).text == whole


@KEPT
@given(text=ANY)
def test_every_record_can_be_written_and_read_again(tmp_path: Path, text: str):
    whole = whole_characters(text)
    said = ShareGptMessage(from_="gpt", value=text)
    roles = {"conversations": [said], "chosen": said, "rejected": said}
    records: list[Any] = [
        response(text),
        Refinement(id="a", attempts=1, status="failed", raw=[text]),
        Preference(id="a", system=text, chosen_source="refined", **roles),
    ]
    assert (records[0].text, records[1].raw, records[2].chosen.value) == (whole, [whole], whole)
    for record in records:
        write_records(tmp_path / "r.jsonl", [record])
        assert read_records(tmp_path / "r.jsonl", type(record)) == [record]
    assert FailedAttempt(reason="r", text=text).text == whole


@KEPT
@given(texts=st.lists(ANY, min_size=1, max_size=4))
def test_journal_and_ledger_give_back_what_they_were_given(tmp_path: Path, texts: list[str]):
    given_ = [response(text, f"a#{number}") for number, text in enumerate(texts)]
    requests = [Request.make(one.id, [Message(role="user", content=one.text)], 1) for one in given_]
    (tmp_path / "j.jsonl").unlink(missing_ok=True)
    (tmp_path / "l.jsonl").unlink(missing_ok=True)
    with Journal(tmp_path / "j.jsonl") as journal:
        journal.append(given_)
    with Journal(tmp_path / "j.jsonl") as journal:
        assert list(journal.responses.values()) == given_
    with Ledger(tmp_path / "l.jsonl") as ledger:
        with ledger.answers(None, requests, SAMPLING) as answers:  # type: ignore[arg-type]
            answers.append(given_)
        ledger.gave_up(requests[0], SAMPLING, "unusable_answer", texts[0])
    with Ledger(tmp_path / "l.jsonl") as ledger:
        assert [ledger.answer(request, SAMPLING) for request in requests] == given_


HALVES = [
    rb'{"id":"a","text":"stu\ud83d","finish_reason":"stop","attempt":1,"model":"m","usage":null}',
    b'{"id":"a","text":"stu\xed\xa0\xbd","finish_reason":"stop","attempt":1,"model":"m","usage":null}',
]


@pytest.mark.parametrize("line", HALVES)
def test_a_journal_and_a_ledger_with_half_a_character_can_be_read(tmp_path: Path, line: bytes):
    (tmp_path / "j.jsonl").write_bytes(line + b"\n")
    with Journal(tmp_path / "j.jsonl") as journal:
        assert journal.responses["a"].text == "stu\ufffd"
    entry = b'{"key":"k","event":"answered","tokens_in":0,"tokens_out":0,"response":%s}\n' % line
    (tmp_path / "l.jsonl").write_bytes(entry)
    with Ledger(tmp_path / "l.jsonl") as ledger:
        assert ledger.spent().answers == 1


@pytest.mark.parametrize("line", [b'{"id":"a"', b"\xff", b"[" * 100_000, b'{"id":"a"}', b"[]", b"1" * 5000])
def test_a_damaged_line_is_still_named(tmp_path: Path, line: bytes):
    path = tmp_path / "j.jsonl"
    path.write_bytes(line + b"\n")
    with pytest.raises(InputError, match=r"record line 1: is damaged"), Journal(path):
        pass


# ---- thinking ----


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (" I hear you.\n", " I hear you.\n"),  # as it is
        ("<think>so</think>\n\nI hear you.", "I hear you."),
        ("so\n</think>I hear you.", "I hear you."),
        ("<THINK>a</THINK>No.< think >b</ think >I hear you.", "I hear you."),
        ("<think>a <think> b</think> c</think> I hear you.", "I hear you."),
        ("I <thinking> you.", "I <thinking> you."),
    ],
)
def test_what_follows_the_last_thinking_is_the_answer(text: str, answer: str):
    assert after_thinking(text) == answer


@pytest.mark.parametrize(
    "text",
    [
        "<think>",
        "<think>so",
        "I hear <Think> you",
        "<think>a</think>",
        "a</think> \u200b",
        "<think>a</think>b<think>",
    ],
)
def test_nothing_but_thinking_is_no_answer(text: str):
    with pytest.raises(ParseError, match="thinking"):
        after_thinking(text)


WRITTEN = st.lists(st.sampled_from(["<think>", "</think>", "<THINK>", "<", "a ", "b", "\n"])).map("".join)


@given(WRITTEN)
def test_what_may_be_shown_of_a_text_that_is_being_written_is_never_thinking(text: str):
    shown = [without_thinking_so_far(text[:end]) for end in range(len(text) + 1)]
    assert not any("think" in one.lower() for one in shown)
    if begins_with_thinking(text):
        return  # which nobody can know in time
    try:
        answer = after_thinking(text)
    except ParseError:
        return
    if "</think>" not in text.lower():
        assert all(answer.startswith(one) for one in shown)
