"""What judging will cost, what it has cost, and where it must stop."""

from collections.abc import Collection, Sequence
from typing import Any

from pydantic import Field, model_validator

from selfevolve.judge.ledger import Spent
from selfevolve.records.schema import Message, Record
from selfevolve.runtime.errors import InputError

CHARACTERS_PER_TOKEN = 4  # the usual rule of thumb for English text
_GO_ON = "; the answers so far are kept: raise the limit and run the same command again"


class Prices(Record):
    """The price of a million tokens, in any currency; null where it is not known."""

    input_per_million: float | None = Field(ge=0)
    output_per_million: float | None = Field(ge=0)

    @model_validator(mode="after")
    def _both(self) -> "Prices":
        if (self.input_per_million is None) != (self.output_per_million is None):
            raise ValueError("give both prices, or null for both")
        return self

    def of(self, tokens_in: float, tokens_out: float) -> float | None:
        """Return the cost of these numbers of tokens, None where the prices are not known."""
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

    def check(self, spent: Spent) -> None:
        """Raise InputError if this, which includes the next call, is more than the limits allow."""
        if self.limit_calls is not None and spent.calls > self.limit_calls:
            message = f"{spent.calls - 1} calls were made of this judge, and {self.limit_calls} are allowed"
            raise InputError(message + _GO_ON, field="judge.limit_calls")
        cost = self.prices.of(spent.most_in, spent.most_out)
        if self.limit_cost is not None and cost is not None and cost > self.limit_cost:
            message = f"the next call could bring the cost to {cost:.4f}, and {self.limit_cost:g} is allowed"
            raise InputError(message + _GO_ON, field="judge.limit_cost")


def estimate(questions: Collection[Sequence[Message]], answer_tokens: int, prices: Prices) -> dict[str, Any]:
    """Return what one call for each question will come to: `calls`, `tokens_in`, `tokens_out` and `cost`.

    `tokens_in` is a rule of thumb; `tokens_out` takes every answer to have all its `answer_tokens`.
    """
    lengths = [sum(len(message.content) for message in messages) for messages in questions]
    tokens_in = sum(-(-length // CHARACTERS_PER_TOKEN) for length in lengths)
    tokens_out = answer_tokens * len(questions)
    cost = prices.of(tokens_in, tokens_out)
    return {"calls": len(questions), "tokens_in": tokens_in, "tokens_out": tokens_out, "cost": cost}


def count_calls(spent: Spent, prices: Prices) -> dict[str, Any]:
    """Return calls, tokens and cost for the metrics; tokens that no server counted are null."""
    measured = spent.measured > 0
    return {
        "calls": spent.calls,
        "refused": spent.refused,
        "answers": spent.answers,
        "answers_with_usage": spent.measured,
        "prompt_tokens": spent.prompt_tokens if measured else None,
        "completion_tokens": spent.completion_tokens if measured else None,
        "cost": prices.of(spent.prompt_tokens, spent.completion_tokens) if measured else None,
        "cost_at_most": prices.of(spent.most_in, spent.most_out),
    }
