"""Prompts that are too long lose their oldest exchanges; conversations are cut without losing a turn."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from selfevolve.policies.policy import read_policy
from selfevolve.policies.window import ChatTemplate, Window, split_conversation
from selfevolve.records.schema import Message

WORDS = st.text("abc xyz", min_size=1, max_size=60)


@pytest.fixture(scope="module")
def template(backbone: Path) -> ChatTemplate:
    return ChatTemplate.of(read_policy(backbone))


def dialogue(texts: list[str]) -> list[Message]:
    return [Message(role="assistant" if n % 2 else "user", content=t) for n, t in enumerate(texts)]


def build(messages: list[Message]) -> list[Message]:
    return [Message(role="system", content="S"), *messages]


@given(st.lists(WORDS, min_size=1, max_size=9), st.integers(10, 200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
def test_the_newest_turns_that_fit_are_kept(template: ChatTemplate, texts: list[str], budget: int):
    messages = dialogue(texts if len(texts) % 2 else texts[:-1] or texts)
    if messages[-1].role != "user":
        messages = messages[:-1]
    fitted = Window(template, budget + 7).fit(messages, build, 7)
    left, dropped = fitted.turns, fitted.dropped
    assert left == messages[2 * dropped :]
    assert left[-1] == messages[-1]
    assert fitted.prompt == build(left)
    assert fitted.fits == (len(template.encode(build(left))) <= budget)
    assert fitted.fits or len(left) == 1
    assert dropped == 0 or len(template.encode(build(messages[2 * (dropped - 1) :]))) > budget


@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=6), st.integers(20, 200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
def test_every_answer_is_in_exactly_one_piece(
    template: ChatTemplate, exchanges: list[tuple[str, str]], budget: int
):
    messages = dialogue([text for exchange in exchanges for text in exchange])
    pieces, lost = split_conversation(messages, "S", template, budget)
    for piece in pieces:
        assert piece[0].role == "user"
        assert len(template.encode(build(piece[:-1]), answer=piece[-1].content)) <= budget
    kept = [message for piece in pieces for message in piece]
    assert len(kept) + 2 * lost == len(messages)
    if not lost:
        assert kept == messages
