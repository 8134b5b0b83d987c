"""Let a policy answer contexts: `python -m stages.respond --policy models/m0 --contexts ... --out ...`.

In an iteration the answers are the rejected responses (equation 3); on the test contexts they are what is
scored. Work in progress lies in the journal, so a killed run goes on where it was.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from stages.command import Params, load_params, read_params, run
from stages.engines.generate import generate
from stages.engines.load import load_engine
from stages.engines.request import Request, Sampling
from stages.prompts.requests import response_messages
from stages.prompts.templates import load_prompts
from stages.records.jsonl import read_records, write_records
from stages.records.publish import publish_json
from stages.records.schema import Context


class RespondParams(Params):
    """Section `respond` of params.yaml."""

    seed: int
    sampling: Sampling


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, generate, and write the responses and their counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--policy", type=Path, required=True)
    parser.add_argument("--contexts", type=Path, required=True)
    parser.add_argument("--prompt", default="task", help="plain or task")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--metrics", type=Path, required=True)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    params = read_params("respond", RespondParams, args.params)
    contexts = read_records(args.contexts, Context)
    prompts = load_prompts(load_params("prompts", args.params)["dir"])
    asked = [
        Request.make(context.id, response_messages(prompts, args.prompt, context.messages), params.seed)
        for context in contexts
    ]
    engine, _ = load_engine(load_params("engine", args.params), args.policy)
    responses = generate(engine, asked, params.sampling, "respond")
    write_records(args.out, responses)
    words = [len(response.text.split()) for response in responses]
    counts = {
        "count": len(responses),
        "empty": sum(not response.text for response in responses),
        "cut_off": sum(response.finish_reason == "length" for response in responses),
        "mean_words": sum(words) / max(1, len(words)),
    }
    publish_json(args.metrics, counts)


if __name__ == "__main__":
    run(main)
