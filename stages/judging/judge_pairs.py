"""Let a judge compare two models' responses in both orders: `python -m stages.judging.judge_pairs ...`.

The judge sees each pair twice, with either response first. A model wins only where both orders name it;
where they differ the pair is a tie and a flip. Settings, ledger and limits are those of `judge`; section
`judge_pairs` says at which ratios of lengths the wins are split.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from selfevolve.judge.both_orders import JudgePairsParams, Side, judge_both_orders
from selfevolve.judge.questions import JudgeParams, draw_contexts, read_responses
from selfevolve.records.jsonl import write_records
from selfevolve.runtime.command import run
from selfevolve.runtime.files import publish_json
from selfevolve.runtime.parameters import read_params


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
    bounds = read_params("judge_pairs", JudgePairsParams, args.params)
    contexts, counts = draw_contexts(args.contexts, params)
    first, second = read_responses(args.first, contexts), read_responses(args.second, contexts)
    sides = Side(first, first), Side(second, second)
    comparisons, results = judge_both_orders(contexts, *sides, "pair", params, bounds, "judge_pairs")
    write_records(args.out, comparisons)
    counts["identical"] = sum(first[context.id] == second[context.id] for context in contexts)
    publish_json(args.metrics, {"contexts": counts, **results})


if __name__ == "__main__":
    run(main)
