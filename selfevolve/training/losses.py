"""The preference losses: what a pair is worth to each, and which settings go with it.

They are those of LLaMA-Factory's stage `dpo` (`pref_loss`; 0.9.5, `CustomDPOTrainer`), but for
`kto_pair`: it still takes that name, and TRL 0.24, which computes the losses with a reference, knows it
no more.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from selfevolve.runtime.parameters import Params, validate

Name = Literal["sigmoid", "ipo", "hinge", "orpo", "simpo"]
NAMES: tuple[str, ...] = get_args(Name)
Tokens = Mapping[str, Sequence[float]]
"""The log-probabilities of a pair's learnt tokens, in nats: those of `chosen` and of `rejected`."""


class Loss(Params):
    """A preference loss and its settings, by LLaMA-Factory's names and with its defaults.

    `pref_beta` scales rewards (in ipo and orpo it is what their papers call tau and lambda), `pref_ftx`
    weighs the negative log-likelihood of the chosen response that is added (gamma of the paper's equation
    8), and `simpo_gamma` is the margin that simpo asks for. `ref_model` is another reference than the
    policy before the training.
    """

    pref_loss: Name = "sigmoid"
    pref_beta: float = Field(default=0.1, gt=0)
    pref_ftx: float = Field(default=0.0, ge=0)
    simpo_gamma: float | None = Field(default=None, ge=0)
    ref_model: str | None = None

    @field_validator("pref_loss", mode="before")
    @classmethod
    def _known(cls, name: object) -> object:
        if name == "kto_pair":
            raise ValueError(f"TRL has removed kto_pair, so LLaMA-Factory cannot: take {', '.join(NAMES)}")
        return name

    @model_validator(mode="after")
    def _fits(self) -> "Loss":
        if self.simpo_gamma is not None and self.pref_loss != "simpo":
            raise ValueError(
                f"simpo_gamma goes with the loss simpo, and this is {self.pref_loss}: LOSS=simpo sets both"
            )
        if self.pref_loss == "orpo" and self.pref_ftx:
            raise ValueError(
                f"pref_ftx is {self.pref_ftx}, and the loss orpo has that term itself: set it to 0"
            )
        if self.ref_model is not None and not self.has_reference:
            raise ValueError(f"the loss {self.pref_loss} has no reference: remove ref_model")
        return self

    @property
    def has_reference(self) -> bool:
        """Whether a response is held against what a reference thinks of it: rewards then begin at 0."""
        return self.pref_loss not in ("orpo", "simpo")

    def of_pair(self, now: Tokens, reference: Tokens) -> dict[str, float]:
        """Return what a policy makes of a pair.

        A response counts by the sum of its tokens' log-probabilities, or for ipo, orpo and simpo by their
        mean; with a reference, by how much more that is than the reference's.

        Args:
            now: of the policy.
            reference: of the reference; not looked at where the loss has none.

        Returns:
            `preference_loss`, the loss without what `pref_ftx` adds; `chosen_nll`, the mean over the
            tokens of the chosen response; `eval_loss`, the whole loss; `reward_chosen` and
            `reward_rejected`, beta times what a response counts, as LLaMA-Factory logs them; their
            difference `reward_margin`; and `reward_accuracy`, 1 if the chosen response has the larger
            reward, else 0.
        """
        worth = {side: self._worth(now[side], reference[side]) for side in ("chosen", "rejected")}
        nll = -fmean(now["chosen"])
        loss = self._loss(worth["chosen"], worth["rejected"])
        rewards = {f"reward_{side}": self.pref_beta * value for side, value in worth.items()}
        return {
            "eval_loss": loss + self.pref_ftx * nll,
            "preference_loss": loss,
            "chosen_nll": nll,
            **rewards,
            "reward_margin": rewards["reward_chosen"] - rewards["reward_rejected"],
            "reward_accuracy": float(worth["chosen"] > worth["rejected"]),
        }

    def _worth(self, now: Sequence[float], reference: Sequence[float]) -> float:
        count = fmean if self.pref_loss in ("ipo", "orpo", "simpo") else math.fsum
        return count(now) - (count(reference) if self.has_reference else 0.0)

    def _loss(self, chosen: float, rejected: float) -> float:
        beta, difference = self.pref_beta, chosen - rejected
        if self.pref_loss == "hinge":
            return max(0.0, 1 - beta * difference)
        if self.pref_loss == "ipo":
            return (difference - 1 / (2 * beta)) ** 2
        if self.pref_loss == "simpo":
            gamma = 0.5 if self.simpo_gamma is None else self.simpo_gamma  # LLaMA-Factory's default
            return softplus(gamma - beta * difference)
        if self.pref_loss == "orpo":
            odds = difference - (math.log1p(-math.exp(chosen)) - math.log1p(-math.exp(rejected)))
            return -chosen + beta * softplus(-odds)
        return softplus(-beta * difference)


def softplus(value: float) -> float:
    """Return log(1 + exp(value)), the negative log-sigmoid of -value, for values of any size."""
    return math.log1p(math.exp(-abs(value))) + max(value, 0.0)


def read_loss(arguments: Mapping[str, Any], section: str) -> Loss:
    """Return the loss that LLaMA-Factory's arguments of a method name.

    Args:
        arguments: other keys than those of `Loss` are left out, and so are nulls.
        section: where they stand, such as `train.dpo in params.yaml`, for the message.

    Raises:
        InputError: there is no such loss, or a setting does not go with it.
    """
    own = {key: value for key, value in arguments.items() if key in Loss.model_fields and value is not None}
    return validate(Loss, own, file=section)


def train_with_the_named_loss() -> None:
    """Let LLaMA-Factory's trainer of stage `dpo`, in this process, tell TRL which loss to compute.

    TRL 0.24's `dpo_loss` takes the loss as an argument. LLaMA-Factory 0.9.5 does not give it, and every
    loss with a reference would be the argument's default, sigmoid, whatever `pref_loss` says.
    """
    from llamafactory.train.dpo.trainer import CustomDPOTrainer

    of_trl = CustomDPOTrainer.dpo_loss

    def dpo_loss(self: Any, *log_probabilities: Any) -> Any:
        return of_trl(self, *log_probabilities, loss_type=self.loss_type)

    CustomDPOTrainer.dpo_loss = dpo_loss
