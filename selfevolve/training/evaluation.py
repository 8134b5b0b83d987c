"""Measure a trained adapter on the data held back from its training.

The policy is loaded as generation loads it. The samples are those that LLaMA-Factory tokenised, with its
template and its masks. They go through the model one at a time, so that means are over samples and not over
batches.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from selfevolve.metrics.statistics import mean_and_interval
from selfevolve.policies.likelihood import log_probabilities
from selfevolve.policies.policy import Policy, add_adapter, load_policy
from selfevolve.policies.value_head import RewardModel
from selfevolve.records.jsonl import dialogue_of, read_json_lines
from selfevolve.runtime.errors import InputError
from selfevolve.training.datasets import held_out
from selfevolve.training.losses import read_loss, softplus

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SEED = 0  # of the intervals' resamples

# How far our loss and the Trainer's may lie apart in float32: nats, or that share of the loss. Ours is of a
# merged adapter, the Trainer's of one beside the weights, and their sums are made in another order.
TOLERANCE = 1e-4
# Arguments with which LLaMA-Factory computes another loss than ours, or a less exact one.
NOT_OURS = {"ref_model", "dpo_label_smoothing", "pref_bco_weight", "ld_alpha"}
NOT_OURS |= {"use_dft_loss", "use_asft_loss", "use_eaft_loss", "bf16", "fp16", "quantization_bit"}


def evaluate(
    adapter: Path, parent: Policy, method: Mapping[str, Any], data: Path, scratch: Path
) -> dict[str, Any]:
    """Return what an adapter does on the samples held back from its training.

    Args:
        adapter: its folder.
        parent: the policy that it was trained on.
        method: LLaMA-Factory's arguments of the method.
        data: the folder with `valid.jsonl`, whose ids tell the dialogues.
        scratch: the training's folder, with the tokenised data.

    Returns:
        `dialogues`, how many there are, and the numbers of `pairs` or `answers`: each a mean with its
        interval over dialogues (`low`, `high`; 95 %), which a single dialogue does not have. Both have
        `eval_loss`, the loss as the Trainer computes it.
    """
    samples = held_out(scratch)
    ids = [dict(record)["id"] for _, record in read_json_lines(data / "valid.jsonl")]
    dialogues = [dialogue_of(str(identity)) for identity in ids]
    if method["stage"] == "dpo":
        numbers = pairs(adapter, parent, method, samples, dialogues)
    elif method["stage"] == "rm":
        numbers = rewards(adapter, samples, dialogues)
    else:
        numbers = answers(adapter, method, samples, dialogues)
    return {"dialogues": len(set(dialogues)), **numbers}


def pairs(
    adapter: Path,
    parent: Policy,
    method: Mapping[str, Any],
    samples: Sequence[Mapping[str, Any]],
    dialogues: Sequence[str],
) -> dict[str, dict[str, float]]:
    """Return means over preference pairs; arguments as those of `evaluate`.

    They are those of `Loss.of_pair`, with the policy before the training as the reference, whatever
    reference the training had; and `gained_chosen` and `gained_rejected`, how much likelier the adapter
    makes a whole response than that policy does, in nats, which mean the same for every loss.
    """
    loss = read_loss(method, "the method")
    loaded = load_policy(parent.folder)
    before = [_both(loaded.model, pair) for pair in tqdm(samples, "reference", disable=None)]
    loaded = add_adapter(loaded, adapter)
    values: dict[str, list[float]] = {}
    for pair, reference in zip(tqdm(samples, "evaluation", disable=None), before, strict=True):
        now = _both(loaded.model, pair)
        of_pair = loss.of_pair(now, reference)
        of_pair |= {f"gained_{side}": sum(now[side]) - sum(reference[side]) for side in now}
        for name, value in of_pair.items():
            values.setdefault(name, []).append(value)
    return {name: mean_and_interval(every, dialogues, seed=SEED) for name, every in values.items()}


def rewards(
    adapter: Path, samples: Sequence[Mapping[str, Any]], dialogues: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Return means over preference pairs of what a reward model makes of them; arguments as of `evaluate`.

    `accuracy` is in percent, the share of pairs whose chosen response has the larger reward; `reward_margin`
    the difference of both rewards; `eval_loss` the negative log-sigmoid of it (Bradley and Terry).
    """
    model = RewardModel.load(adapter)
    values: dict[str, list[float]] = {"eval_loss": [], "accuracy": [], "reward_margin": []}
    for pair in tqdm(samples, "evaluation", disable=None):
        margin = model.reward(pair["chosen_input_ids"]) - model.reward(pair["rejected_input_ids"])
        values["eval_loss"].append(softplus(-margin))
        values["accuracy"].append(100.0 * (margin > 0))
        values["reward_margin"].append(margin)
    return {name: mean_and_interval(every, dialogues, seed=SEED) for name, every in values.items()}


def answers(
    adapter: Path, method: Mapping[str, Any], samples: Sequence[Mapping[str, Any]], dialogues: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Return the negative log-likelihood of the held-out answers, in nats; arguments as those of `evaluate`.

    `nll_samples` is the mean over samples of the mean over a sample's learnt tokens, `nll_tokens` the mean
    over all learnt tokens. For `eval_loss` the Trainer takes the mean over the tokens of a batch, and then
    over batches, of which a last one with fewer samples counts as much as the others; it has no interval.
    """
    model = load_policy(adapter).model
    losses = [
        [-token for token in log_probabilities(model, sample["input_ids"], sample["labels"])]
        for sample in tqdm(samples, "evaluation", disable=None)
    ]
    tokens = [loss for sample in losses for loss in sample]
    theirs = [dialogue for dialogue, sample in zip(dialogues, losses, strict=True) for _ in sample]
    size = method["per_device_eval_batch_size"]
    batches = [losses[first : first + size] for first in range(0, len(losses), size)]
    means = [fmean(loss for sample in batch for loss in sample) for batch in batches]
    return {
        "eval_loss": {"mean": fmean(means)},  # Seq2SeqTrainer.evaluate repeats each mean for a whole batch
        "nll_samples": mean_and_interval([fmean(sample) for sample in losses], dialogues, seed=SEED),
        "nll_tokens": mean_and_interval(tokens, theirs, seed=SEED),
    }


def check_agreement(
    kept: Mapping[str, Any], logged: float | None, method: Mapping[str, Any], parent: Policy, processes: int
) -> None:
    """Raise InputError unless the adapter has the loss that the Trainer logged at the kept step.

    Only where both must agree: in float32 (`parent` says what the weights are), without what changes a
    loss in ways that are not computed here (`NOT_OURS`), and in one process, since of several the Trainer
    also counts the samples that fill up the last batch. `kept` is what `evaluate` returned; `logged` is
    None if there was no evaluation at that step.
    """
    if logged is None or processes > 1 or parent.backbone.dtype != "float32" or NOT_OURS & method.keys():
        return
    found = kept["eval_loss"]["mean"]
    if not math.isclose(found, logged, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
        message = f"is {found} of the adapter to publish, and the training logged {logged} at the kept step"
        raise InputError(message, field="eval_loss")


def _both(model: PreTrainedModel, pair: Mapping[str, Any]) -> dict[str, list[float]]:
    return {
        side: log_probabilities(model, pair[f"{side}_input_ids"], pair[f"{side}_labels"])
        for side in ("chosen", "rejected")
    }
