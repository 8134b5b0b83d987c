"""Pick one dialogue that shows the difference: `python -m stages.sample --first ... --last ... --out ...`.

It is picked by a rule and not by hand, and how many contexts fit the rule is said beside it. The rule needs
the hidden profiles of the mini world.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stages.command import run
from stages.records.errors import InputError
from stages.records.jsonl import natural_key, read_records
from stages.records.publish import publish_json
from stages.records.schema import Context, Response
from stages.world.takeup import Seekers, take_up

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
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(argv)
    contexts = sorted(read_records(args.contexts, Context), key=lambda context: natural_key(context.id))
    responses = []
    for file in (args.first, args.last):
        texts = {response.id: response.text for response in read_records(file, Response)}
        if missing := [context.id for context in contexts if context.id not in texts]:
            raise InputError("has no record of this id", file=file, record=missing[0])
        responses.append(texts)
    publish_json(args.out, pick(contexts, *responses, Seekers(args.dialogues), args.contexts))


def pick(
    contexts: Sequence[Context], first: dict[str, str], last: dict[str, str], seekers: Seekers, file: Path
) -> dict[str, Any]:
    """Return the contents of sample.json.

    Args:
        contexts: in the order in which they are tried.
        first: the first model's response by context id.
        last: the last model's.
        seekers: of the dialogues that the contexts were cut from.
        file: where the contexts were read, for errors.
    """
    matching = []
    profiles = 0
    for context in contexts:
        if (seen := seekers.find(context.id, file)) is None:
            continue
        profiles += 1
        taken = take_up(last[context.id], seen.profile, seen.turn)
        if take_up(first[context.id], seen.profile, seen.turn).generic and taken.personal:
            matching.append((context, taken))
    counts = {"contexts": len(contexts), "matching": len(matching)}
    if not profiles:
        return counts | {"reason": "the dialogues have no hidden profiles (only the mini world's have)"}
    counts = {"rule": RULE, **counts}
    if not matching:
        return counts
    context, taken = matching[0]
    return counts | {
        "id": context.id,
        "messages": [message.model_dump() for message in context.messages[-SHOWN:]],
        "first": first[context.id],
        "last": last[context.id],
        "golden": context.golden,
        "own": list(taken.own),
    }


if __name__ == "__main__":
    run(main)
