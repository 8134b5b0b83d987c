"""Let a judge compare two models' responses in both orders: `python -m stages.judge_pairs --first ...`.

Each context is asked twice, with either response shown first. Only a model that both orders name has won;
where they differ it is a tie and a flip. Settings, ledger and limits are those of `stages.judge`; section
`judge_pairs` says at which ratios of lengths the wins are split.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from stages.command import Params, read_params, run
from stages.engines.ask import Outcome
from stages.engines.load import load_judge
from stages.judge import JudgeParams, Questions, described, draw, interval_over, texts_of, unread
from stages.judging.answers import read_verdict
from stages.judging.pairs import ORDERS, Choice, OrderVerdict, compare, summarize_pairs
from stages.judging.texts import RUBRICS, TEXTS
from stages.prompts.requests import transcript
from stages.prompts.templates import Prompts, load_texts
from stages.records.jsonl import write_records
from stages.records.publish import publish_json
from stages.records.schema import Context, Message


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
    """Read the command line, ask the judge, and write the comparisons and what they come to."""
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
    contexts, counts = draw(args.contexts, params)
    first, second = texts_of(args.first, contexts), texts_of(args.second, contexts)
    judge = load_judge(params.engine)
    rubrics = load_texts(TEXTS, RUBRICS, params.rubrics)
    questions = _questions(contexts, first, second, rubrics, Questions(judge, params))
    outcomes, asking = questions.consult("judge_pairs", lambda answer: read_verdict(answer, Choice, "winner"))
    comparisons = [compare(c.id, _verdicts(c.id, outcomes), first[c.id], second[c.id]) for c in contexts]
    write_records(args.out, comparisons)
    metrics = {
        "judge": described(judge, params, rubrics),
        "contexts": counts | {"identical": sum(first[c.id] == second[c.id] for c in contexts)},
        **summarize_pairs(comparisons, bounds, interval_over(params.seed)),
        **asking,
    }
    publish_json(args.metrics, metrics)
    _show(metrics)


def _questions(
    contexts: Sequence[Context],
    first: Mapping[str, str],
    second: Mapping[str, str],
    rubrics: Prompts,
    questions: Questions,
) -> Questions:
    """Add a question for every context and order, by `<context>/<order>`."""
    for context in contexts:
        shown = {"first_second": (first, second), "second_first": (second, first)}
        for order in ORDERS:
            a, b = (responses[context.id] for responses in shown[order])

            def build(left: list[Message], a: str = a, b: str = b) -> list[Message]:
                request = rubrics.fill("pair_request", dialogue=transcript(left), response_a=a, response_b=b)
                return [
                    Message(role="system", content=rubrics.text("pair")),
                    Message(role="user", content=request),
                ]

            questions.add(f"{context.id}/{order}", context, build)
    return questions


def _verdicts(identity: str, outcomes: Mapping[str, Outcome[Choice]]) -> list[OrderVerdict]:
    found = [(order, outcomes[f"{identity}/{order}"]) for order in ORDERS]
    return [
        OrderVerdict(
            order=order,
            winner=outcome.value and ORDERS[order][outcome.value.winner],
            explanation=outcome.value and outcome.value.explanation,
            attempts=outcome.attempts,
            unread=unread(outcome),
        )
        for order, outcome in found
    ]


def _show(metrics: Mapping[str, Any]) -> None:
    for name in ("win", "tie", "loss", "flips"):
        share = metrics[name]
        percent = f"{share['percent']:.1f} %" if "percent" in share else "not available"
        bounds = f" ({share['low']:.1f} to {share['high']:.1f})" if "low" in share else ""
        print(f"{name:<6} {percent}{bounds}, {share['count']} of {share['of']} pairs")


if __name__ == "__main__":
    run(main)
