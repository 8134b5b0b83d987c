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
from functools import partial
from pathlib import Path

from selfevolve.generation.engines import open_engine
from selfevolve.generation.generate import Outcome, ask, count_failures, count_parsed
from selfevolve.generation.request import ResponseParams
from selfevolve.prompts.answers import Parsed
from selfevolve.prompts.requests import JSON_PROMPTS, response_messages, response_reader, response_schema
from selfevolve.prompts.templates import load_prompts
from selfevolve.records.jsonl import read_records, write_records
from selfevolve.records.schema import Context, Response
from selfevolve.records.texts import after_thinking
from selfevolve.runtime.command import run
from selfevolve.runtime.errors import ParseError
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
    parse = response_reader(prompts, args.prompt)
    build = partial(response_messages, prompts, args.prompt)
    with open_engine(load_params("engine", args.params), args.policy) as (engine, window):
        # Contexts are cut to fit the task prompt, and another prompt may be longer. A context whose last turn
        # alone does not fit is asked all the same: the engine names it.
        fitted = {c.id: window.fit(c.messages, build, params.sampling.max_new_tokens) for c in contexts}
        asked = {identity: one.prompt for identity, one in fitted.items()}
        outcomes = ask(engine, asked, params, parse, "respond", schema=response_schema(args.prompt))
    responses = [response_of(outcome) for outcome in outcomes.values()]
    write_records(args.out, responses)
    counts = count(responses) | {"shortened": sum(one.dropped > 0 for one in fitted.values())}
    if args.prompt in JSON_PROMPTS:
        parsed = count_parsed(outcomes.values(), params.attempts)
        counts |= {**parsed, "unparsed": len(responses) - sum(parsed.values())}
        counts["labelled"] = sum(one.value is not None and one.value.labelled for one in outcomes.values())
    answered = zip(responses, outcomes.values(), strict=True)
    counts["unanswered"] = sum(one.value is None and not response.text for response, one in answered)
    publish_json(args.metrics, counts | {"parse_failures": count_failures(outcomes.values())})


def response_of(outcome: Outcome[Parsed[str]]) -> Response:
    """Return the response that was read; where none was, what the last answer says after its thinking.

    Where it says nothing the response is empty: `pair` drops it, `score` counts it as `empty`.
    """
    assert outcome.response is not None  # the engines of this stage lose none
    if outcome.value is not None:
        text = outcome.value.value
    else:
        try:
            text = after_thinking(outcome.response.text)
        except ParseError:
            text = ""
    return outcome.response.model_copy(update={"text": text})


def count(responses: Sequence[Response]) -> dict[str, float]:
    """Return how many responses there are, are empty and were cut off, and their mean length in words."""
    words = [len(response.text.split()) for response in responses]
    return {
        "count": len(responses),
        "empty": sum(not response.text for response in responses),
        "cut_off": sum(response.finish_reason == "length" for response in responses),
        "mean_words": sum(words) / max(1, len(words)),
    }


if __name__ == "__main__":
    run(main)
