"""Compare the scores of models on the same contexts: `python -m stages.compare ...`.

    python -m stages.compare --contexts C.jsonl --out FILE.json \\
        --responses m0=R.jsonl --details m0=D.jsonl --scores m0=text.json \\
        [--facts m0=F.jsonl] [--personalisation m0=P.jsonl] \\
        [--responses m1=... --details m1=... --scores m1=... --pair m0:m1]

Give the options of NAME=FILE once a model, and `--pair` as often as you want. Every score of both protocols,
of fact mentions where `--facts` is given, and of personalisation where `--personalisation` is, gets an
interval over dialogues. Every pair gets the differences, their intervals, and two paired tests corrected by
Holm's method. Nothing is generated or scored: the files are what stages.score wrote. Section `compare` of the
parameters: `seed`, `resamples`, `level`.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from selfevolve.metrics.comparison import CompareParams, Files, compare_models
from selfevolve.runtime.command import run
from selfevolve.runtime.files import publish_json
from selfevolve.runtime.parameters import read_params

BY_MODEL = {
    "responses": "its Response records",
    "details": "each response's own scores",
    "scores": "the summary of its scores",
    "facts": "the facts that each response mentions",
    "personalisation": "how well each response can be told to be its own seeker's",
}
OPTIONAL = ("facts", "personalisation")


def main(argv: Sequence[str] | None = None) -> None:
    """Read the models, compute the intervals and the tests, and publish them."""
    args = _arguments(argv)
    params = read_params("compare", CompareParams, args.params)
    models = {
        name: Files(
            path, args.details[name], args.scores[name], args.facts.get(name), args.personalisation.get(name)
        )
        for name, path in args.responses.items()
    }
    result = compare_models(models, args.contexts, args.pair, params)
    publish_json(args.out, result)
    for name, found in result["models"].items():
        for metric, reason in found["not_available"].items():
            print(f"{name}: {metric}: not available ({reason})")


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for option, text in BY_MODEL.items():
        needed = option not in OPTIONAL
        parser.add_argument(f"--{option}", action="append", required=needed, metavar="NAME=FILE", help=text)
    parser.add_argument("--contexts", type=Path, required=True, help="the Context records all models answer")
    parser.add_argument("--pair", action="append", default=[], metavar="FIRST:LAST", help="models to compare")
    parser.add_argument("--out", type=Path, required=True, help="intervals and tests (JSON)")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    for option in BY_MODEL:
        given = [value.partition("=") for value in getattr(args, option) or []]
        files = {name: Path(file) for name, _, file in given}
        if len(files) < len(given) or not all(name and file for name, _, file in given):
            parser.error(f"--{option} takes NAME=FILE, and each name once")
        setattr(args, option, files)
        if files.keys() != args.responses.keys() and (files or option not in OPTIONAL):
            parser.error(f"--{option} must name the models that --responses names")
    args.pair = [tuple(value.split(":")) for value in args.pair]
    for pair in args.pair:
        if len(set(pair)) != 2 or len(pair) != 2 or not args.responses.keys() >= set(pair):
            parser.error("--pair takes FIRST:LAST, two of the models that --responses names")
    return args


if __name__ == "__main__":
    run(main)
