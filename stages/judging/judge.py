"""Let a judge score responses in seven dimensions: `python -m stages.judging.judge ...`.

Table 7's setting (appendices B.2 and E.2): 100 contexts, one question for each dimension, a score from 1 to 5
as JSON. A ledger notes each call before it is made: after a kill, or at a limit, the same command goes on,
and no answer is paid for twice. `--human FILE` adds the correlation with people's scores, a JSONL file:

    {"id": "esconv-0168#7", "model": "m2", "scores": {"empathy": 4, "overall": 3.5}}
"""

import argparse
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from selfevolve.generation.generate import Outcome
from selfevolve.judge.answers import parse_verdict
from selfevolve.judge.human import correlate, read_human
from selfevolve.judge.questions import JudgeParams, Question, consult, draw_contexts, read_responses
from selfevolve.judge.verdicts import DIMENSIONS, Dimension, Judged, Score, Verdict, summarize
from selfevolve.records.jsonl import write_records
from selfevolve.records.texts import is_blank
from selfevolve.runtime.command import run
from selfevolve.runtime.files import publish_json
from selfevolve.runtime.parameters import read_params


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, ask the judge, and write the verdicts and their summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--responses", type=Path, required=True)
    parser.add_argument("--contexts", type=Path, required=True, help="the test contexts they answer")
    parser.add_argument("--out", type=Path, required=True, help="the verdicts (JSONL)")
    parser.add_argument("--metrics", type=Path, required=True)
    parser.add_argument("--human", type=Path, help="people's scores (JSONL)")
    parser.add_argument("--model", help="the model's name in that file (default: the responses' folder)")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    params = read_params("judge", JudgeParams, args.params)
    contexts, counts = draw_contexts(args.contexts, params)
    responses = read_responses(args.responses, contexts)
    model = args.model or args.responses.resolve().parent.name
    human = read_human(args.human, model, [context.id for context in contexts]) if args.human else None
    questions = {
        f"{c.id}/{dimension}": Question(c, dimension, "request", {"response": responses[c.id]})
        for c in contexts
        for dimension in DIMENSIONS
    }
    parse = partial(parse_verdict, kind=Score, decisive="score")
    outcomes, asking = consult(params, questions, parse, "judge")
    judged = [
        Judged(id=c.id, verdicts=[_verdict(d, outcomes[f"{c.id}/{d}"]) for d in DIMENSIONS]) for c in contexts
    ]
    write_records(args.out, judged)
    metrics = {
        "model": model,
        "contexts": counts | {"empty_responses": sum(is_blank(responses[c.id]) for c in contexts)},
        **summarize(judged, params.seed),
        **asking,
        **({"human": correlate(judged, human)} if human else {}),
    }
    publish_json(args.metrics, metrics)
    _show(metrics)


def _verdict(dimension: Dimension, outcome: Outcome[Score]) -> Verdict:
    said = dict(outcome.value or ())
    return Verdict(dimension=dimension, attempts=outcome.attempts, failed_attempts=outcome.failed, **said)


def _show(metrics: Mapping[str, Any]) -> None:
    for dimension, score in metrics["scores"].items():
        mean = f"{score['mean']:.2f}" if "mean" in score else "not available"
        bounds = f" ({score['low']:.2f} to {score['high']:.2f})" if "low" in score else ""
        print(f"{dimension:<15} {mean}{bounds}, {score['count']} verdicts, {score['failed']} failed")


if __name__ == "__main__":
    run(main)
