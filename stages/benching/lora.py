"""Optimiser steps of SFT and DPO with a LoRA adapter, as LLaMA-Factory takes them, on random tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch.nn.functional import logsigmoid

IGNORED = -100
Batch = tuple[torch.Tensor, torch.Tensor]
"""Token ids and labels, shape (sequences, tokens); labels are `IGNORED` but for the answers'."""


@dataclass(frozen=True)
class Load:
    """What one step works through: `accumulation` times `batch` samples of `length` tokens each.

    A sample of DPO is a pair: two sequences. `answer` of a sequence's tokens count in the loss.
    """

    batch: int
    accumulation: int
    length: int
    answer: int


def step_flops(kind: str, load: Load, dense: int, attention: int) -> float:
    """Return the floating point operations that one step needs, whatever is computed twice.

    A token costs 2 x dense + 2 x 2 x attention x length / 2 forward: two operations a number of the
    matrices; and queries times keys, and weights times values, each over half of the length on average.
    Backward: 2 x dense, since frozen weights need no gradient of their own, and twice forward's attention.
    DPO reads two sequences a sample, and the reference's forward pass comes besides. Not counted: the
    adapter (below 1 %), norms, softmax, the optimiser, and the second forward pass of checkpointing.

    Args:
        kind: `sft` or `dpo`.
        load: the step.
        dense: numbers of all matrices a token is multiplied with, the output layer included.
        attention: layers x heads x size of a head.
    """
    scores = 2.0 * attention * load.length
    forward, backward = 2 * dense + scores, 2 * dense + 2 * scores
    tokens = load.batch * load.accumulation * load.length
    if kind == "sft":
        return tokens * (forward + backward)
    return 2 * tokens * (2 * forward + backward)


class Training:
    """A model with a fresh adapter on all of its linear layers but the output, and AdamW."""

    def __init__(self, model: Any, rank: int, learning_rate: float = 5e-6):
        """Take a model; its weights are frozen, gradient checkpointing goes on, the adapter is float32."""
        linear = [module for module in model.modules() if isinstance(module, torch.nn.Linear)]
        config = model.config
        self.dense = sum(module.weight.numel() for module in linear)
        self.attention = config.num_hidden_layers * config.num_attention_heads * config.head_dim
        model.config.use_cache = False
        model.gradient_checkpointing_enable({"use_reentrant": False})
        settings = LoraConfig(
            r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"
        )
        self.model = get_peft_model(model, settings).train()
        self.model.enable_input_require_grads()
        self._trained = [p for p in self.model.parameters() if p.requires_grad]
        self._optimizer = torch.optim.AdamW(self._trained, lr=learning_rate)
        self._mixed = model.dtype == torch.bfloat16

    def step(self, loss: Callable[[Any, Batch], torch.Tensor], batches: Sequence[Batch]) -> float:
        """Take one optimiser step over the batches; return the mean loss."""
        total = torch.zeros((), device=self.model.device)
        for batch in batches:
            with torch.autocast(self.model.device.type, torch.bfloat16, enabled=self._mixed):
                part = loss(self.model, batch) / len(batches)
            part.backward()
            total += part.detach()
        torch.nn.utils.clip_grad_norm_(self._trained, 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad()
        return float(total)


def batches(kind: str, load: Load, vocabulary: int, device: str) -> list[Batch]:
    """Return the random batches of one step (seed 1); DPO's hold the chosen half first."""
    torch.manual_seed(1)
    sequences = load.batch * (2 if kind == "dpo" else 1)
    made = []
    for _ in range(load.accumulation):
        ids = torch.randint(vocabulary, (sequences, load.length), device=device)
        labels = torch.full_like(ids, IGNORED)
        labels[:, -load.answer :] = ids[:, -load.answer :]
        made.append((ids, labels))
    return made


def sft_loss(model: Any, batch: Batch) -> torch.Tensor:
    """Return the mean cross entropy of the answers' tokens."""
    ids, labels = batch
    return model(input_ids=ids, labels=labels).loss


def dpo_loss(model: Any, batch: Batch, beta: float = 0.1, gamma: float = 1.0) -> torch.Tensor:
    """Return DPO's loss (paper, equations 6 to 8); the reference is the model without its adapter.

    As LLaMA-Factory has it: one forward pass for chosen and rejected together, logits in float32 over all
    tokens, those of the policy still held while the reference runs, and `gamma` times the chosen answers'
    mean negative log-likelihood a token.
    """
    ids, labels = batch
    logits = model(input_ids=ids).logits.float()
    policy = answer_logps(logits, labels)
    with torch.no_grad(), model.disable_adapter():
        reference = answer_logps(model(input_ids=ids).logits.float(), labels)
    chosen, rejected = (policy - reference).chunk(2)
    tokens = (labels[:, 1:] != IGNORED).sum(-1).chunk(2)[0]
    supervised = -policy.chunk(2)[0] / tokens
    return (-logsigmoid(beta * (chosen - rejected)) + gamma * supervised).mean()


def answer_logps(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return every sequence's sum of its answer's log probabilities, shape (sequences,)."""
    kept = labels[:, 1:] != IGNORED
    targets = labels[:, 1:].masked_fill(~kept, 0)
    each = logits[:, :-1].log_softmax(-1).gather(2, targets[..., None])[..., 0]
    return (each * kept).sum(-1)


LOSSES: dict[str, Callable[[Any, Batch], torch.Tensor]] = {"sft": sft_loss, "dpo": dpo_loss}
