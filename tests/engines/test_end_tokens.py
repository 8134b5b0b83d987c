"""The tokens that end a text: those of the chat template, and those that the model itself names."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from selfevolve.engines.local.engine import Options, TransformersEngine, load
from selfevolve.generation.request import Sampling
from selfevolve.policies.policy import read_policy, write_adapter
from tests.engines.test_decoding import requests

END_OF_TEXT, EOM, EOT = 1, 4, 5  # of this tokenizer; the template `llama3` ends at the last two alone
# So hot that any of the 400 tokens may come: most of these texts have an <|end_of_text|> in them.
SAMPLING = Sampling(temperature=50.0, top_p=1.0, top_k=0, repetition_penalty=1.0, max_new_tokens=300)


def model_that_names(ends: int | list[int] | None, backbone: Path, folder: Path) -> Path:
    """A copy of the random model whose generation_config.json names these end tokens."""
    shutil.copytree(backbone, folder)
    file = folder / "generation_config.json"
    settings = json.loads(file.read_text(encoding="utf-8"))
    settings.pop("eos_token_id")
    file.write_text(json.dumps(settings | ({} if ends is None else {"eos_token_id": ends})), encoding="utf-8")
    return folder


def adapter_on(model: Path, folder: Path) -> Path:
    """A LoRA adapter on this model that changes nothing yet, as a policy folder."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    made = get_peft_model(AutoModelForCausalLM.from_pretrained(model), LoraConfig(target_modules=["q_proj"]))
    made.save_pretrained(folder)
    write_adapter(folder, os.path.relpath(model, folder), read_policy(model).digest)
    return folder


def engine_of(policy: Path) -> TransformersEngine:
    return load(policy, Options(kind="transformers", batch_tokens=10_000))


def tokens_of(engine: TransformersEngine) -> list[list[int]]:
    """The tokens of every request, each written alone: no rounding depends on who else has ended."""
    return [engine._write_batch([request], SAMPLING)[0] for request in requests(12)]


def until(tokens: list[int], end: int) -> list[int]:
    return tokens[: tokens.index(end) + 1] if end in tokens else tokens


@pytest.mark.parametrize("adapted", [False, True], ids=["backbone", "adapter"])
def test_a_text_ends_at_every_token_that_the_template_or_the_model_names(
    backbone: Path, tmp_path: Path, adapted: bool
):
    model = model_that_names([END_OF_TEXT, EOT], backbone, tmp_path / "model")
    engine = engine_of(adapter_on(model, tmp_path / "adapter") if adapted else model)
    plain = tokens_of(engine_of(model_that_names(EOT, backbone, tmp_path / "plain")))
    written = tokens_of(engine)
    assert written == [until(tokens, END_OF_TEXT) for tokens in plain]
    ends = {tokens[-1] for tokens in written}
    assert {END_OF_TEXT, EOT} <= ends
    assert EOM in {tokens[-1] for tokens in plain}
    (response,) = next(engine.answer([requests(1)], SAMPLING))
    stops = {END_OF_TEXT, EOM, EOT}
    assert response.finish_reason == ("stop" if written[0][-1] in stops else "length")
    assert response.text == engine.template.decode(written[0])
    assert "".join(engine.stream(requests(1)[0], SAMPLING)) == response.text


@pytest.mark.parametrize("ends", [None, EOT, [EOT], [EOM, EOT]])
def test_ends_of_the_template_alone_leave_the_settings_of_a_journal_as_they_were(
    backbone: Path, tmp_path: Path, ends: Any
):
    plain = engine_of(backbone).settings
    assert set(plain) == {"kind", "dtype", "batch_tokens", "decoding"}
    assert engine_of(model_that_names(ends, backbone, tmp_path / "model")).settings == plain
    more = engine_of(model_that_names([END_OF_TEXT, EOT], backbone, tmp_path / "more")).settings
    assert more == plain | {"more_ends": [END_OF_TEXT]}
