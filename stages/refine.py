"""Let a policy reflect and refine its own responses: `python -m stages.refine --policy models/m0 ...`.

With `refine.answers: one` an answer holds the reflection on the seeker and the refined response as JSON
(appendix E); with `two` the response is an answer of its own (equations 4 and 5). The stage asks again, up to
`attempts` times in all, until an answer parses (appendix A), and counts why answers did not as
`parse_failures`. With `pair.too_long: ask_again` it spends attempts that are left on responses that the
length rule finds too long.
Where the golden responses are preferred (`--chosen golden`: the paper's sources {HM, P} and {HL, P}) there
is nothing to refine: no model runs and the file is empty. So it is where a reward ranks candidates of which
none is refined (`--chosen reward` with `reward.candidates.refined: 0`).
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from selfevolve.generation.engines import open_engine
from selfevolve.policies.policy import read_policy
from selfevolve.preferences.length_rule import read_length_rule
from selfevolve.preferences.refinement import RefineParams, refine
from selfevolve.preferences.shorter import ask_shorter
from selfevolve.prompts.templates import load_prompts
from selfevolve.records.jsonl import read_by_id, read_records, write_records
from selfevolve.records.schema import Context, Response
from selfevolve.rewards.parameters import RewardParams
from selfevolve.runtime.command import run
from selfevolve.runtime.files import publish_json
from selfevolve.runtime.parameters import load_params, read_params


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, refine, and write the refinements and their counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--policy", type=Path, required=True)
    parser.add_argument("--contexts", type=Path, required=True)
    parser.add_argument("--responses", type=Path, required=True, help="the responses to refine")
    parser.add_argument("--chosen", choices=("refined", "golden", "reward"), default="refined")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--metrics", type=Path, required=True)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    if args.chosen == "golden" or (args.chosen == "reward" and none_refined(args.policy, args.params)):
        write_records(args.out, [])
        publish_json(args.metrics, {"count": 0})
        return
    params = read_params("refine", RefineParams, args.params)
    rule = read_length_rule(args.params)
    contexts = read_records(args.contexts, Context)
    found = read_by_id(args.responses, Response, [context.id for context in contexts])
    responses = {identity: response.text for identity, response in found.items()}
    prompts = load_prompts(load_params("prompts", args.params)["dir"])
    with open_engine(load_params("engine", args.params), args.policy) as (engine, window):
        refinements, counts = refine(engine, window, contexts, responses, prompts, params)
        if rule.too_long == "ask_again":
            refinements, counts["shorter"] = ask_shorter(
                engine, window, contexts, responses, refinements, prompts, params, rule
            )
    write_records(args.out, refinements)
    publish_json(args.metrics, counts)


def none_refined(policy: Path, file: Path) -> bool:
    """Return whether a reward makes the policy's pairs, of candidates of which none is refined."""
    reward = read_params("reward", RewardParams, file)
    return reward.candidates.refined == 0 and reward.ranks(read_policy(policy))


if __name__ == "__main__":
    run(main)
