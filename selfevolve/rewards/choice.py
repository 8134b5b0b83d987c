"""Make the reward that the parameters name."""

from dataclasses import dataclass
from pathlib import Path

from selfevolve.metrics.line_ups import PersonalisationParams
from selfevolve.metrics.relevance import RelevanceParams
from selfevolve.metrics.semantic import find_encoder
from selfevolve.prompts.templates import load_prompts
from selfevolve.records.jsonl import read_records
from selfevolve.records.schema import Dialogue
from selfevolve.rewards.measures import Reward, personalisation_reward, relevance_reward
from selfevolve.rewards.models import implicit_reward, model_reward
from selfevolve.rewards.parameters import Kind, RewardParams
from selfevolve.runtime.errors import InputError, Unavailable
from selfevolve.runtime.parameters import load_params, read_params


@dataclass(frozen=True)
class Sources:
    """What rewards are made of.

    `file` is the parameters' file; `policy` the policy whose last training is the implicit reward;
    `dialogues` what the contexts were cut from, which only `personalisation` reads; `model` the folder of the
    reward model.
    """

    file: Path
    policy: Path
    dialogues: Path
    model: Path


def open_reward(by: Kind, params: RewardParams, sources: Sources) -> Reward:
    """Return the reward of a name.

    Raises:
        InputError: what it needs is not there: the encoder, a second seeker, the reward model.
    """
    if by in ("model", "implicit"):
        prompts = load_prompts(load_params("prompts", sources.file)["dir"])
        if by == "model":
            return model_reward(sources.model, prompts)
        return implicit_reward(sources.policy, prompts, params.beta)
    relevance = read_params("relevance", RelevanceParams, sources.file)
    try:
        encoder = find_encoder(relevance.encoder, relevance.num_layers)
    except Unavailable as absence:
        raise InputError(str(absence), file=sources.file, field="relevance.encoder") from None
    if by == "relevance":
        return relevance_reward(encoder, relevance)
    dialogues = {one.id: one for one in read_records(sources.dialogues, Dialogue)}
    if len(dialogues) < 2:
        raise InputError("holds one seeker, and personalisation compares several", file=sources.dialogues)
    others = read_params("personalisation", PersonalisationParams, sources.file)
    return personalisation_reward(encoder, relevance, dialogues, others)
