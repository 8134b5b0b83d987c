"""The pipeline's models in the rating application: same prompt, same texts, long dialogues shortened."""

from collections.abc import Callable
from pathlib import Path

import pytest

from stages.human_eval_serve import speaking
from stages.records.errors import InputError
from stages.records.schema import Message
from tests.conftest import TEXTS

SAMPLING = {"temperature": 0.9, "top_p": 0.8, "top_k": 50, "repetition_penalty": 1.2, "max_new_tokens": 24}


@pytest.fixture
def params(params_file: Callable[..., Path]) -> Path:
    return params_file({"respond.sampling": SAMPLING})


def test_a_model_says_what_the_pipeline_would_have_it_say(backbone: Path, params: Path):
    from stages.command import load_params
    from stages.engines.load import open_engine
    from stages.engines.request import Request, Sampling
    from stages.prompts.requests import response_messages
    from stages.prompts.templates import load_prompts

    messages = [Message(role="user", content=TEXTS[0])]
    asked = response_messages(load_prompts(), "plain", messages)
    with open_engine(load_params("engine", params), backbone) as (engine, _):
        expected = engine.answer([Request("x", tuple(asked), 11)], Sampling(**SAMPLING))[0].text
    with speaking(backbone, "plain", params) as (speak, digest):
        assert "".join(speak(messages, 11)).strip() == expected
    assert digest == engine.model


def test_a_seed_gives_one_text_and_another_seed_another(backbone: Path, params: Path):
    messages = [Message(role="user", content=TEXTS[0])]
    with speaking(backbone, "plain", params) as (speak, _):
        texts = ["".join(speak(messages, seed)) for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_a_long_dialogue_loses_its_oldest_turns_and_not_its_last(backbone: Path, params: Path):
    dialogue = [
        Message(role="assistant" if turn % 2 else "user", content=TEXTS[turn % 4]) for turn in range(81)
    ]
    with speaking(backbone, "plain", params) as (speak, _):
        assert isinstance("".join(speak(dialogue, 3)), str)


def test_a_last_message_that_does_not_fit_alone_is_an_error_of_that_answer(backbone: Path, params: Path):
    with speaking(backbone, "plain", params) as (speak, _), pytest.raises(InputError):
        list(speak([Message(role="user", content=" ".join(TEXTS * 30))], 3))
