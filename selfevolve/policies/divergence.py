"""How far a policy has moved from another one: the divergence of what both would say next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from selfevolve.policies.likelihood import IGNORED

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def divergences(
    model: PreTrainedModel, reference: PreTrainedModel, input_ids: Sequence[int], labels: Sequence[int]
) -> list[float]:
    """Return KL(model || reference) of the distributions of each labelled token, in nats, in float32.

    Each is over the whole vocabulary and given the tokens before it; a token's own id plays no part. The mean
    over the tokens of texts that `model` wrote estimates the divergence of its texts, a token. Distributions
    are those of temperature 1, nothing cut off.

    Args:
        model: a causal model.
        reference: one with the same tokens.
        input_ids: the sequence.
        labels: the same ids, and `IGNORED` in the place of those that are not asked about.
    """
    asked = [at for at, label in enumerate(labels[1:]) if label != IGNORED]
    own, other = (_next_tokens(one, input_ids, asked) for one in (model, reference))
    return (own.exp() * (own - other.to(own.device))).sum(-1).tolist()


def _next_tokens(model: PreTrainedModel, input_ids: Sequence[int], at: Sequence[int]) -> torch.Tensor:
    """Return the log-probabilities of every token after these positions, [positions, vocabulary]."""
    import torch

    with torch.no_grad():
        ids = torch.tensor([input_ids], device=model.device)
        places = torch.tensor(at, device=model.device)
        logits = model(input_ids=ids, use_cache=False, logits_to_keep=places).logits[0]
        return logits.float().log_softmax(-1)
