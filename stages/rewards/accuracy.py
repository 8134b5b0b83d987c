"""Measure how good a reward is: `python -m stages.rewards.accuracy --by relevance --contexts ... --out ...`.

On contexts that no training has seen a reward must prefer the supporter's own turn to a model's response.
The stage says how often it does, how much of that is length, and what is left of it in another dialogue's
context (`shuffled`): a reward that looks at the seeker falls to chance there, and what it keeps it owes to
the text alone.
`length` is the control that must fail as soon as length is taken out: a text is as good as it is long.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from selfevolve.preferences.pairs import PairParams, make_pairs, spoil
from selfevolve.records.jsonl import dialogue_of, read_by_id, read_records
from selfevolve.records.schema import Context, Response
from selfevolve.rewards.accuracy import length_reward, measure, score_pairs
from selfevolve.rewards.choice import Sources, open_reward
from selfevolve.rewards.parameters import Kind, RewardParams
from selfevolve.runtime.command import run
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import publish_json
from selfevolve.runtime.parameters import read_params

LENGTH = "length"


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, score the pairs, and write what the reward says of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--by", choices=(*get_args(Kind), LENGTH), required=True, help="the reward")
    parser.add_argument("--policy", type=Path, help="the reward model, or whose implicit reward it is")
    parser.add_argument("--contexts", type=Path, required=True)
    parser.add_argument("--responses", type=Path, required=True, help="a model's")
    parser.add_argument("--dialogues", type=Path, required=True, help="what the contexts were cut from")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    if args.policy is None and args.by in ("model", "implicit"):
        parser.error(f"--policy is needed for --by {args.by}")
    params = read_params("reward", RewardParams, args.params)
    pairing = read_params("pair", PairParams, args.params)
    contexts = {context.id: context for context in read_records(args.contexts, Context)}
    responses = read_by_id(args.responses, Response, contexts)
    pairs, dropped = make_pairs(list(contexts.values()), responses, {}, "", pairing)
    if not pairs:
        raise InputError("no pair is left", file=args.contexts)
    sources = Sources(args.params, args.policy, args.dialogues, args.policy)
    reward = length_reward() if args.by == LENGTH else open_reward(args.by, params, sources)
    seed = params.seed
    try:
        shuffled = spoil(pairs, "shuffled", seed)
    except InputError:
        message = "has too few dialogues to put every pair into another one's context"
        raise InputError(message, file=args.contexts) from None
    elsewhere = score_pairs(shuffled, contexts, reward)
    found = {
        "pairs": len(pairs),
        "dialogues": len({dialogue_of(pair.id) for pair in pairs}),
        "dropped": dict(dropped),
        **measure(score_pairs(pairs, contexts, reward), seed),
        "shuffled": {"accuracy": measure(elsewhere, seed)["accuracy"]},
    }
    publish_json(args.out, found)


if __name__ == "__main__":
    run(main)
