"""Make pairs of human and model-made responses: `python -m stages.rewards.human_pairs --contexts ...`.

What the corpora imply of human preference, for a reward model: the supporter's own turn is preferred to what
a policy (M0) answers to the same context; and, if EPITOME's folder is named, of two replies to the same post
the one that was rated the more empathic. Whole dialogues are held back. Pairs are dropped as by stage `pair`.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from selfevolve.data.epitome import empathy_pairs, read_replies
from selfevolve.preferences.pairs import PairParams, count_pairs, make_pairs, split
from selfevolve.prompts.templates import load_prompts
from selfevolve.records.jsonl import read_by_id, read_records, write_folder
from selfevolve.records.schema import Context, Response
from selfevolve.runtime.command import run
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import publish_json
from selfevolve.runtime.parameters import load_params, read_params


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line and write train.jsonl, valid.jsonl and the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--contexts", type=Path, nargs="+", required=True)
    parser.add_argument("--responses", type=Path, nargs="+", required=True, help="a file for each of these")
    parser.add_argument("--epitome", type=Path, help="EPITOME's folder; an empty file is none")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--metrics", type=Path, required=True)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    if len(args.contexts) != len(args.responses):
        parser.error("--contexts and --responses must name as many files")
    params = read_params("pair", PairParams, args.params)
    system = load_prompts(load_params("prompts", args.params)["dir"]).text("task")
    contexts: list[Context] = []
    responses: dict[str, Response] = {}
    for asked, answered in zip(args.contexts, args.responses, strict=True):
        contexts += (found := read_records(asked, Context))
        responses |= read_by_id(answered, Response, [one.id for one in found])
    pairs, dropped = make_pairs(contexts, responses, {}, system, params)
    if not pairs:
        raise InputError("no pair is left", file=args.contexts[0])
    counts = count_pairs(pairs, dropped, [], None)
    if args.epitome is not None and not is_none(args.epitome):
        replies, left_out = read_replies(args.epitome)
        rated, counted = empathy_pairs(replies, system)
        counts["epitome"] = counted | left_out
        pairs += rated
    parts = split(pairs, params)
    write_folder(args.out, parts)
    publish_json(args.metrics, counts | {name: len(records) for name, records in parts.items()})


def is_none(epitome: Path) -> bool:
    """Return whether an empty file stands for no EPITOME; InputError for what is neither it nor a folder."""
    if epitome.is_file() and not epitome.read_bytes().strip():
        return True
    if not epitome.is_dir():
        raise InputError("must be the folder with EPITOME's files, or an empty file for none", file=epitome)
    return False


if __name__ == "__main__":
    run(main)
