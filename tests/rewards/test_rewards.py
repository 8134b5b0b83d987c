"""What rewards say: the seeker's own words are near, an adapter's texts likelier, a head is applied."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from selfevolve.metrics.line_ups import PersonalisationParams
from selfevolve.metrics.relevance import RelevanceParams
from selfevolve.metrics.semantic import find_encoder
from selfevolve.policies.policy import load_policy
from selfevolve.policies.value_head import HEAD, RewardModel
from selfevolve.prompts.templates import load_prompts
from selfevolve.records.schema import Context, Dialogue, Message, Turn
from selfevolve.rewards.measures import Asked, personalisation_reward, relevance_reward
from selfevolve.rewards.models import implicit_reward, model_reward
from selfevolve.rewards.parameters import Numbers, RewardParams
from selfevolve.runtime.errors import InputError
from tests.conftest import ROOT

JOBS = ["nurse", "teacher", "baker", "driver"]
REWARD = RewardParams(
    by="implicit",
    seed=1,
    candidates=Numbers(direct=2, refined=0),
    margin=0.0,
    model="models/reward",
    beta=0.1,
    supervised=1,
)


def dialogues() -> dict[str, Dialogue]:
    return {
        job: Dialogue(
            id=job,
            source="s",
            turns=[
                Turn(role="seeker", text=f"I work as a {job}, and I am tired of being a {job}."),
                Turn(role="supporter", text="I see."),
            ],
        )
        for job in JOBS
    }


def asked() -> list[Asked]:
    """Every seeker, with a text about the own job and one about the next one's."""
    found = []
    for own, other in zip(JOBS, JOBS[1:] + JOBS[:1], strict=True):
        said = dialogues()[own].turns[0].text
        context = Context(id=f"{own}#1", messages=[Message(role="user", content=said)], golden="I see.")
        found.append(Asked(context, [f"You work as a {own}.", f"You work as a {other}."]))
    return found


def test_a_text_about_the_seeker_is_nearer_than_one_about_another():
    encoder, params = find_encoder("minilm"), RelevanceParams()
    personal = personalisation_reward(encoder, params, dialogues(), PersonalisationParams(seed=1, others=3))(
        asked()
    )
    relevant = relevance_reward(encoder, params)(asked())
    assert all(own > other for own, other in personal + relevant)
    assert all(own > 0 > other for own, other in personal)  # beside others, and not by itself
    assert all(other > 0 for _, other in relevant)


def test_a_context_of_no_dialogue_is_named():
    known = dialogues()
    del known["baker"]
    others = PersonalisationParams(seed=1, others=2)
    with pytest.raises(InputError, match="baker#1"):
        personalisation_reward(find_encoder("minilm"), RelevanceParams(), known, others)(asked())


def test_the_implicit_reward_is_what_the_last_adapter_made_likelier(backbone: Path, tmp_path: Path):
    adapter = random_adapter(backbone, tmp_path / "m1")
    prompts = load_prompts(ROOT / "prompts/tiny")
    once = implicit_reward(adapter, prompts, 0.1)(asked())
    twice = implicit_reward(adapter, prompts, 0.2)(asked())
    assert once[0][0] != 0
    assert [pytest.approx([2 * value for value in row]) for row in once] == twice
    with pytest.raises(InputError, match="is a backbone"):
        implicit_reward(backbone, prompts, 0.1)


def test_an_adapter_that_changes_nothing_has_no_reward(backbone: Path, tmp_path: Path):
    adapter = random_adapter(backbone, tmp_path / "m1", size=0.0)
    found = implicit_reward(adapter, load_prompts(ROOT / "prompts/tiny"), 0.1)(asked())
    assert all(value == pytest.approx(0, abs=1e-6) for row in found for value in row)


def test_only_a_policy_above_the_supervised_ones_has_an_implicit_reward(backbone: Path, tmp_path: Path):
    from selfevolve.policies.policy import read_policy

    m0 = random_adapter(backbone, tmp_path / "m0")
    m1 = random_adapter(m0, tmp_path / "m1")
    assert [REWARD.ranks(read_policy(folder)) for folder in (backbone, m0, m1)] == [False, False, True]
    assert REWARD.model_copy(update={"supervised": 0}).ranks(read_policy(m0))
    assert REWARD.model_copy(update={"by": "relevance"}).ranks(read_policy(backbone))


def test_the_value_head_reads_the_last_state(backbone: Path, tmp_path: Path):
    folder = random_adapter(backbone, tmp_path / "reward")
    prompts = load_prompts(ROOT / "prompts/tiny")
    with pytest.raises(InputError, match="is no reward model"):
        model_reward(folder, prompts)
    head = {"v_head.summary.weight": torch.arange(32.0)[None], "v_head.summary.bias": torch.tensor([5.0])}
    save_file(head, folder / HEAD)
    ids = list(range(40, 60))
    with torch.no_grad():
        states = load_policy(folder).model.model(torch.tensor([ids])).last_hidden_state[0, -1]
    expected = float(states @ torch.arange(32.0)) + 5
    assert RewardModel.load(folder).reward(ids) == pytest.approx(expected, rel=1e-5)
    values = model_reward(folder, prompts)(asked())
    assert len({value for row in values for value in row}) == 8


def test_one_candidate_is_no_ranking():
    with pytest.raises(ValueError, match="cannot be ranked"):
        Numbers(direct=1, refined=0)


def test_seeds_of_candidates_differ_and_the_first_one_s_is_the_stage_s():
    assert REWARD.seed_of("direct", 1, 42) == 42
    seeds = {REWARD.seed_of(source, n, 42) for source in ("direct", "refined") for n in (2, 3)}
    assert len(seeds) == 4


def random_adapter(parent: Path, folder: Path, size: float = 0.3) -> Path:
    """Make a policy of a random LoRA adapter on another one; a size of 0 changes nothing."""
    import os

    from peft import LoraConfig, get_peft_model

    from selfevolve.policies.policy import read_policy, write_adapter

    policy = read_policy(parent)
    torch.manual_seed(len(policy.adapters) + 3)
    model = get_peft_model(
        load_policy(policy.backbone_folder).model, LoraConfig(r=2, target_modules=["q_proj", "v_proj"])
    )
    for name, value in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(value, std=size or 1.0)
            value.data *= bool(size)
    model.save_pretrained(folder)
    for extra in ("README.md",):
        (folder / extra).unlink(missing_ok=True)
    write_adapter(folder, os.path.relpath(parent, folder), policy.digest)
    return folder


def test_parameters_of_the_project_are_valid(params_file: Callable[..., Path]):
    from selfevolve.runtime.parameters import read_params

    found = read_params("reward", RewardParams, params_file())
    assert json.loads(found.model_dump_json())["by"] == "personalisation"
