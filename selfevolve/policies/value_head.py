"""A reward model: a policy whose folder also has a value head, which makes a number of a hidden state.

LLaMA-Factory's stage `rm` (0.9.5) trains both and reads the number at the last token of the sequence
(`PairwiseTrainer.compute_loss`); it keeps the head in a file of its own, in safetensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from selfevolve.policies.policy import LoadedPolicy, load_policy
from selfevolve.runtime.errors import InputError

if TYPE_CHECKING:
    import torch

HEAD = "value_head.safetensors"
_WEIGHT, _BIAS = "v_head.summary.weight", "v_head.summary.bias"


@dataclass(frozen=True)
class RewardModel:
    """A policy and its value head in memory: `weight` [1, hidden], `bias` [1]."""

    loaded: LoadedPolicy
    weight: torch.Tensor
    bias: torch.Tensor

    @classmethod
    def load(cls, folder: Path | str) -> RewardModel:
        """Load a reward model; raise InputError where the folder is no policy or has no value head."""
        from safetensors.torch import load_file

        file = Path(folder) / HEAD
        if not file.is_file():
            raise InputError(f"is no reward model: it has no {HEAD}", file=folder)
        head = load_file(file)
        if set(head) != {_WEIGHT, _BIAS}:
            raise InputError(f"must hold {_WEIGHT} and {_BIAS}", file=file)
        loaded = load_policy(folder)
        device = loaded.model.device
        return cls(loaded, head[_WEIGHT].float().to(device), head[_BIAS].float().to(device))

    def reward(self, input_ids: Sequence[int]) -> float:
        """Return the reward, which has no unit, of a whole sequence: prompt, response and end of turn."""
        import torch

        with torch.no_grad():
            ids = torch.tensor([input_ids], device=self.loaded.model.device)
            found = self.loaded.model(
                input_ids=ids, use_cache=False, output_hidden_states=True, logits_to_keep=1
            )
            return float(self.weight[0] @ found.hidden_states[-1][0, -1].float() + self.bias[0])
