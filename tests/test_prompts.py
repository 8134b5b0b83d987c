"""Prompts from files, and the JSON of the reflection read tolerantly."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.prompts.reflection import parse_reflection
from stages.prompts.requests import refine_messages, response_messages
from stages.prompts.strategies import STRATEGIES
from stages.prompts.templates import load_prompts
from stages.records.errors import InputError
from stages.records.schema import Message

DIALOGUE = [
    Message(role="user", content="I lost {{response}} my job."),
    Message(role="assistant", content="I am sorry."),
    Message(role="user", content="Thanks."),
]
ANSWER = {
    "understanding": {
        "user_profile": "a baker",
        "user_emotion": "sad",
        "user_personality": "quiet",
        "user_intention": "to be heard",
    },
    "evaluation_score": 3,
    "feedback": "too vague",
    "refined_response": "What happened at the bakery?",
}


def test_the_task_prompt_explains_every_strategy_and_the_plain_one_names_them():
    prompts = load_prompts()
    for name, meaning in STRATEGIES.items():
        assert f"{name}: {meaning}" in prompts.text("task")
        assert name in prompts.text("plain")
    assert "{{" not in prompts.text("task") + prompts.text("plain") + prompts.text("refine")


def test_what_a_seeker_writes_is_never_taken_for_a_placeholder():
    request = refine_messages(load_prompts(), DIALOGUE, "Be {{dialogue}} strong.")[1].content
    assert "seeker: I lost {{response}} my job." in request
    assert "supporter: Be {{dialogue}} strong." in request
    assert request.index("supporter: I am sorry.") < request.index("seeker: Thanks.")


def test_a_response_is_asked_for_with_the_prompt_as_system_message():
    prompts = load_prompts()
    messages = response_messages(prompts, "plain", DIALOGUE)
    assert messages == [Message(role="system", content=prompts.text("plain")), *DIALOGUE]
    with pytest.raises(InputError, match="no prompt is named 'none'"):
        response_messages(prompts, "none", DIALOGUE)


def test_a_folder_replaces_single_prompts_and_changes_the_digest(tmp_path: Path):
    (tmp_path / "plain.txt").write_text("Be kind. {{strategy_names}}\n", encoding="utf-8")
    prompts = load_prompts(tmp_path)
    assert prompts.text("plain").startswith("Be kind. Question, ")
    assert prompts.text("task") == load_prompts().text("task")
    assert prompts.digest != load_prompts().digest


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("plain.txt", "{{who}}", "unknown placeholder"),
        ("refine_request.txt", "{{dialogue}}", "field response: missing placeholder"),
        ("notes.md", "", "holds none of"),
    ],
)
def test_a_wrong_prompt_folder_is_named(tmp_path: Path, name: str, text: str, message: str):
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        load_prompts(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(ANSWER),
        f"Here it is:\n```json\n{json.dumps(ANSWER, indent=1)}\n```\nI hope it helps.",
        f"```\n{json.dumps(ANSWER)}\n```",
        str(ANSWER),  # single quotes
        json.dumps(ANSWER)[:-1] + ",}",
        json.dumps(ANSWER)[:-1],  # cut off before the last bracket
        f"```json\n{json.dumps(ANSWER)}",  # cut off before the end of the block
        json.dumps(ANSWER).replace("3", '"3/5"'),
    ],
)
def test_tolerated_forms_give_the_same_reflection(text: str):
    reflection = parse_reflection(text)
    assert reflection is not None
    assert reflection.model_dump() == {**ANSWER, "evaluation_score": 3.0}


@pytest.mark.parametrize("missing", ["understanding", "refined_response", "user_emotion"])
def test_a_reflection_without_its_core_is_none(missing: str):
    answer = json.loads(json.dumps(ANSWER))
    answer.pop(missing, None)
    answer.get("understanding", {}).pop(missing, None)
    assert parse_reflection(json.dumps(answer)) is None


def test_an_empty_refined_response_is_none():
    assert parse_reflection(json.dumps({**ANSWER, "refined_response": " "})) is None


@given(st.one_of(st.text(), st.text().map(lambda text: "{" + text), st.binary().map(repr)))
def test_no_text_breaks_the_parser(text: str):
    assert parse_reflection(text) is None or "refined_response" in text


@given(
    st.recursive(
        st.none() | st.floats() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_any_value_in_any_field_gives_a_reflection_or_none(value: object):
    for key in ANSWER:
        reflection = parse_reflection(json.dumps({**ANSWER, key: value}))
        assert reflection is None or reflection.refined_response.strip()
