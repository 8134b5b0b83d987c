"""A reward model by LLaMA-Factory: it learns what is preferred, and we read its value as the Trainer does."""

from collections.abc import Callable
from pathlib import Path

import pytest

from selfevolve.policies.value_head import HEAD, RewardModel
from selfevolve.policies.window import ChatTemplate
from selfevolve.records.jsonl import read_records
from selfevolve.records.schema import Message, Preference
from tests.conftest import run_here
from tests.support.trainings import arguments, metrics

SMALL = {"learning_rate": 3e-2, "cutoff_len": 512, "max_steps": 8, "logging_steps": 1, "eval_steps": 4}


def test_it_learns_which_response_is_preferred(models: Path, params_file: Callable[..., Path]):
    """The stage itself refuses a model whose loss, as we compute it, is not what the Trainer logged."""
    params = params_file({"train.rm": {"seed": 42} | SMALL})
    done = run_here("train", *arguments("rm", "backbone", "reward", params), cwd=models)
    assert done.returncode == 0, done.stderr
    found = metrics(models, "reward")
    assert found["kept"]["accuracy"]["mean"] == 100
    assert found["kept"]["eval_loss"]["mean"] == pytest.approx(found["kept"]["eval_loss_logged"], rel=1e-4)
    assert "reference" not in found
    files = {file.name for file in (models / "reward").iterdir()}
    assert files == {"adapter_config.json", "adapter_model.safetensors", "policy.json", HEAD}
    model = RewardModel.load(models / "reward")
    template = ChatTemplate(model.loaded.tokenizer, model.loaded.template)
    for pair in read_records(models / "pairs" / "valid.jsonl", Preference):
        prompt = [Message(role="system", content=pair.system)]
        prompt.append(Message(role="user", content=pair.conversations[0].value))
        chosen, rejected = (
            model.reward(template.encode(prompt, answer=side.value)) for side in (pair.chosen, pair.rejected)
        )
        assert chosen > rejected
