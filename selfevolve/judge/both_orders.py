"""Show a judge what two models said side by side, each pair twice, with either model's first."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from pydantic import Field, field_validator

from selfevolve.generation.generate import Outcome
from selfevolve.judge.answers import parse_verdict
from selfevolve.judge.pairs import (
    ORDERS,
    Choice,
    Comparison,
    Order,
    OrderVerdict,
    compare,
    summarize_pairs,
)
from selfevolve.judge.questions import JudgeParams, Question, consult
from selfevolve.records.schema import Context
from selfevolve.runtime.parameters import Params


class JudgePairsParams(Params):
    """Section `judge_pairs` of params.yaml."""

    length_ratios: list[float] = Field(min_length=1)

    @field_validator("length_ratios")
    @classmethod
    def _ascending(cls, value: list[float]) -> list[float]:
        if value[0] <= 0 or sorted(set(value)) != value:
            raise ValueError("must be positive and ascending")
        return value


class Side(NamedTuple):
    """What of a model is compared, by the context's id: what the judge is shown, what the model said of it.

    The words of what it said decide the stratum of lengths.
    """

    shown: Mapping[str, str]
    said: Mapping[str, str]


def judge_both_orders(
    contexts: Sequence[Context],
    first: Side,
    second: Side,
    rubric: str,
    params: JudgeParams,
    bounds: JudgePairsParams,
    stage: str,
) -> tuple[list[Comparison], dict[str, Any]]:
    """Ask a judge about every context in both orders, and print the results.

    Args:
        contexts: what both models answered.
        first, second: the two models; wins are counted for the second.
        rubric: the rubric of the pair; its request is `<rubric>_request`.
        params: sampling, limits and engine of the judge.
        bounds: at which ratios of lengths the wins are split.
        stage: the stage's name, in what is printed.

    Returns:
        A comparison for each context in their order, and the metrics: the results, then what was asked.

    Raises:
        InputError: the judge gave up, or a limit is reached, as `consult`.
    """
    questions = {
        f"{context.id}/{order}": _question(context, order, first, second, rubric)
        for context in contexts
        for order in ORDERS
    }
    parse = partial(parse_verdict, kind=Choice, decisive="winner")
    outcomes, asking = consult(params, questions, parse, stage)
    comparisons = [
        compare(
            context.id,
            [_verdict(order, outcomes[f"{context.id}/{order}"]) for order in ORDERS],
            first.said[context.id],
            second.said[context.id],
        )
        for context in contexts
    ]
    metrics = summarize_pairs(comparisons, bounds.length_ratios, params.seed)
    _show(metrics)
    return comparisons, metrics | asking


def _question(context: Context, order: Order, first: Side, second: Side, rubric: str) -> Question:
    a, b = (first, second) if order == "first_second" else (second, first)
    texts = {"response_a": a.shown[context.id], "response_b": b.shown[context.id]}
    return Question(context, rubric, f"{rubric}_request", texts)


def _verdict(order: Order, outcome: Outcome[Choice]) -> OrderVerdict:
    return OrderVerdict(
        order=order,
        winner=outcome.value and ORDERS[order][outcome.value.winner],
        explanation=outcome.value and outcome.value.explanation,
        attempts=outcome.attempts,
        failed_attempts=outcome.failed,
    )


def _show(metrics: Mapping[str, Any]) -> None:
    for name in ("win", "tie", "loss", "flips"):
        share = metrics[name]
        percent = f"{share['percent']:.1f} %" if "percent" in share else "not available"
        bounds = f" ({share['low']:.1f} to {share['high']:.1f})" if "low" in share else ""
        print(f"{name:<6} {percent}{bounds}, {share['count']} of {share['of']} pairs")
