"""The one reader of JSON that models write: whole objects, small damage, and never half of anything."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from selfevolve.judge.answers import parse_verdict
from selfevolve.judge.verdicts import Score
from selfevolve.prompts.answers import (
    parse_reflection,
    parse_reflection_alone,
    parse_response,
    parse_self_reflection,
)
from selfevolve.prompts.json_objects import find_objects
from selfevolve.records.schema import Response
from tests.support.answers import REFLECTED, REFLECTION, REFLECTION_ALONE, read, written

VERDICT = {"explanation": "It follows.", "score": 4}


def judge(answer: Response) -> Score:
    return parse_verdict(answer, Score, "score")


def refined(text: str, reason: str = "stop") -> str:
    """The refined response in an answer, or the reason of the failure."""
    found = read(parse_reflection, text, reason)
    return found if isinstance(found, str) else found.value.refined_response


def saying(response: str, **more: Any) -> str:
    return json.dumps({**REFLECTION, "refined_response": response, **more})


# ---- ends ----


@pytest.mark.parametrize("reason", ["stop", "length"])
@pytest.mark.parametrize(
    "text",
    [
        saying("That is hard and I")[:-2],
        saying("That is hard.")[:-1],
        saying("Breathe {in} and o")[:-2],
        saying('Say "no", then {"rest": 1} and')[:-2],
        f"```json\n{saying('That is hard.')[:-1]}\n```",
        str({**REFLECTION, "refined_response": "That's hard and I"})[:-2],
        f"{saying('A draft.')}\nBetter:\n{saying('That is hard and I')[:-2]}",
        json.dumps({"refined_response": "That is hard.", **REFLECTION})[:-40],
    ],
)
def test_an_answer_without_its_end_is_cut_off(text: str, reason: str):
    assert refined(text, reason) == "cut_off"


def test_what_reached_its_longest_length_counts_only_where_its_json_is_whole_and_right():
    assert refined(saying("I hear you."), "length") == "I hear you."
    assert refined(saying("I hear you.") + "\nI chose this because", "length") == "I hear you."
    assert refined(saying("I hear you.")[:-1] + ",}", "stop") == "I hear you."
    assert refined(saying("I hear you.")[:-1] + ",}", "length") == "cut_off"
    assert refined(saying("A draft.") + "\nBetter: {", "length") == "cut_off"
    assert refined("They seem to be", "length") == "cut_off"
    assert refined(saying("I hear you."), "content_filter") == "content_filter"


def ends() -> list[Any]:
    """Whole answers, each with its parser: every beginning of them is a failure or the whole."""
    text = 'It\'s {hard}: "no", } ] , \\ [really]\n```\nbreathe\n```\nüber 😀 <b>'
    reflection = {**REFLECTION, "refined_response": text}
    nested = {"strategy": {"text": "inner"}, "text": text}
    draft = {**REFLECTION, "refined_response": "A draft."}
    return [
        pytest.param(parse_reflection, json.dumps(reflection), id="reflection"),
        pytest.param(parse_reflection, str(reflection), id="as Python writes it"),
        pytest.param(parse_reflection, f"```json\n{json.dumps(reflection, indent=1)}\n```", id="fenced"),
        pytest.param(parse_reflection, json.dumps(draft) + json.dumps(reflection), id="after a draft"),
        pytest.param(
            parse_reflection, f"<think>{json.dumps(draft)}</think>{json.dumps(reflection)}", id="thought"
        ),
        pytest.param(parse_self_reflection, json.dumps(nested), id="response"),
        pytest.param(parse_self_reflection, json.dumps(nested, ensure_ascii=False)[:-1] + ",}", id="damaged"),
        pytest.param(judge, json.dumps({"why": VERDICT, **VERDICT}), id="verdict"),
    ]


@pytest.mark.parametrize("reason", ["stop", "length"])
@pytest.mark.parametrize(("parse", "text"), ends())
def test_every_beginning_of_an_answer_is_a_failure_or_the_whole(
    parse: Callable[..., Any], text: str, reason: str
):
    whole = read(parse, text)
    assert not isinstance(whole, str)
    draft_ends = text.find("}}") if "draft" in text else 0
    for end in range(len(text)):
        found = read(parse, text[:end], reason)
        if not (isinstance(found, str) or found == whole):
            # A whole draft, and of what follows not even a brace: nothing tells it from an answer.
            assert "A draft." in text[:end]
            assert text[draft_ends:end].count("{") == 0
            assert "<think>" not in text


@given(
    st.sampled_from([parse_reflection, parse_reflection_alone, parse_self_reflection, judge]),
    st.text(min_size=1),
    st.booleans(),
    st.data(),
)
def test_a_beginning_of_any_answer_is_a_failure_or_the_whole(
    parse: Callable[..., Any], said: str, ascii_only: bool, data: st.DataObject
):
    answer = {
        parse_reflection: {**REFLECTION, "refined_response": said},
        parse_reflection_alone: {**REFLECTION_ALONE, "feedback": said},
        parse_self_reflection: {**REFLECTED, "text": said},
        judge: {**VERDICT, "explanation": said},
    }[parse]
    text = json.dumps(answer, ensure_ascii=ascii_only)
    end = data.draw(st.integers(0, len(text) - 1))
    for reason in ("stop", "length"):
        assert isinstance(read(parse, text[:end], reason), str)


# ---- small damage ----


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{'a': 'It's hard', 'b': None,}", {"a": "It's hard", "b": None}),
        ('{"a": "She said "no" to me", "b": [1, 2,],}', {"a": 'She said "no" to me', "b": [1, 2]}),
        ('{"a": "one\ntwo"}', {"a": "one\ntwo"}),
        (r'{"a": "it\'s 5\% more"}', {"a": r"it's 5\% more"}),
        ("""{"a": ['it's', "say "x""]}""", {"a": ["it's", 'say "x"']}),
        ("{'a': True, 'b': False}", {"a": True, "b": False}),
        ('{"a": 5" long", "b": 1}', None),
        ('{"a": "x, "b": "y"}', None),  # which text lacks its end?
        ('{"a": "x" "b": "y"}', None),
        ("{a: 1}", None),
    ],
)
def test_small_damage_is_repaired_and_nothing_is_made_up(text: str, value: Any):
    assert list(find_objects(text, repair=True)) == ([] if value is None else [value])
    if "\n" not in text:
        assert list(find_objects(text)) == []


