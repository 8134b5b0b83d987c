"""Let a judge compare two models' whole sessions: `python -m stages.judging.judge_sessions ...`.

The sessions are those of `stages.analyses.converse`, two of the same id side by side: they begin with the
same words of the same seeker. Orders, ties, flips and wins by the ratio of lengths (words of the supporter)
are as in `judge_pairs`, and so are settings, ledger and limits; `judge.contexts` is the most sessions.
"""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from selfevolve.data.contexts import draw_evenly
from selfevolve.judge.answers import parse_verdict
from selfevolve.judge.pairs import ORDERS, Choice, Order, compare, summarize_pairs
from selfevolve.judge.questions import JudgeParams, Question, consult
from selfevolve.prompts.requests import transcript
from selfevolve.records.jsonl import write_records
from selfevolve.records.schema import Context
from selfevolve.runtime.command import run
from selfevolve.runtime.files import publish_json
from selfevolve.runtime.parameters import read_params
from selfevolve.sessions.comparison import read_sessions, require_comparable
from selfevolve.sessions.session import Session, as_messages
from stages.judging.judge_pairs import JudgePairsParams, show, verdict_of


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, ask the judge, and write the comparisons and their summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--first", type=Path, required=True, help="one model's sessions")
    parser.add_argument("--second", type=Path, required=True, help="the other's; wins are counted for it")
    parser.add_argument("--out", type=Path, required=True, help="the comparisons (JSONL)")
    parser.add_argument("--metrics", type=Path, required=True)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    params = read_params("judge", JudgeParams, args.params)
    bounds = read_params("judge_pairs", JudgePairsParams, args.params).length_ratios
    first, second = read_sessions(args.first), read_sessions(args.second)
    require_comparable(first, second, args.first, args.second)
    beginnings = [
        Context(id=i, messages=as_messages(one.turns[:1]), golden=one.turns[0].text)
        for i, one in first.items()
    ]
    drawn = draw_evenly(beginnings, params.contexts or len(beginnings), params.seed)
    questions = {
        f"{context.id}/{order}": _question(context, order, first[context.id], second[context.id])
        for context in drawn
        for order in ORDERS
    }
    parse = partial(parse_verdict, kind=Choice, decisive="winner")
    outcomes, asking = consult(params, questions, parse, "judge_sessions")
    comparisons = [
        compare(
            context.id,
            [verdict_of(order, outcomes[f"{context.id}/{order}"]) for order in ORDERS],
            first[context.id].said_by_supporter(),
            second[context.id].said_by_supporter(),
        )
        for context in drawn
    ]
    write_records(args.out, comparisons)
    counts = {"sessions": {"found": len(first), "sampled": len(drawn)}}
    metrics = {**counts, **summarize_pairs(comparisons, bounds, params.seed), **asking}
    publish_json(args.metrics, metrics)
    show(metrics)


def _question(context: Context, order: Order, first: Session, second: Session) -> Question:
    a, b = (first, second) if order == "first_second" else (second, first)
    texts = {
        name: transcript(as_messages(one.turns[1:])) for name, one in (("response_a", a), ("response_b", b))
    }
    return Question(context, "session_pair", "session_pair_request", texts)


if __name__ == "__main__":
    run(main)
