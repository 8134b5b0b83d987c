"""Make the golden responses of contexts personal: `python -m testbed.study.personal --contexts ...`.

Each becomes a line of the mini world that mentions a fact which the seeker has disclosed, in the strategy of
the golden response where that has such a line. The arm `personal` prefers these responses. A corpus of them
is more personal than M0, so that fixed pairs have something to teach.
"""

import argparse
import random
from collections.abc import Sequence
from pathlib import Path

from selfevolve.metrics.facts import disclosed, gold_profile
from selfevolve.records.jsonl import read_records, write_records
from selfevolve.records.schema import Context, Dialogue
from selfevolve.runtime.command import run
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import publish_json
from testbed.world.data import world
from testbed.world.grammar import Picker
from testbed.world.session import can_mention, respond


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, write the contexts and how many of their responses were replaced."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--contexts", type=Path, required=True)
    parser.add_argument("--dialogues", type=Path, required=True, help="what the contexts were cut from")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--metrics", type=Path, required=True)
    args = parser.parse_args(argv)
    dialogues = {dialogue.id: dialogue for dialogue in read_records(args.dialogues, Dialogue)}
    contexts = read_records(args.contexts, Context)
    made = []
    for context in contexts:
        dialogue = dialogues.get(context.id.partition("#")[0])
        if dialogue is None:
            raise InputError(f"no such dialogue in {args.dialogues}", file=args.contexts, record=context.id)
        made.append(personal(context, dialogue, args.seed))
    write_records(args.out, made)
    replaced = sum(one.golden != own.golden for one, own in zip(made, contexts, strict=True))
    publish_json(args.metrics, {"contexts": len(contexts), "replaced": replaced})


def personal(context: Context, dialogue: Dialogue, seed: int) -> Context:
    """Return the context with a personal golden response, or as it is where no line fits what is known."""
    profile = gold_profile(dialogue.meta)
    if profile is None:
        return context
    known = disclosed(profile, profile["disclosure"], int(context.id.partition("#")[2]) // 2)
    own = world().supporter.strategies  # a corpus may name others
    asked = [strategy for strategy in context.strategies if strategy in own]
    possible = [strategy for strategy in (*asked, *own) if can_mention(strategy, known)]
    if not known.keys() - {"name"} or not possible:
        return context
    picker = Picker(random.Random(f"{seed}/personal/{context.id}"))
    return context.model_copy(update={"golden": respond(possible[0], "personal", known, picker)})


if __name__ == "__main__":
    run(main)
