"""Prompts from files, and the JSON of the reflection that they ask for."""

import json
import shutil
from pathlib import Path

import pytest

from selfevolve.prompts.answers import (
    ReflectionAlone,
    parse_reflection,
    parse_reflection_alone,
    parse_response,
)
from selfevolve.prompts.requests import (
    refine_messages,
    reflect_messages,
    response_messages,
    rewrite_messages,
)
from selfevolve.prompts.response_text import example_texts
from selfevolve.prompts.templates import PROMPTS, load_prompts
from selfevolve.records.schema import STRATEGIES, Message, Understanding
from selfevolve.runtime.errors import InputError
from tests.conftest import ROOT
from tests.support.answers import REFLECTION, REFLECTION_ALONE, UNDERSTANDING, read, written

PAPER, TINY = ROOT / "prompts/paper", ROOT / "prompts/tiny"

DIALOGUE = [
    Message(role="user", content="I lost {{response}} my job."),
    Message(role="assistant", content="I am sorry."),
    Message(role="user", content="Thanks."),
]


def test_the_task_prompt_explains_every_strategy_and_the_plain_one_names_them():
    prompts = load_prompts(PAPER)
    for name, meaning in STRATEGIES.items():
        assert f"{name}: {meaning}" in prompts.text("task")
        assert name in prompts.text("plain")
    assert "{{" not in prompts.text("task") + prompts.text("plain") + prompts.text("refine")


def test_what_a_seeker_writes_is_never_taken_for_a_placeholder():
    request = refine_messages(load_prompts(PAPER), DIALOGUE, "Be {{dialogue}} strong.")[1].content
    assert "seeker: I lost {{response}} my job." in request
    assert "supporter: Be {{dialogue}} strong." in request
    assert request.index("supporter: I am sorry.") < request.index("seeker: Thanks.")


@pytest.mark.parametrize("whole", [PAPER, TINY], ids=lambda folder: folder.name)
def test_the_request_for_a_shorter_response_names_the_most_words(whole: Path):
    prompts = load_prompts(whole)
    system, request = refine_messages(prompts, DIALOGUE, "Be strong.", most_words=24)
    assert system.content == prompts.text("refine")
    first = refine_messages(prompts, DIALOGUE, "Be strong.")[1].content
    assert request.content.startswith(first)
    assert "at most 24 words" in request.content.removeprefix(first)


REFLECTED = ReflectionAlone(
    understanding=Understanding(**UNDERSTANDING), evaluation_score=2.0, feedback="It says {{response}}."
)


@pytest.mark.parametrize("whole", [PAPER, TINY], ids=lambda folder: folder.name)
def test_after_a_reflection_the_response_is_asked_for_by_the_dialogue_itself(whole: Path):
    prompts = load_prompts(whole)
    system, *turns = rewrite_messages(prompts, DIALOGUE, "Be {{feedback}} strong.", REFLECTED)
    assert turns == DIALOGUE
    assert system.role == "system"
    told = [*UNDERSTANDING.values(), "It says {{response}}.", "Be {{feedback}} strong."]
    assert all(text in system.content for text in told)
    shorter, *turns = rewrite_messages(prompts, DIALOGUE, "Be {{feedback}} strong.", REFLECTED, most_words=24)
    assert turns == DIALOGUE
    assert "at most 24 words" in shorter.content.removeprefix(system.content)


@pytest.mark.parametrize("whole", [PAPER, TINY], ids=lambda folder: folder.name)
def test_a_reflection_alone_is_asked_for_without_a_response(whole: Path):
    prompts = load_prompts(whole)
    system, request = reflect_messages(prompts, DIALOGUE, "Be strong.")
    assert "refined_response" not in system.content
    assert all(key in system.content for key in (*UNDERSTANDING, "evaluation_score", "feedback"))
    assert request == refine_messages(prompts, DIALOGUE, "Be strong.")[1]


def test_a_response_is_asked_for_with_the_prompt_as_system_message():
    prompts = load_prompts(PAPER)
    messages = response_messages(prompts, "plain", DIALOGUE)
    assert messages == [Message(role="system", content=prompts.text("plain")), *DIALOGUE]
    with pytest.raises(InputError, match="no prompt is named 'none'"):
        response_messages(prompts, "none", DIALOGUE)


def test_another_text_changes_the_digest(tmp_path: Path):
    shutil.copytree(PAPER, tmp_path / "own")
    (tmp_path / "own/plain.txt").write_text("Be kind. {{strategy_names}}\n", encoding="utf-8")
    prompts = load_prompts(tmp_path / "own")
    assert prompts.text("plain").startswith("Be kind. Question, ")
    assert prompts.text("task") == load_prompts(PAPER).text("task")
    assert prompts.digest != load_prompts(PAPER).digest


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("plain.txt", "{{who}}", "unknown placeholder"),
        ("refine_request.txt", "{{dialogue}}", "field response: missing placeholder"),
    ],
)
def test_a_wrong_prompt_folder_is_named(tmp_path: Path, name: str, text: str, message: str):
    shutil.copytree(PAPER, tmp_path / "own")
    (tmp_path / "own" / name).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        load_prompts(tmp_path / "own")


