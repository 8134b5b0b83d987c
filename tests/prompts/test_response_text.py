"""What is a response and what only stands for one; labels and strategies before it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfevolve.prompts.response_text import example_texts, is_placeholder, read_response_text
from selfevolve.records.schema import STRATEGIES
from selfevolve.records.texts import is_blank
from selfevolve.runtime.errors import ParseError

SAID = "That sounds hard."


def reason(value: object, *more: object) -> str:
    with pytest.raises(ParseError) as caught:
        read_response_text(value, "text", *more)
    return caught.value.reason


@pytest.mark.parametrize(
    "label",
    [
        *("Supporter:", "assistant : ", "**Supporter:** ", "Response:\n", "Refined response: ", "Answer: "),
        *("[Question] ", "(restatement or paraphrasing) ", "**[Self-Disclosure]**: ", "[Strategy: Others] "),
        *("Strategy: Question\n", "Strategy: Reflection of feelings. ", "Strategy: be kind\n", "Question: "),
        *(
            "Strategy: Question\nResponse: ",
            "[Question] Supporter: ",
            "refined_response: ",
            "Therapist\uff1a",
        ),
        *("[Affirmation and Reassurance, Question] ", "Supporter's response: ", "[Supporter]: "),
    ],
)
def test_labels_and_strategies_before_a_response_are_removed(label: str):
    found = read_response_text(f" {label}{SAID}\n", "text")
    assert (found.text, found.labelled) == (SAID, True)


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_is_known_as_a_tag(name: str):
    for tag in (f"[{name}]", f"({name.lower()})", f"Strategy: {name}\n", f"{name}:"):
        assert read_response_text(f"{tag} {SAID}", "text").text == SAID
        assert reason(tag) == "blank"


@pytest.mark.parametrize(
    "text",
    [
        *(
            "Information helps: shall we look for some?",
            "Question everything, they say.",
            "Others feel so, too.",
        ),
        *("My answer: rest.", "Supporters: you have many.", "(smiles) I am here.", "Strategy games help me."),
        *(
            "I hear you. [Question] is what you called it.",
            "Response times are long there.",
            "Yes.",
            "\U0001f917",
        ),
        *("text me: any time", "None of this is your fault.", "The response you got hurts.", "5"),
    ],
)
def test_what_only_looks_like_a_label_or_a_placeholder_stays(text: str):
    found = read_response_text(text, "text")
    assert (found.text, found.labelled) == (text, False)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "...",
            "\u2026",
            "\ufffd \ufffd",
            "\u0301",
            "---",
            "?!",
            "===",
            "```",
            "<your response>",
            "[refined response]",
            "{{response}}",
        ),
        *("string", "<string>", "None", "n/a", "the better response", "Your refined response here.", "TODO"),
        *(
            "(insert your response here)",
            "[Your personalised response]",
            "same as above",
            '"response"',
            "str",
        ),
        *("Supporter: ...", "[Question] <response>", "** **", "{refined_response}"),
    ],
)
def test_a_placeholder_is_no_response(text: str):
    assert reason(text) == "placeholder"


@pytest.mark.parametrize(
    "text",
    ["", " \n", "\u200b\ufeff", "\u2800\u3164", "\u00ad\ufe0f", "\x00\x07"],
)
def test_a_text_that_shows_nothing_is_no_response(text: str):
    assert reason(text) == "blank"
    assert reason(f"Supporter: {text}") == "blank"


@pytest.mark.parametrize("value", [{"text": SAID}, [SAID], 4, True, [], {}])
def test_what_is_no_text_is_not_made_one(value: object):
    assert reason(value) == "invalid_text"


def test_the_examples_of_a_prompt_are_found_wherever_they_stand():
    prompt = 'Answer {as asked}: {"text": "How  are YOU?", "more": [{"a": "No."}], "score": 3} or {"text":'
    assert example_texts(prompt) == {"how are you?", "no."}
    assert reason("how are you?", example_texts(prompt)) == "echo"
    assert example_texts("Answer with JSON: strategy, text.") == frozenset()


@given(st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from(["", "[Question] ", "Supporter: "]))
def test_any_text_is_a_response_or_has_a_reason(text: str, label: str):
    try:
        found = read_response_text(label + text, "text").text
    except ParseError as failure:
        found = failure.reason
    if found not in ("blank", "placeholder"):
        assert text.strip().endswith(found)
        assert not is_blank(found)
        assert not is_placeholder(found)
