"""Measure responses: text metrics in both protocols, fact mentions, and the certainty of all of them.

    python -m stages.score --responses R.jsonl --contexts C.jsonl --out FILE.json [--details D.jsonl] \\
        [--dialogues D.jsonl [--vocabulary V.json --facts FILE.json --fact-details F.jsonl] \\
        [--personalisation FILE.json --personalisation-details P.jsonl]] [--intervals FILE.json]
    python -m stages.score --pairs FILE.jsonl --out FILE.json [--details D.jsonl] [--no-semantic]

The first form reads the pipeline's records, matched by id. `--details` also writes each response's own scores
in the paper protocol. `--facts` counts what the responses mention of their seekers' gold profiles, which
`--dialogues` holds. `--personalisation` says whether one can tell whose response it is
(selfevolve/metrics/personalisation.py). `--intervals` gives every score its interval over dialogues, and
needs `--details`. The second form stands alone: each line of FILE.jsonl has `response` and `reference`, an
`id` if wanted, and anything else, which is ignored. Section `score` of the parameters: `semantic` (true),
`encoder` (minilm), `num_layers` (the encoder's own), `batch_size` (64); `--pairs` needs no parameters file.
`--intervals` takes section `compare`, `--personalisation` sections `personalisation` and `relevance`.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from selfevolve.metrics.facts import Seekers, measure_facts
from selfevolve.metrics.protocols import ScoreParams, match_records, read_pairs, score
from selfevolve.records.jsonl import write_records
from selfevolve.runtime.command import run
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import publish_json
from selfevolve.runtime.parameters import read_params

PARAMS = Path("params.yaml")
# Options that are given together, with --dialogues.
FACTS = {
    "vocabulary": "phrases of all gold profiles (JSON)",
    "facts": "the summary of fact mentions (JSON)",
    "fact-details": "what each response mentions (JSONL)",
}
PERSONALISATION = {
    "personalisation": "whether one can tell whose response it is (JSON)",
    "personalisation-details": "the same of each response (JSONL)",
}


def main(argv: Sequence[str] | None = None) -> None:
    """Score the responses and publish what is asked for."""
    args = _arguments(argv)
    params = _params(args)
    outputs = (args.out, args.details, args.facts, args.fact_details, args.personalisation)
    for output in filter(None, (*outputs, args.personalisation_details, args.intervals)):
        if output.is_dir():
            raise InputError("is a folder, not a file to write", file=output)
    pairs = read_pairs(args.pairs) if args.pairs else match_records(args.responses, args.contexts)
    seekers = Seekers(args.dialogues, args.vocabulary) if args.facts else None
    scores = score(pairs, params)
    if args.details:
        write_records(args.details, scores.records([str(pair.id) for pair in pairs]))
    publish_json(args.out, scores.summary())
    if seekers:
        publish_json(args.facts, measure_facts(args.responses, seekers, args.fact_details))
    if args.personalisation:
        _publish_personalisation(args)
    if args.intervals:
        _publish_intervals(args)
    for metric, reason in scores.not_available.items():
        print(f"{metric}: not available ({reason})")


def _publish_personalisation(args: argparse.Namespace) -> None:
    from selfevolve.metrics.line_ups import PersonalisationParams  # here: these load numpy
    from selfevolve.metrics.personalisation import measure_personalisation
    from selfevolve.metrics.relevance import RelevanceParams

    params = read_params("personalisation", PersonalisationParams, args.params or PARAMS)
    encoding = read_params("relevance", RelevanceParams, args.params or PARAMS)
    details = args.personalisation_details
    found = measure_personalisation(args.responses, args.dialogues, details, params, encoding)
    publish_json(args.personalisation, found)


def _publish_intervals(args: argparse.Namespace) -> None:
    """Publish the intervals of what was just written; the model is called as the folder of its scores."""
    from selfevolve.metrics.comparison import CompareParams, Files, compare_models  # here: it loads numpy

    files = Files(args.responses, args.details, args.out, args.fact_details, args.personalisation_details)
    params = read_params("compare", CompareParams, args.params or PARAMS)
    name = args.out.absolute().parent.name
    publish_json(args.intervals, compare_models({name: files}, args.contexts, [], params))


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pairs", type=Path, help="JSONL with `response` and `reference` on each line")
    parser.add_argument("--responses", type=Path, help="Response records")
    parser.add_argument("--contexts", type=Path, help="the Context records they answer")
    parser.add_argument("--out", type=Path, required=True, help="the scores (JSON)")
    parser.add_argument("--details", type=Path, help="each response's own scores (JSONL)")
    parser.add_argument("--dialogues", type=Path, help="what the contexts were cut from")
    for options in (FACTS, PERSONALISATION):
        for option, text in options.items():
            parser.add_argument(f"--{option}", type=Path, help=text)
    parser.add_argument("--intervals", type=Path, help="intervals of all scores (JSON)")
    parser.add_argument("--no-semantic", action="store_true", help="leave BERTScore out")
    parser.add_argument("--params", type=Path, help=f"parameters file (default: {PARAMS})")
    args = parser.parse_args(argv)
    records = bool(args.responses and args.contexts)
    if bool(args.pairs) == records or (args.pairs and (args.responses or args.contexts)):
        parser.error("give either --pairs, or --responses and --contexts")
    for options in (FACTS, PERSONALISATION):
        given = [bool(getattr(args, option.replace("-", "_"))) for option in options]
        if any(given) and not (all(given) and args.dialogues and records):
            names = ", ".join(f"--{option}" for option in options)
            parser.error(f"give --dialogues, {names} together, with --responses")
    if args.dialogues and not (args.facts or args.personalisation):
        parser.error("give --dialogues together with what is to be measured of them")
    if args.intervals and not (args.details and records):
        parser.error("--intervals needs --details and --responses")
    return args


def _params(args: argparse.Namespace) -> ScoreParams:
    path = args.params or PARAMS
    alone = args.pairs and not args.params and not path.exists()
    params = ScoreParams() if alone else read_params("score", ScoreParams, path)
    return params.model_copy(update={"semantic": False}) if args.no_semantic else params


if __name__ == "__main__":
    run(main)