@pytest.mark.parametrize("name", sorted(PROMPTS))
@pytest.mark.parametrize("whole", [PAPER, TINY], ids=lambda folder: folder.name)
def test_a_set_that_lacks_a_prompt_is_named(tmp_path: Path, whole: Path, name: str):
    shutil.copytree(whole, tmp_path / "own")
    (tmp_path / "own" / f"{name}.txt").unlink()
    with pytest.raises(InputError, match=f"{name}.txt: no such file; the folder must hold a whole set"):
        load_prompts(tmp_path / "own")


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(REFLECTION),
        f"Here it is:\n```json\n{json.dumps(REFLECTION, indent=1)}\n```\nI hope it helps.",
        f"```\n{json.dumps(REFLECTION)}\n```",
        str(REFLECTION),  # single quotes
        json.dumps(REFLECTION)[:-1] + ",}",
        json.dumps(REFLECTION).replace("3", '"3/5"'),
    ],
)
def test_tolerated_forms_give_the_same_reflection(text: str):
    parsed = parse_reflection(written(text))
    assert parsed.value.model_dump() == {**REFLECTION, "evaluation_score": 3.0}
    assert not parsed.labelled


@pytest.mark.parametrize("missing", ["understanding", "refined_response", "user_emotion"])
def test_a_reflection_without_its_core_is_none(missing: str):
    answer = json.loads(json.dumps(REFLECTION))
    answer.pop(missing, None)
    answer.get("understanding", {}).pop(missing, None)
    assert read(parse_reflection, json.dumps(answer)) == f"missing_{missing}"


def test_a_reflection_alone_needs_no_response_and_may_be_followed_by_one():
    alone = REFLECTION_ALONE
    for answer in (alone, REFLECTION):
        assert parse_reflection_alone(written(json.dumps(answer))).value.model_dump() == alone
    assert (
        read(parse_reflection_alone, json.dumps({**alone, "understanding": None})) == "missing_understanding"
    )
    examples = example_texts(load_prompts(PAPER).text("reflect"))
    echoed = load_prompts(PAPER).text("reflect")
    assert read(parse_reflection_alone, echoed, "stop", examples) == "echo"


@pytest.mark.parametrize(
    ("text", "reason", "found"),
    [
        ("What happened?", "stop", "What happened?"),
        ("<think>Hm.</think>Supporter: What happened?", "stop", "What happened?"),
        ("Question: What happened?", "stop", "What happened?"),
        ("What hap", "length", "cut_off"),
        ("", "content_filter", "content_filter"),
        ("<think>Hm.", "stop", "thinking"),
        ("supporter:", "stop", "blank"),
        ("<your response>", "stop", "placeholder"),
    ],
)
def test_a_whole_answer_is_read_as_a_response(text: str, reason: str, found: str):
    answer = read(parse_response, text, reason)
    assert (answer if isinstance(answer, str) else answer.value) == found


def test_lists_and_numbers_are_text_in_what_is_understood_and_objects_are_not():
    parts = {**UNDERSTANDING, "user_emotion": ["sad", "tired"], "user_profile": 34, "user_intention": None}
    found = parse_reflection(written(json.dumps({**REFLECTION, "understanding": parts}))).value
    assert (found.understanding.user_emotion, found.understanding.user_profile) == ("sad, tired", "34")
    assert found.understanding.user_intention == ""
    for spoilt in ({"a": 1}, [["a"]], [{"a": 1}]):
        answer = {**REFLECTION, "understanding": {**UNDERSTANDING, "user_emotion": spoilt}}
        assert read(parse_reflection, json.dumps(answer)) == "invalid_user_emotion"


@pytest.mark.parametrize(
    ("score", "number"),
    [
        ("4/5", 4.0),
        (3, 3.0),
        ("about -1.5", -1.5),
        ("9" * 400, None),
        (True, None),
        ([4], None),
        ("good", None),
    ],
)
def test_a_score_is_a_number_or_absent(score: object, number: float | None):
    found = parse_reflection(written(json.dumps({**REFLECTION, "evaluation_score": score})))
    assert found.value.evaluation_score == number


@pytest.mark.parametrize("feedback", [["a", "b"], {"tone": "cold"}, None, 3])
def test_any_feedback_is_kept_as_text(feedback: object):
    found = parse_reflection(written(json.dumps({**REFLECTION, "feedback": feedback})))
    assert isinstance(found.value.feedback, str)


@pytest.mark.parametrize("folder", [PAPER, TINY], ids=lambda folder: folder.name)
def test_the_example_of_the_prompt_is_no_answer(folder: Path):
    prompt = load_prompts(folder).text("refine")
    examples = example_texts(prompt)
    assert isinstance(read(parse_reflection, prompt, "stop", examples), str)
    if folder is PAPER:
        shown = json.loads(prompt[prompt.index("{") : prompt.rindex("}") + 1])
        own = {**REFLECTION, "refined_response": "The better  response"}
        assert read(parse_reflection, json.dumps(own), "stop", examples) == "placeholder"
        copied = {**shown, "refined_response": "What happened?"}
        assert read(parse_reflection, json.dumps(copied), "stop", examples) == "echo"
        own = {**REFLECTION, "refined_response": "What is weak and how to mend it"}
        assert read(parse_reflection, json.dumps(own), "stop", examples) == "echo"
        both = f"{json.dumps(REFLECTION)} As you asked: {json.dumps(shown)}"
        assert parse_reflection(written(both), examples).value.feedback == "too vague"
