"""Pick one dialogue that shows the difference: `python -m stages.sample --first ... --last ... --out ...`.

A rule picks it, not a hand, and the output says how many contexts fit the rule. The rule needs gold profiles.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from selfevolve.metrics.facts import Seekers
from selfevolve.records.jsonl import natural_key, read_by_id, read_records
from selfevolve.records.schema import Context, Response
from selfevolve.runtime.command import run
from selfevolve.runtime.files import publish_json

RULE = (
    "the first context, in the order of ids, to which the first model's response names no fact at all, and "
    "the last model's names a fact that this seeker has told and none of anybody else"
)
SHOWN = 4  # messages


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line and write the dialogue, or that there is none."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--first", type=Path, required=True, help="responses of the first model")
    parser.add_argument("--last", type=Path, required=True, help="responses of the last model")
    parser.add_argument("--contexts", type=Path, required=True, help="what both answer")
    parser.add_argument("--dialogues", type=Path, required=True, help="what the contexts were cut from")
    parser.add_argument("--vocabulary", type=Path, required=True, help="phrases of all gold profiles (JSON)")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(argv)
    contexts = sorted(read_records(args.contexts, Context), key=lambda context: natural_key(context.id))
    ids = [context.id for context in contexts]
    responses = [read_by_id(file, Response, ids) for file in (args.first, args.last)]
    seekers = Seekers(args.dialogues, args.vocabulary)
    publish_json(args.out, pick(contexts, *responses, seekers, args.contexts))


def pick(
    contexts: Sequence[Context],
    first: dict[str, Response],
    last: dict[str, Response],
    seekers: Seekers,
    file: Path,
) -> dict[str, Any]:
    """Return the contents of sample.json; `file` is where the contexts were read, for errors."""
    matching = []
    profiles = 0
    for context in contexts:
        if (seeker := seekers.find(context.id, file)) is None:
            continue
        profiles += 1
        mentions = seeker.mentions(context.id, last[context.id].text)
        if seeker.mentions(context.id, first[context.id].text).generic and mentions.personal:
            matching.append((context, mentions))
    counts = {"contexts": len(contexts), "matching": len(matching)}
    if not profiles:
        return counts | {"reason": "the dialogues have no gold profiles"}
    counts = {"rule": RULE, **counts}
    if not matching:
        return counts
    context, mentions = matching[0]
    return counts | {
        "id": context.id,
        "messages": [message.model_dump() for message in context.messages[-SHOWN:]],
        "first": first[context.id].text,
        "last": last[context.id].text,
        "golden": context.golden,
        "own": mentions.own,
    }


if __name__ == "__main__":
    run(main)
