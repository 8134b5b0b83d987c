"""How well nearness tells what a dialogue holds: `python -m bench.support --dialogues FILE --out FILE`.

For `pair.supported_by: encoder`. What supporters say of their own seeker should pass, and the same words
in another dialogue, which is about somebody else, should fail. Both shares are counted for each
threshold, over the responses that make a statement about the seeker. The second is no error rate: words
that fit anybody pass rightly.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from selfevolve.metrics.semantic import find_encoder
from selfevolve.preferences.support import nearness, statements
from selfevolve.records.jsonl import dialogue_of, read_records
from selfevolve.records.schema import Context, Dialogue, Message
from selfevolve.runtime.command import run
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import publish_json

LEAST_TURNS = 4  # of a context: before that little is known of the seeker
ROLES = {"seeker": "user", "supporter": "assistant"}


def main(argv: Sequence[str] | None = None) -> None:
    """Read the dialogues, measure, and write and print a row for each threshold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--dialogues", type=Path, required=True, help="dialogues that stages.prepare wrote")
    parser.add_argument("--limit", type=int, help="how many of them, the first; all by default")
    parser.add_argument("--encoder", default="minilm", help="as `relevance.encoder`")
    parser.add_argument("--thresholds", type=float, nargs="+", default=[0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6])
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(argv)
    contexts = contexts_of(read_records(args.dialogues, Dialogue)[: args.limit])
    moved = moved_on(contexts)
    made = {one.id: found for one in contexts if one.id in moved and (found := statements(one.golden))}
    if not made:
        raise InputError("no response makes a statement in two dialogues", file=args.dialogues)
    encoder = find_encoder(args.encoder)
    own, _ = nearness(contexts, made, encoder)
    others, _ = nearness(list(moved.values()), made, encoder)
    rows = [
        {"least_support": least, "own": failing(own, least), "moved": failing(others, least)}
        for least in args.thresholds
    ]
    for row in rows:
        print(f"{row['least_support']:.2f}: {row['own']:.1f} % of their own, {row['moved']:.1f} % moved")
    counts = {
        "dialogues": len({dialogue_of(name) for name in made}),
        "responses": len(made),
        "statements": sum(map(len, made.values())),
    }
    publish_json(args.out, {**counts, "signature": encoder.vector_signature, "rows": rows})


def contexts_of(dialogues: Sequence[Dialogue]) -> list[Context]:
    """Return what each later supporter turn answers, with that turn."""
    found = []
    for one in dialogues:
        messages = [Message(role=ROLES[turn.role], content=turn.text) for turn in one.turns]
        for index in range(LEAST_TURNS + 1, len(messages), 2):
            golden = messages[index].content
            found.append(Context(id=f"{one.id}#{index}", messages=messages[:index], golden=golden))
    return found


def moved_on(contexts: Sequence[Context]) -> dict[str, Context]:
    """Return for each context, by its id, the next dialogue's context of as many turns, if there is one."""
    by_turns: dict[int, list[Context]] = {}
    for one in contexts:
        by_turns.setdefault(len(one.messages), []).append(one)
    found = {}
    for same in by_turns.values():
        for own, other in zip(same, [*same[1:], same[0]], strict=True):
            if own is not other:
                found[own.id] = other.model_copy(update={"id": own.id})
    return found


def failing(near: Mapping[str, Sequence[float]], least: float) -> float:
    """Return which percent of the responses have a statement that is less near than that."""
    return 100 * sum(min(values) < least for values in near.values()) / len(near)


if __name__ == "__main__":
    run(main)
