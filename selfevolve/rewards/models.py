"""Rewards by models: a reward model's value head, and what a preference training made likelier."""

from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from selfevolve.policies.likelihood import IGNORED, log_probabilities
from selfevolve.policies.policy import LoadedPolicy, add_adapter, load_policy, read_policy
from selfevolve.policies.value_head import RewardModel
from selfevolve.policies.window import ChatTemplate
from selfevolve.prompts.requests import response_messages
from selfevolve.prompts.templates import Prompts
from selfevolve.rewards.measures import Asked, Reward
from selfevolve.runtime.errors import InputError


def model_reward(folder: Path, prompts: Prompts) -> Reward:
    """Return a reward model's number at the end of the response, by the prompt that it was trained with.

    Args:
        folder: of the reward model; `prompts` has `task`.

    Raises:
        InputError: the folder is no policy with a value head.
    """
    model = RewardModel.load(folder)
    template = ChatTemplate(model.loaded.tokenizer, model.loaded.template)

    def rewards(asked: Sequence[Asked]) -> list[list[float]]:
        found = []
        for one in tqdm(asked, "reward model", disable=None):
            prompt = response_messages(prompts, "task", one.context.messages)
            found.append([model.reward(template.encode(prompt, answer=text)) for text in one.texts])
        return found

    return rewards


def implicit_reward(folder: Path, prompts: Prompts, beta: float) -> Reward:
    """Return the implicit reward of a policy's last training (Rafailov et al. 2023, section 4).

    It is beta times how much likelier the policy finds the whole response than its parent does, in nats.

    Args:
        folder: of the policy, which has an adapter at least; `prompts` has `task`.
        beta: of the training's loss; it scales all rewards.

    Raises:
        InputError: the policy is a backbone.
    """
    policy = read_policy(folder)
    if not policy.adapters:
        raise InputError(
            "is a backbone, which no training of ours made: it has no implicit reward", file=folder
        )

    def rewards(asked: Sequence[Asked]) -> list[list[float]]:
        loaded = load_policy(policy.parent)
        before = _likelihoods(loaded, asked, prompts)
        now = _likelihoods(add_adapter(loaded, folder), asked, prompts)
        return [
            [beta * (new - old) for new, old in zip(own, theirs, strict=True)]
            for own, theirs in zip(now, before, strict=True)
        ]

    return rewards


def _likelihoods(loaded: LoadedPolicy, asked: Sequence[Asked], prompts: Prompts) -> list[list[float]]:
    """Return the log-probability of every text, its end of turn included, in nats."""
    template = ChatTemplate(loaded.tokenizer, loaded.template)
    found = []
    for one in tqdm(asked, f"likelihood by {loaded.policy.folder.name}", disable=None):
        messages = response_messages(prompts, "task", one.context.messages)
        start = len(template.encode(messages))
        rows = [template.encode(messages, answer=text) for text in one.texts]
        found.append(
            [sum(log_probabilities(loaded.model, ids, [IGNORED] * start + ids[start:])) for ids in rows]
        )
    return found
