"""Section `reward` of params.yaml: which reward ranks, how many candidates, and where there is none."""

from typing import Literal

from pydantic import Field, model_validator

from selfevolve.generation.request import derive_seed
from selfevolve.policies.policy import Policy
from selfevolve.runtime.parameters import Params

Kind = Literal["personalisation", "relevance", "model", "implicit"]


class Numbers(Params):
    """How many candidates a context has: direct responses, refined ones."""

    direct: int = Field(ge=1)
    refined: int = Field(ge=0)

    @model_validator(mode="after")
    def _rank(self) -> "Numbers":
        if self.direct + self.refined < 2:
            raise ValueError("one candidate cannot be ranked: direct and refined must be 2 together at least")
        return self


class RewardParams(Params):
    """Section `reward` of params.yaml.

    `by` names the reward. The first direct candidate is the response of stage `respond`, the first refined
    one that of `refine`; the seeds of the others follow from `seed`. `margin` is the least difference between
    the best and the worst candidate that makes a pair, in the reward's own unit. `model` is the folder of the
    reward model. `beta` scales the implicit reward. `supervised` is how many adapters at the foot of a chain
    no preference training made (M0): on these there is no implicit reward.
    """

    by: Kind
    seed: int
    candidates: Numbers
    margin: float = Field(ge=0)
    model: str
    beta: float = Field(gt=0)
    supervised: int = Field(ge=0)

    def ranks(self, policy: Policy) -> bool:
        """Return whether there is a reward for what a policy says.

        The implicit reward is that of the policy's last preference training. A policy without one, such as
        M0, has no implicit reward, and the principles make its pairs (`chosen: refined`).
        """
        return self.by != "implicit" or len(policy.adapters) > self.supervised

    def seed_of(self, source: str, number: int, first: int) -> int:
        """Return the seed of the n-th candidate of a kind, from 1; `first` is that of the first one."""
        return first if number == 1 else derive_seed(self.seed, source, number)
