"""Measure whether reflections name emotion and problem: `python -m stages.analyses.profile_inference ...`.

By the number of seeker turns seen, on dialogues of which both are known; selfevolve/metrics/inference.py says
how. `by_chance` says how often a reflection names what is true of another dialogue instead.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from selfevolve.metrics.facts import Seekers
from selfevolve.metrics.inference import Reflected, annotations, infer, inference_report
from selfevolve.records.jsonl import dialogue_of, read_by_id, read_records, write_records
from selfevolve.records.schema import Context, Dialogue, Refinement
from selfevolve.runtime.command import run
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import publish_json


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, look for what is known in every reflection and write the shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--refined", type=Path, required=True, help="the reflections")
    parser.add_argument("--contexts", type=Path, required=True, help="what they reflect on")
    parser.add_argument("--dialogues", type=Path, required=True, help="what the contexts were cut from")
    parser.add_argument("--vocabulary", type=Path, required=True, help="phrases of all gold profiles (JSON)")
    parser.add_argument("--out", type=Path, required=True, help="the shares (JSON)")
    parser.add_argument("--details", type=Path, required=True, help="what each reflection names (JSONL)")
    args = parser.parse_args(argv)
    refined = read_records(args.refined, Refinement)
    if not refined:
        raise InputError("has no refinements", file=args.refined)
    contexts = read_by_id(args.contexts, Context, (one.id for one in refined))
    dialogues = {dialogue.id: dialogue for dialogue in read_records(args.dialogues, Dialogue)}
    seekers = Seekers(args.dialogues, args.vocabulary)
    reflected = []
    for one in refined:
        seeker = seekers.find(one.id, args.refined)  # an id of no dialogue is an error here
        reflected.append(Reflected(one, contexts[one.id], dialogues[dialogue_of(one.id)], seeker))
    annotated = annotations(dialogues.values())
    inferences = [infer(one, annotated) for one in reflected]
    write_records(args.details, inferences)
    publish_json(args.out, inference_report(reflected, inferences))


if __name__ == "__main__":
    run(main)
