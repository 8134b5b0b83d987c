"""Answer contexts with the best of several responses: `python -m stages.rewards.best_of --policy ...`.

Of `reward.candidates.direct` direct responses, the first of which are those of stage `respond`, the one with
the highest reward is the answer. No training follows: it is what a reward can do at answering time, for so
many times the tokens. Where every response was cut off or empty, the first one stays.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from selfevolve.generation.engines import open_engine
from selfevolve.generation.request import ResponseParams
from selfevolve.policies.policy import read_policy
from selfevolve.prompts.templates import load_prompts
from selfevolve.records.jsonl import read_by_id, read_records, write_records
from selfevolve.records.schema import Context, Response
from selfevolve.rewards.candidates import direct_candidates, gather
from selfevolve.rewards.choice import Sources, open_reward
from selfevolve.rewards.parameters import RewardParams
from selfevolve.rewards.ranking import count_first, rank
from selfevolve.runtime.command import run
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import publish_json
from selfevolve.runtime.parameters import load_params, read_params


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, ask for the candidates, and write the best of them and the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--policy", type=Path, required=True, help="who answers")
    parser.add_argument("--contexts", type=Path, required=True)
    parser.add_argument("--responses", type=Path, required=True, help="the first responses")
    parser.add_argument("--dialogues", type=Path, required=True, help="what the contexts were cut from")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--metrics", type=Path, required=True)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    params = read_params("reward", RewardParams, args.params)
    policy = read_policy(args.policy)
    if not params.ranks(policy):
        raise InputError("has no implicit reward: no preference training made it", file=args.policy)
    contexts = read_records(args.contexts, Context)
    first = read_by_id(args.responses, Response, [context.id for context in contexts])
    prompts = load_prompts(load_params("prompts", args.params)["dir"])
    respond = read_params("respond", ResponseParams, args.params)
    with open_engine(load_params("engine", args.params), args.policy) as (engine, window):
        direct, tokens = direct_candidates(engine, window, contexts, first, prompts, respond, params)
    candidates, counts = gather(contexts, direct, [])
    sources = Sources(args.params, args.policy, args.dialogues, Path(params.model))
    rankings = rank(contexts, candidates, open_reward(params.by, params, sources))
    best = {one.id: one.candidates[0].text for one in rankings}
    responses = [
        one.model_copy(update={"text": best[one.id], "finish_reason": "stop"}) if one.id in best else one
        for one in first.values()
    ]
    replaced = sum(one.text != first[one.id].text for one in responses)
    write_records(args.out, responses)
    ranked = {"by": params.by, "contexts": len(contexts), "replaced": replaced, **count_first(rankings)}
    publish_json(args.metrics, {**ranked, **counts, "generated_tokens": tokens})


if __name__ == "__main__":
    run(main)
