"""Measure how good the reflections are: `python -m stages.reflections --refined ... --rejected ...`.

How many could be read; and where the seekers have hidden profiles (mini world), whether the understanding is
right and whether the refined response takes up more of the seeker's own facts than the direct one. What could
not be read counts as nothing understood. Where golden responses are chosen nothing was reflected on, and that
is all that is said.
"""

import argparse
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stages.command import run
from stages.records.errors import InputError
from stages.records.jsonl import read_records
from stages.records.publish import publish_json
from stages.records.schema import Refinement, Response
from stages.scoring.significance import cluster_bootstrap, paired_permutation
from stages.world.takeup import Seekers, Seen, check_understanding, summarize_understanding, take_up

SEED = 42  # of the interval and the test


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--refined", type=Path, required=True)
    parser.add_argument("--rejected", type=Path, required=True, help="the direct responses they refine")
    parser.add_argument("--dialogues", type=Path, required=True, help="what the contexts were cut from")
    parser.add_argument("--chosen", choices=("refined", "golden"), default="refined")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(argv)
    if args.chosen == "golden":
        publish_json(args.out, {"count": 0})
        return
    refined = read_records(args.refined, Refinement)
    if not refined:
        raise InputError("has no refinements", file=args.refined)
    direct = {response.id: response.text for response in read_records(args.rejected, Response)}
    if missing := [refinement.id for refinement in refined if refinement.id not in direct]:
        raise InputError("has no record of this id", file=args.rejected, record=missing[0])
    seekers = Seekers(args.dialogues)
    found = [(refinement, seekers.find(refinement.id, args.refined)) for refinement in refined]
    with_profile = [(refinement, seen) for refinement, seen in found if seen is not None]
    publish_json(args.out, _validity(refined) | _understood(with_profile) | _compared(with_profile, direct))


def _validity(refined: Sequence[Refinement]) -> dict[str, float]:
    parsed = [refinement for refinement in refined if refinement.status == "parsed"]
    return {
        "count": len(refined),
        "valid_first": 100 * sum(refinement.attempts == 1 for refinement in parsed) / len(refined),
        "valid": 100 * len(parsed) / len(refined),
    }


def _understood(found: Sequence[tuple[Refinement, Seen]]) -> dict[str, Any]:
    """How well the seekers were understood, in all contexts and by the number of seeker turns seen."""
    if not found:
        return {"contexts": 0}
    checks = defaultdict(list)
    for refinement, seen in found:
        understanding = refinement.understanding and refinement.understanding.model_dump()
        checks[seen.turn + 1].append(check_understanding(understanding, seen.profile, seen.turn))
    return {
        **summarize_understanding([check for some in checks.values() for check in some]),
        "by_seeker_turns": {str(turns): summarize_understanding(checks[turns]) for turns in sorted(checks)},
    }


def _compared(found: Sequence[tuple[Refinement, Seen]], direct: dict[str, str]) -> dict[str, Any]:
    """Own shares of the refined and the direct responses, where a reflection could be read, and p.

    Interval and test of the difference are over dialogues, and absent where these are fewer than two.
    """
    before, after, dialogues = [], [], []
    for refinement, seen in found:
        if refinement.refined_response is None:
            continue
        taken = take_up(refinement.refined_response, seen.profile, seen.turn)
        if taken.known:  # else there is no fact of which either could take up a share
            before.append(take_up(direct[refinement.id], seen.profile, seen.turn).share)
            after.append(taken.share)
            dialogues.append(refinement.id.partition("#")[0])
    if not after:
        return {}
    shares = {"refined_own_share": sum(after) / len(after), "direct_own_share": sum(before) / len(before)}
    if len(set(dialogues)) < 2:
        return shares
    differences = [new - old for new, old in zip(after, before, strict=True)]
    interval = cluster_bootstrap(differences, dialogues, seed=SEED)
    p = paired_permutation(before, after, dialogues, seed=SEED)
    return shares | {"refined_minus_direct": interval._asdict() | {"p": p}}


if __name__ == "__main__":
    run(main)
