"""Compare reflections with gold profiles of a further test set: `python -m stages.analyses.unseen_profile`.

A profile is a record of free fields in the dialogues' `profile`; selfevolve/metrics/profiles.py says what is
named, wrong and invented. The encoder of section `relevance` of the parameters compares values of any length.
A set without profiles gets an empty report.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from selfevolve.metrics.profiles import (
    Reflection,
    free_profile,
    infer_profiles,
    profile_report,
    similarity_report,
)
from selfevolve.metrics.relevance import RelevanceParams, sentence_vectors
from selfevolve.metrics.semantic import find_encoder
from selfevolve.records.jsonl import dialogue_of, read_by_id, read_records, write_records
from selfevolve.records.schema import Context, Dialogue, Refinement
from selfevolve.runtime.command import run
from selfevolve.runtime.errors import InputError, Unavailable
from selfevolve.runtime.files import publish_json
from selfevolve.runtime.parameters import read_params


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, look for the profiles in the reflections and write the shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--refined", type=Path, required=True, help="the reflections")
    parser.add_argument("--contexts", type=Path, required=True, help="what they reflect on")
    parser.add_argument("--dialogues", type=Path, required=True, help="what the contexts were cut from")
    parser.add_argument("--out", type=Path, required=True, help="the shares (JSON)")
    parser.add_argument("--details", type=Path, required=True, help="what each reflection names (JSONL)")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    params = read_params("relevance", RelevanceParams, args.params)
    reflections = with_profiles(args.refined, args.contexts, args.dialogues)
    inferences = infer_profiles(reflections)
    report: dict[str, Any] = {
        "reflections": len(reflections),
        "dialogues": len({dialogue_of(one.id) for one in inferences}),
        "invalid": sum(not one.valid for one in inferences),
        "fields": profile_report(inferences),
    }
    texts = {text for one in reflections for text in (one.understanding, *one.profile.values()) if text}
    try:
        if texts:
            encoder = find_encoder(params.encoder, params.num_layers)
            vectors, truncated = sentence_vectors(texts, encoder, params.batch_size)
            similar = similarity_report(reflections, vectors)
            report["similarity"] = {"of": encoder.vector_signature, "truncated": truncated, "fields": similar}
    except Unavailable as absence:
        report["not_available"] = {"similarity": str(absence)}
    write_records(args.details, inferences)
    publish_json(args.out, report)


def with_profiles(refined: Path, contexts: Path, dialogues: Path) -> list[Reflection]:
    """Return the reflections on seekers with a profile; InputError for one that belongs to no dialogue."""
    refinements = read_records(refined, Refinement)
    if not refinements:
        raise InputError("has no refinements", file=refined)
    asked = read_by_id(contexts, Context, (one.id for one in refinements))
    profiles = {one.id: free_profile(one.meta) for one in read_records(dialogues, Dialogue)}
    found = []
    for one in refinements:
        if dialogue_of(one.id) not in profiles:
            raise InputError("belongs to no dialogue", file=dialogues, record=one.id)
        if profile := profiles[dialogue_of(one.id)]:
            found.append(Reflection(one, asked[one.id], profile))
    return found


if __name__ == "__main__":
    run(main)
