"""Let a policy answer contexts: `python -m stages.respond --policy models/m0 --contexts ... --out ...`.

In an iteration the answers are the rejected responses (equation 3); on the test contexts they are what the
metrics score. A prompt may ask for JSON (table 3's self-reflection); the response is then the text in it.
The stage asks again, up to `attempts` times in all, until the JSON parses. Where it never does, the response
is the last answer as it stands, counted as `unparsed`. What a model thinks before it answers is no part of a
response: an answer that is nothing but thinking is asked again, and where nothing else comes the response is
empty, counted as `unanswered`. A killed run goes on where it was.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from selfevolve.generation.engines import open_engine
from selfevolve.generation.request import ResponseParams
from selfevolve.preferences.direct import respond
from selfevolve.prompts.templates import load_prompts
from selfevolve.records.jsonl import read_records, write_records
from selfevolve.records.schema import Context
from selfevolve.runtime.command import run
from selfevolve.runtime.files import publish_json
from selfevolve.runtime.parameters import load_params, read_params


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, generate, and write the responses and their counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--policy", type=Path, required=True)
    parser.add_argument("--contexts", type=Path, required=True)
    parser.add_argument("--prompt", default="task", help="plain, task or self_reflection")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--metrics", type=Path, required=True)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    params = read_params("respond", ResponseParams, args.params)
    contexts = read_records(args.contexts, Context)
    prompts = load_prompts(load_params("prompts", args.params)["dir"])
    with open_engine(load_params("engine", args.params), args.policy) as (engine, window):
        responses, counts = respond(engine, window, contexts, prompts, params, args.prompt)
    write_records(args.out, responses)
    publish_json(args.metrics, counts)


if __name__ == "__main__":
    run(main)
