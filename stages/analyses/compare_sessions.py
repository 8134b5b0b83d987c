"""Compare models in sessions with the same seekers: `python -m stages.analyses.compare_sessions ...`.

    python -m stages.analyses.compare_sessions --out FILE.json \\
        --sessions m0=data/m0/sessions.jsonl --sessions m2=data/m2/sessions.jsonl --pair m0:m2

Every score gets an interval over cards. Every pair gets the differences by card and seed, their intervals,
and two paired tests corrected by Holm's method. Section `compare` of the parameters says how.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from selfevolve.metrics.comparison import CompareParams
from selfevolve.runtime.command import run
from selfevolve.runtime.files import publish_json
from selfevolve.runtime.parameters import read_params
from selfevolve.sessions.comparison import compare_sessions


def main(argv: Sequence[str] | None = None) -> None:
    """Read the models' sessions, compute the differences and the tests, and publish them."""
    args = _arguments(argv)
    params = read_params("compare", CompareParams, args.params)
    result = compare_sessions(args.sessions, args.pair, params, args.vocabulary)
    publish_json(args.out, result)
    for pair in result["pairs"]:
        for name, found in pair["scores"].items():
            bounds = f"({found['low']:.2f} to {found['high']:.2f})"
            p = f"p {found['p_randomisation_holm']:.3f} by Holm"
            print(f"{pair['last']} - {pair['first']}: {name:<15} {found['difference']:.2f} {bounds}, {p}")


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sessions", action="append", required=True, metavar="NAME=FILE", help="of a model")
    parser.add_argument("--pair", action="append", required=True, metavar="FIRST:LAST", help="models")
    parser.add_argument("--vocabulary", type=Path, help="further facts that count as wrong (JSON)")
    parser.add_argument("--out", type=Path, required=True, help="differences and tests (JSON)")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    given = [value.partition("=") for value in args.sessions]
    args.sessions = {name: Path(file) for name, _, file in given}
    if len(args.sessions) < len(given) or not all(name and file for name, _, file in given):
        parser.error("--sessions takes NAME=FILE, and each name once")
    args.pair = [tuple(value.split(":")) for value in args.pair]
    for pair in args.pair:
        if len(pair) != 2 or len(set(pair)) != 2 or not args.sessions.keys() >= set(pair):
            parser.error("--pair takes FIRST:LAST, two of the models that --sessions names")
    return args


if __name__ == "__main__":
    run(main)
