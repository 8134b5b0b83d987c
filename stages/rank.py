"""Rank candidates by a reward: `python -m stages.rank --chosen reward --policy models/m0 --contexts ...`.

A context's candidates are several direct and several refined responses of one policy (`reward.candidates`).
The first of each are there, from stages `respond` and `refine`; this stage asks for the others, with seeds
of their own, and ranks all of them by `reward.by`. Stage `pair` makes the best and the worst a pair. A killed
run goes on where it was.
Where principles or golden responses make the pairs (`--chosen refined` and `golden`), and where the policy
has no such reward (an implicit one, of a policy that no preference training made), the file is empty.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from selfevolve.generation.engines import open_engine
from selfevolve.generation.request import ResponseParams
from selfevolve.policies.policy import read_policy
from selfevolve.preferences.refinement import RefineParams
from selfevolve.prompts.templates import load_prompts
from selfevolve.records.jsonl import read_by_id, read_records, write_records
from selfevolve.records.schema import Context, Refinement, Response
from selfevolve.rewards.candidates import Written, direct_candidates, gather, refined_candidates
from selfevolve.rewards.choice import Sources, open_reward
from selfevolve.rewards.parameters import RewardParams
from selfevolve.rewards.ranking import count_first, rank
from selfevolve.runtime.command import run
from selfevolve.runtime.files import publish_json
from selfevolve.runtime.parameters import load_params, read_params


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, ask for the candidates, rank them, and write the rankings and their counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--chosen", choices=("refined", "golden", "reward"), default="reward")
    parser.add_argument("--policy", type=Path, required=True, help="who wrote the responses")
    parser.add_argument("--contexts", type=Path, required=True)
    parser.add_argument("--responses", type=Path, required=True, help="the first direct responses")
    parser.add_argument("--refined", type=Path, required=True, help="their first refinements")
    parser.add_argument("--dialogues", type=Path, required=True, help="what the contexts were cut from")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--metrics", type=Path, required=True)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    if args.chosen != "reward":
        write_records(args.out, [])
        publish_json(args.metrics, {"ranked": 0})
        return
    params = read_params("reward", RewardParams, args.params)
    if not params.ranks(read_policy(args.policy)):
        write_records(args.out, [])
        publish_json(args.metrics, {"by": "principles", "ranked": 0})
        return
    contexts = read_records(args.contexts, Context)
    candidates, counts = written(args, params, contexts)
    sources = Sources(args.params, args.policy, args.dialogues, Path(params.model))
    reward = open_reward(params.by, params, sources)
    rankings = rank(contexts, candidates, reward)
    write_records(args.out, rankings)
    publish_json(
        args.metrics, {"by": params.by, "contexts": len(contexts), **count_first(rankings), **counts}
    )


def written(
    args: argparse.Namespace, params: RewardParams, contexts: Sequence[Context]
) -> tuple[dict[str, list[Written]], dict[str, Any]]:
    """Return the candidates by context id, and their counts with the `generated_tokens` of new ones."""
    ids = [context.id for context in contexts]
    first = read_by_id(args.responses, Response, ids)
    refined = read_by_id(args.refined, Refinement, ids) if params.candidates.refined else {}
    prompts = load_prompts(load_params("prompts", args.params)["dir"])
    respond = read_params("respond", ResponseParams, args.params)
    refine = read_params("refine", RefineParams, args.params)
    with open_engine(load_params("engine", args.params), args.policy) as (engine, window):
        direct, tokens = direct_candidates(engine, window, contexts, first, prompts, respond, params)
        refinements, more = refined_candidates(
            engine, window, contexts, first, refined, prompts, refine, params
        )
    candidates, counts = gather(contexts, direct, refinements)
    return candidates, {**counts, "generated_tokens": tokens + more}


if __name__ == "__main__":
    run(main)
