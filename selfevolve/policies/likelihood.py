"""How likely a policy finds a text that is already written."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from selfevolve.policies.window import ChatTemplate
from selfevolve.records.schema import Message

if TYPE_CHECKING:
    from transformers import PreTrainedModel

IGNORED = -100  # the label of a token that is not asked about: LLaMA-Factory's IGNORE_INDEX


def log_probabilities(model: PreTrainedModel, input_ids: Sequence[int], labels: Sequence[int]) -> list[float]:
    """Return the log-probability of each labelled token of a sequence, in nats, computed in float32.

    Args:
        model: a causal model.
        input_ids: the sequence.
        labels: the same ids, and `IGNORED` in the place of those that are not asked about. The output layer
            is computed for the others alone: of a small model with a large vocabulary it is a good part.
    """
    import torch
    from torch.nn.functional import cross_entropy

    with torch.no_grad():
        ids = torch.tensor([input_ids], device=model.device)
        targets = torch.tensor(labels[1:], device=model.device)
        asked = (targets != IGNORED).nonzero()[:, 0]
        logits = model(input_ids=ids, use_cache=False, logits_to_keep=asked).logits[0].float()
        return (-cross_entropy(logits, targets[asked], reduction="none")).tolist()


def mean_log_probability(
    model: PreTrainedModel, template: ChatTemplate, messages: Sequence[Message], answer: str
) -> float:
    """Return the mean over an answer's tokens of their log-probabilities, in nats, its end of turn included.

    Args:
        model: the policy's.
        template: the policy's.
        messages: the prompt: a system message or none, then user and assistant in turn, user last.
        answer: with at least one word.
    """
    prompt = template.encode(messages)
    ids = template.encode(messages, answer=answer)
    return fmean(log_probabilities(model, ids, [IGNORED] * len(prompt) + ids[len(prompt) :]))
