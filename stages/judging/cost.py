"""What judging will cost, what it has cost, and where it must stop."""

from collections.abc import Sequence

from pydantic import Field, model_validator

from stages.records.errors import InputError
from stages.records.schema import Record

CHARACTERS_A_TOKEN = 4  # the usual rule of thumb for English text


class Prices(Record):
    """What a million tokens cost, in any currency; null where that is not known."""

    input_per_million: float | None = Field(ge=0)
    output_per_million: float | None = Field(ge=0)

    @model_validator(mode="after")
    def _both(self) -> "Prices":
        if (self.input_per_million is None) != (self.output_per_million is None):
            raise ValueError("give both prices, or null for both")
        return self

    def of(self, tokens_in: float, tokens_out: float) -> float | None:
        """Return the cost of so many tokens, None where the prices are not known."""
        if self.input_per_million is None or self.output_per_million is None:
            return None
        return (tokens_in * self.input_per_million + tokens_out * self.output_per_million) / 1e6


class Limits(Record):
    """The most that all calls of a judge may come to, in all runs together; null for no limit."""

    prices: Prices
    limit_calls: int | None = Field(ge=0)
    limit_cost: float | None = Field(ge=0)

    @model_validator(mode="after")
    def _priced(self) -> "Limits":
        if self.limit_cost is not None and self.prices.input_per_million is None:
            raise ValueError("limit_cost needs prices")
        return self

    def check(self, calls: int, tokens_in: int, tokens_out: int) -> None:
        """Raise InputError if so many calls and tokens, the next call among them, are too much."""
        if self.limit_calls is not None and calls > self.limit_calls:
            reached = f"{calls - 1} calls were made of this judge, and {self.limit_calls} are allowed"
            raise InputError(f"{reached}{_GO_ON}", field="judge.limit_calls")
        cost = self.prices.of(tokens_in, tokens_out)
        if self.limit_cost is not None and cost is not None and cost > self.limit_cost:
            reached = f"the next call could bring the cost to {cost:.4f}, and {self.limit_cost:g} is allowed"
            raise InputError(f"{reached}{_GO_ON}", field="judge.limit_cost")


_GO_ON = ": what was answered is kept; with a higher limit the same command goes on"


def estimate(prompts: Sequence[str], answer_tokens: int, prices: Prices) -> dict[str, float | int | None]:
    """Return what one call for each prompt will come to, by a rule of thumb.

    Args:
        prompts: the whole text of each.
        answer_tokens: the most that an answer can have; most are shorter.
        prices: of the judge.

    Returns:
        `calls`, `tokens_in` (about), `tokens_out` (at most) and `cost`, None where prices are not known.
    """
    tokens_in = sum(-(-len(prompt) // CHARACTERS_A_TOKEN) for prompt in prompts)
    tokens_out = answer_tokens * len(prompts)
    cost = prices.of(tokens_in, tokens_out)
    return {"calls": len(prompts), "tokens_in": tokens_in, "tokens_out": tokens_out, "cost": cost}
