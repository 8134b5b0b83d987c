"""Count the seeker's own facts in responses: `python -m stages.facts --responses ... --dialogues ...`.

Dialogues of the mini world carry the seeker's hidden profile and say when each fact was disclosed, so every
response can be checked for what it takes up. Other dialogues have no profile; then there is nothing to count.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from stages.command import run
from stages.records.errors import InputError
from stages.records.jsonl import read_records, write_records
from stages.records.publish import publish_json
from stages.records.schema import Response
from stages.world.takeup import Seekers, Taken, summarize, take_up


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, check every response and write the summary and the details."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--responses", type=Path, required=True)
    parser.add_argument("--dialogues", type=Path, required=True, help="what their contexts were cut from")
    parser.add_argument("--out", type=Path, required=True, help="the summary (JSON)")
    parser.add_argument("--details", type=Path, required=True, help="what each response names (JSONL)")
    args = parser.parse_args(argv)
    responses = read_records(args.responses, Response)
    if not responses:
        raise InputError("has no responses", file=args.responses)
    seekers = Seekers(args.dialogues)
    taken: dict[str, Taken] = {}
    for response in responses:
        if (seen := seekers.find(response.id, args.responses)) is not None:
            taken[response.id] = take_up(response.text, seen.profile, seen.turn)
    counts = {"responses": len(responses), "with_profile": len(taken)}
    write_records(args.details, [one.record(identity) for identity, one in taken.items()])
    publish_json(args.out, counts | (summarize(list(taken.values())) if taken else {}))


if __name__ == "__main__":
    run(main)
