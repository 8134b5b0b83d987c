"""Let a judge compare two models' responses in both orders: `python -m stages.judging.judge_pairs ...`.

The judge sees each pair twice, with either response first. A model wins only where both orders name it;
where they differ the pair is a tie and a flip. Settings, ledger and limits are those of `judge`; section
`judge_pairs` says at which ratios of lengths the wins are split.
"""

import argparse
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from selfevolve.generation.generate import Outcome
from selfevolve.judge.answers import parse_verdict
from selfevolve.judge.pairs import ORDERS, Choice, Order, OrderVerdict, compare, summarize_pairs
from selfevolve.judge.questions import JudgeParams, Question, consult, draw_contexts, read_responses
from selfevolve.records.jsonl import write_records
from selfevolve.records.schema import Context
from selfevolve.runtime.command import run
from selfevolve.runtime.files import publish_json
from selfevolve.runtime.parameters import Params, read_params


class JudgePairsParams(Params):
    """Section `judge_pairs` of params.yaml."""

    length_ratios: list[float] = Field(min_length=1)

    @field_validator("length_ratios")
    @classmethod
    def _ascending(cls, value: list[float]) -> list[float]:
        if value[0] <= 0 or sorted(set(value)) != value:
            raise ValueError("must be positive and ascending")
        return value


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, ask the judge, and write the comparisons and their summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--first", type=Path, required=True, help="one model's responses")
    parser.add_argument("--second", type=Path, required=True, help="the other's; wins are counted for it")
    parser.add_argument("--contexts", type=Path, required=True, help="the test contexts they answer")
    parser.add_argument("--out", type=Path, required=True, help="the comparisons (JSONL)")
    parser.add_argument("--metrics", type=Path, required=True)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    params = read_params("judge", JudgeParams, args.params)
    bounds = read_params("judge_pairs", JudgePairsParams, args.params).length_ratios
    contexts, counts = draw_contexts(args.contexts, params)
    first, second = read_responses(args.first, contexts), read_responses(args.second, contexts)
    questions = {
        f"{context.id}/{order}": _question(context, order, first[context.id], second[context.id])
        for context in contexts
        for order in ORDERS
    }
    parse = partial(parse_verdict, kind=Choice, decisive="winner")
    outcomes, asking = consult(params, questions, parse, "judge_pairs")
    comparisons = [
        compare(c.id, [verdict_of(o, outcomes[f"{c.id}/{o}"]) for o in ORDERS], first[c.id], second[c.id])
        for c in contexts
    ]
    write_records(args.out, comparisons)
    metrics = {
        "contexts": counts | {"identical": sum(first[c.id] == second[c.id] for c in contexts)},
        **summarize_pairs(comparisons, bounds, params.seed),
        **asking,
    }
    publish_json(args.metrics, metrics)
    show(metrics)


def _question(context: Context, order: Order, first: str, second: str) -> Question:
    a, b = (first, second) if order == "first_second" else (second, first)
    return Question(context, "pair", "pair_request", {"response_a": a, "response_b": b})


def verdict_of(order: Order, outcome: Outcome[Choice]) -> OrderVerdict:
    """Return the record of what a judge said in one order."""
    return OrderVerdict(
        order=order,
        winner=outcome.value and ORDERS[order][outcome.value.winner],
        explanation=outcome.value and outcome.value.explanation,
        attempts=outcome.attempts,
        failed_attempts=outcome.failed,
    )


def show(metrics: Mapping[str, Any]) -> None:
    """Print wins, ties, losses and flips with their intervals."""
    for name in ("win", "tie", "loss", "flips"):
        share = metrics[name]
        percent = f"{share['percent']:.1f} %" if "percent" in share else "not available"
        bounds = f" ({share['low']:.1f} to {share['high']:.1f})" if "low" in share else ""
        print(f"{name:<6} {percent}{bounds}, {share['count']} of {share['of']} pairs")


if __name__ == "__main__":
    run(main)
