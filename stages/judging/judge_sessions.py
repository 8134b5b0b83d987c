"""Let a judge compare two models' whole sessions: `python -m stages.judging.judge_sessions ...`.

The sessions are those of `stages.analyses.converse`, two of the same id side by side: they begin with the
same words of the same seeker. Orders, ties, flips and wins by the ratio of lengths (words of the supporter)
are as in `judge_pairs`, and so are settings, ledger and limits; `judge.contexts` is the most sessions.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from selfevolve.data.contexts import draw_evenly
from selfevolve.judge.both_orders import JudgePairsParams, Side, judge_both_orders
from selfevolve.judge.questions import JudgeParams
from selfevolve.prompts.requests import transcript
from selfevolve.records.jsonl import write_records
from selfevolve.records.schema import Context
from selfevolve.runtime.command import run
from selfevolve.runtime.files import publish_json
from selfevolve.runtime.parameters import read_params
from selfevolve.sessions.comparison import read_sessions, require_comparable
from selfevolve.sessions.session import Session, as_messages


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
    bounds = read_params("judge_pairs", JudgePairsParams, args.params)
    first, second = read_sessions(args.first), read_sessions(args.second)
    require_comparable(first, second, args.first, args.second)
    beginnings = [
        Context(id=i, messages=as_messages(one.turns[:1]), golden=one.turns[0].text)
        for i, one in first.items()
    ]
    drawn = draw_evenly(beginnings, params.contexts or len(beginnings), params.seed)
    sides = _side(first), _side(second)
    comparisons, results = judge_both_orders(drawn, *sides, "session_pair", params, bounds, "judge_sessions")
    write_records(args.out, comparisons)
    counts = {"found": len(first), "sampled": len(drawn)}
    publish_json(args.metrics, {"sessions": counts, **results})


def _side(sessions: Mapping[str, Session]) -> Side:
    """Return what is shown of a model's sessions: all but the seeker's first words, which both share."""
    shown = {name: transcript(as_messages(one.turns[1:])) for name, one in sessions.items()}
    return Side(shown, {name: one.said_by_supporter() for name, one in sessions.items()})


if __name__ == "__main__":
    run(main)