# ---- what is around ----


@pytest.mark.parametrize(
    "text",
    [
        "Here is {the JSON}: {}",
        'I use {"braces" here} and {so on}. {}',
        "{broken {}",
        "{} I hope {this} helps :{",
        "```json\n{}\n```\nThe fields {text} and {strategy} are as asked.",
        "```\nA draft: {{not yet}}\n```\n```json\n{}\n```",
        "<think>\n```json\n{draft}\n```\nno, improve\n</think>\n```json\n{}\n```",
        "so {draft} is too cold\n</THINK>\n{}",
        "<think>a</think><Think>{draft}</Think>{}",
        "{draft}\nThat is too cold. Better:\n{}",
        "{'refined_response': 5}{}",
    ],
)
def test_an_answer_is_found_among_braces_fences_drafts_and_thinking(text: str):
    said = "Try this:\n```\nbreathe {in}\n```\nDoes it help?"
    answer = text.replace("{}", saying(said)).replace("{draft}", saying("DRAFT."))
    assert refined(answer) == said


def test_of_several_answers_the_last_that_is_one_counts():
    assert refined(saying("One.") + saying("Two.")) == "Two."
    assert refined(saying("One.") + saying("...")) == "One."
    assert refined(saying("...") + saying(" ")) == "blank"  # the last one's reason


@pytest.mark.parametrize(
    "text", ["<think>{}", "{} <think> or", "<think>a</think><THINK>{}", "<think>{}</think>"]
)
def test_thinking_that_does_not_end_is_no_answer(text: str):
    assert refined(text.replace("{}", saying("I hear you."))) == "thinking"


# ---- halves of characters ----


@pytest.mark.parametrize(
    ("escaped", "text"),
    [
        (r"a \ud83d", "a \ufffd"),
        (r"a \ude00\ud83d\ude00", "a \ufffd\U0001f600"),
        (r"a \\ud83d", r"a \ud83d"),
        (r"a \uD83D\n", "a \ufffd"),
    ],
)
def test_half_a_character_is_replaced_and_pairs_and_backslashes_stay(escaped: str, text: str):
    assert refined(saying("HERE").replace("HERE", escaped)) == text
    assert list(find_objects(f'{{"a": "{escaped}"}}')) == [
        {"a": text if "\\n" not in escaped else f"{text}\n"}
    ]


# ---- anything at all ----

PIECES = [
    *(
        '{"',
        '":',
        '"',
        "'",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\\",
        "\\ud83d",
        "\ud83d",
        "1",
        "\n",
        "\x00",
        "```",
    ),
    *("text", "refined_response", "score", "<think>", "</think>"),
]
ANYTHING = st.one_of(
    st.text(st.characters()),
    st.binary().map(lambda content: content.decode("utf-8", "replace")),
    st.lists(st.sampled_from(PIECES)).map("".join),
)
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
)


@settings(max_examples=200)
@given(ANYTHING, ANYTHING, st.sampled_from(["stop", "length"]))
@example('{"a":' * 1500, "}" * 1500, "stop")
@example("[" * 5000, '{"text":' + "[" * 5000, "stop")
@example('{"text": "' + "a" * 100_000, '"}', "length")
@example('{"text":"a","b":{' * 1500, "", "stop")
@example("{'text':x," * 1500, "", "stop")
@example('{"text": 1' + "0" * 5000 + "}", "", "stop")
def test_no_text_breaks_a_reader(before: str, after: str, reason: str):
    for parse, whole in (
        (parse_reflection, REFLECTION),
        (parse_reflection_alone, REFLECTION_ALONE),
        (parse_response, REFLECTED),
        (parse_self_reflection, REFLECTED),
        (judge, VERDICT),
    ):
        for text in (before + after, before + json.dumps(whole) + after):
            found = read(parse, text, reason)
            assert isinstance(found, str) or "\ud83d" not in str(found)


@settings(max_examples=60)
@given(VALUE)
def test_any_value_in_any_field_gives_an_answer_or_a_reason(value: Any):
    parsers = (
        (parse_reflection, REFLECTION),
        (parse_reflection_alone, REFLECTION_ALONE),
        (parse_self_reflection, REFLECTED),
        (judge, VERDICT),
    )
    for parse, whole in parsers:
        for key in whole:
            found = read(parse, json.dumps({**whole, key: value}))
            if isinstance(found, str):
                assert found.isidentifier()
            elif parse is not judge:
                found.value.model_dump_json()  # which half a character would break


def test_deep_values_are_no_answers_and_do_not_break_what_follows():
    deep = {"a": 1}
    for _ in range(400):
        deep = {"a": deep}
    for key in REFLECTION:
        assert read(parse_reflection, json.dumps({**REFLECTION, key: deep})) == "no_json"
    assert parse_reflection(written(json.dumps(deep) + json.dumps(REFLECTION))).value.feedback == "too vague"
