"""Measure how good the reflections are: `python -m stages.reflections --refined ... --rejected ...`.

How many parse; and for seekers with gold profiles, whether the understanding is right and whether the refined
response mentions more of the seeker's own facts than the direct one. An answer that does not parse counts as
nothing understood. If golden responses are chosen there are no reflections, and the count is 0; so it may be
where a reward chooses.

With `--preferences` it also measures the pairs that were made of them: the facts that chosen and rejected
responses mention, by the source of the chosen ones.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from selfevolve.metrics.facts import Seekers
from selfevolve.metrics.understanding import measure_pairs, measure_reflections
from selfevolve.records.jsonl import read_by_id, read_records
from selfevolve.records.schema import Preference, Refinement, Response
from selfevolve.runtime.command import run
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import publish_json


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--refined", type=Path, required=True)
    parser.add_argument("--rejected", type=Path, required=True, help="the direct responses they refine")
    parser.add_argument("--dialogues", type=Path, required=True, help="what the contexts were cut from")
    parser.add_argument("--vocabulary", type=Path, required=True, help="phrases of all gold profiles (JSON)")
    parser.add_argument("--chosen", choices=("refined", "golden", "reward"), default="refined")
    parser.add_argument("--preferences", type=Path, help="folder of the pairs made of them")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(argv)
    seekers = Seekers(args.dialogues, args.vocabulary)
    measured: dict[str, Any] = {"count": 0}
    refined = read_records(args.refined, Refinement) if args.chosen != "golden" else []
    if refined or args.chosen == "refined":
        if not refined:
            raise InputError("has no refinements", file=args.refined)
        ids = [refinement.id for refinement in refined]
        direct = {name: one.text for name, one in read_by_id(args.rejected, Response, ids).items()}
        measured = measure_reflections(refined, direct, seekers.with_profile(ids, args.refined))
    if args.preferences is not None:
        files = [args.preferences / f"{part}.jsonl" for part in ("train", "valid")]
        pairs = [pair for file in files for pair in read_records(file, Preference)]
        with_profile = seekers.with_profile((pair.id for pair in pairs), args.preferences)
        measured["facts_by_source"] = measure_pairs(pairs, with_profile)
    publish_json(args.out, measured)


if __name__ == "__main__":
    run(main)
