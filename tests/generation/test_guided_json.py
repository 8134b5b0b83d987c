"""The schemas that prompts carry, as the grammars that vLLM and SGLang keep a model to."""

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from selfevolve.prompts.answers import Reflection, parse_reflection, parse_self_reflection
from selfevolve.prompts.requests import response_schema
from selfevolve.prompts.response_text import read_response_text
from selfevolve.records.texts import is_blank
from selfevolve.runtime.errors import ParseError
from tests.support.answers import read

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda text: not is_blank(text))
SAID = "That sounds hard.\nWhat would help you tonight?"


def reflection(text: str, score: float | None = 7.5) -> dict[str, Any]:
    parts = ("user_profile", "user_emotion", "user_personality", "user_intention")
    return {
        "understanding": dict.fromkeys(parts, text),
        "evaluation_score": score,
        "feedback": text,
        "refined_response": text,
    }


@cache
def accepts(kind: str) -> Callable[[str], bool]:
    """Whether a server would let a model write this, and end it there; a token is a byte."""
    import xgrammar

    schema = Reflection.model_json_schema() if kind == "refine" else response_schema(kind)
    tokens = xgrammar.TokenizerInfo([bytes([n]) for n in range(256)] + [b"<end>"], stop_token_ids=[256])
    grammar = xgrammar.GrammarCompiler(tokens).compile_json_schema(json.dumps(schema))

    def accepted(text: str) -> bool:
        matcher = xgrammar.GrammarMatcher(grammar)
        return matcher.accept_string(text) and matcher.accept_token(256)

    return accepted


def response(parse: Callable[..., Any], answer: str, field: str) -> str:
    """The response in an answer, or the reason of the failure."""
    found = read(parse, answer)
    return found if isinstance(found, str) else getattr(found.value, field)


def as_response(text: str) -> str:
    """What the reader makes of a text: most are responses, and some are placeholders or show nothing."""
    try:
        return read_response_text(text, "text").text
    except ParseError as failure:
        return failure.reason


@example(text=SAID, score=None)
@given(text=TEXT, score=st.none() | st.floats(0, 10))
def test_any_reflection_can_be_written(text: str, score: float | None):
    written = json.dumps(reflection(text, score), ensure_ascii=False)
    assert accepts("refine")(written)
    assert response(parse_reflection, written, "refined_response") == as_response(text)


@example(text=SAID)
@given(text=TEXT)
def test_any_response_with_its_strategy_can_be_written(text: str):
    written = json.dumps({"strategy": "Question", "text": text}, ensure_ascii=False)
    assert accepts("self_reflection")(written)
    assert response(parse_self_reflection, written, "text") == as_response(text)


@pytest.mark.parametrize("left", ["understanding", "evaluation_score", "feedback", "refined_response"])
def test_what_lacks_a_key_cannot_be_written(left: str):
    whole = reflection(SAID)
    assert accepts("refine")(json.dumps(whole))
    del whole[left]
    assert not accepts("refine")(json.dumps(whole))


def test_prose_cannot_be_written_and_what_is_empty_is_left_to_the_reader():
    assert not accepts("refine")(SAID)
    empty = json.dumps(reflection(" "))
    assert accepts("refine")(empty)
    assert read(parse_reflection, empty) == "blank"
