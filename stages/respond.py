"""Let a policy answer contexts: `python -m stages.respond --policy models/m0 --contexts ... --out ...`.

In an iteration the answers are the rejected responses (equation 3); on the test contexts they are what is
scored. With a prompt that asks for JSON (table 3's self-reflection) the response is the text in it; what
does not parse is asked again with a fresh seed, `attempts` times in all, and where no attempt parsed the
last answer is the response as it stands, counted as `unparsed`. Work in progress lies in the journal, so a
killed run goes on where it was.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from stages.command import Params, load_params, read_params, run
from stages.engines.generate import generate_until
from stages.engines.load import open_engine
from stages.engines.policy import read_policy
from stages.engines.request import Sampling
from stages.engines.template import ChatTemplate
from stages.engines.window import drop_oldest
from stages.prompts.requests import JSON_PROMPTS, read_response, response_messages, response_schema
from stages.prompts.templates import Prompts, load_prompts
from stages.records.jsonl import read_records, write_records
from stages.records.publish import publish_json
from stages.records.schema import Context, Message, Response


class RespondParams(Params):
    """Section `respond` of params.yaml."""

    seed: int
    attempts: int = Field(ge=1)
    sampling: Sampling


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
    params = read_params("respond", RespondParams, args.params)
    contexts = read_records(args.contexts, Context)
    prompts = load_prompts(load_params("prompts", args.params)["dir"])
    with open_engine(load_params("engine", args.params), args.policy) as (engine, template):
        budget = read_policy(args.policy).backbone.window - params.sampling.max_new_tokens
        asked, shortened = _messages(contexts, args.prompt, prompts, template, budget)
        answers = generate_until(
            engine,
            asked,
            params.sampling,
            "respond",
            params.seed,
            params.attempts,
            lambda text: read_response(args.prompt, text) is not None,
            response_schema(args.prompt),
        )
    texts = {identity: read_response(args.prompt, given[-1].text) for identity, given in answers.items()}
    responses = [
        given[-1] if (text := texts[identity]) is None else given[-1].model_copy(update={"text": text})
        for identity, given in answers.items()
    ]
    write_records(args.out, responses)
    counts = count(responses) | {"shortened": shortened}
    if args.prompt in JSON_PROMPTS:
        parsed = [response.attempt for response in responses if texts[response.id] is not None]
        counts |= {f"parsed_at_attempt_{n}": parsed.count(n) for n in range(1, params.attempts + 1)}
        counts["unparsed"] = len(responses) - len(parsed)
    publish_json(args.metrics, counts)


def count(responses: Sequence[Response]) -> dict[str, float]:
    """Return how many responses there are, are empty and were cut off, and their mean length in words."""
    words = [len(response.text.split()) for response in responses]
    return {
        "count": len(responses),
        "empty": sum(not response.text for response in responses),
        "cut_off": sum(response.finish_reason == "length" for response in responses),
        "mean_words": sum(words) / max(1, len(words)),
    }


def _messages(
    contexts: Sequence[Context], prompt: str, prompts: Prompts, template: ChatTemplate, budget: int
) -> tuple[dict[str, list[Message]], int]:
    """Return the requests by id, and how many of them lost their oldest exchanges to fit the budget.

    Contexts are cut to fit the task prompt; another one may be longer. What does not fit with its last
    seeker turn alone is asked all the same, and the engine names it.
    """
    asked: dict[str, list[Message]] = {}
    shortened = 0
    for context in contexts:
        left, dropped = drop_oldest(
            context.messages,
            lambda messages: response_messages(prompts, prompt, messages),
            template,
            budget,
        )
        shortened += dropped > 0
        asked[context.id] = response_messages(prompts, prompt, left or context.messages[-1:])
    return asked, shortened


if __name__ == "__main__":
    run(main)
