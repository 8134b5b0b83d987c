"""The pipeline's models in the rating application: same prompt, same texts, long dialogues shortened."""

from collections.abc import Callable
from pathlib import Path

import pytest

from rating.app.answers import open_model
from selfevolve.records.schema import Message
from selfevolve.runtime.errors import InputError
from tests.conftest import TEXTS

SAMPLING = {"temperature": 0.9, "top_p": 0.8, "top_k": 50, "repetition_penalty": 1.2, "max_new_tokens": 24}


@pytest.fixture
def params(params_file: Callable[..., Path]) -> Path:
    return params_file({"respond.sampling": SAMPLING})


def test_a_model_says_what_the_pipeline_would_have_it_say(backbone: Path, params: Path):
    from selfevolve.generation.engines import open_engine
    from selfevolve.generation.request import Request, Sampling
    from selfevolve.prompts.requests import response_messages
    from selfevolve.prompts.templates import load_prompts
    from selfevolve.runtime.parameters import load_params

    messages = [Message(role="user", content=TEXTS[0])]
    asked = response_messages(load_prompts("prompts/paper"), "plain", messages)
    with open_engine(load_params("engine", params), backbone) as (engine, _):
        expected = next(engine.answer([[Request("x", tuple(asked), 11)]], Sampling(**SAMPLING)))[0].text
    with open_model(backbone, "plain", params) as (speak, digest):
        assert "".join(speak(messages, 11)).strip() == expected
    assert digest == engine.model


def test_a_seed_gives_one_text_and_another_seed_another(backbone: Path, params: Path):
    messages = [Message(role="user", content=TEXTS[0])]
    with open_model(backbone, "plain", params) as (speak, _):
        texts = ["".join(speak(messages, seed)) for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_a_long_dialogue_loses_its_oldest_turns_and_not_its_last(backbone: Path, params: Path):
    dialogue = [
        Message(role="assistant" if turn % 2 else "user", content=TEXTS[turn % 4]) for turn in range(81)
    ]
    with open_model(backbone, "plain", params) as (speak, _):
        assert isinstance("".join(speak(dialogue, 3)), str)


def test_a_last_message_that_does_not_fit_alone_is_an_error_of_that_answer(backbone: Path, params: Path):
    with open_model(backbone, "plain", params) as (speak, _), pytest.raises(InputError):
        list(speak([Message(role="user", content=" ".join(TEXTS * 30))], 3))
