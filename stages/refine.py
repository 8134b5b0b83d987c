"""Let a policy reflect and refine its own responses: `python -m stages.refine --policy models/m0 ...`.

One answer holds the reflection on the seeker and the refined response as JSON (equations 4 and 5,
appendix E). What does not parse is asked again with a fresh seed, `attempts` times in all (appendix A).
Where the dialogues' own responses are to be preferred (`--chosen golden`: the paper's sources {HM, P} and
{HL, P}) there is nothing to refine: no model runs and the file is empty.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from stages.command import Params, load_params, read_params, run
from stages.engines.generate import generate_until
from stages.engines.load import open_engine
from stages.engines.policy import read_policy
from stages.engines.request import Engine, Sampling
from stages.engines.template import ChatTemplate
from stages.engines.window import drop_oldest
from stages.prompts.reflection import Reflection, parse_reflection
from stages.prompts.requests import refine_messages
from stages.prompts.templates import Prompts, load_prompts
from stages.records.errors import InputError
from stages.records.jsonl import read_records, write_records
from stages.records.publish import publish_json
from stages.records.schema import Context, Message, Refinement, Response


class RefineParams(Params):
    """Section `refine` of params.yaml."""

    seed: int
    attempts: int = Field(ge=1)
    sampling: Sampling


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, ask until it parses or the attempts are used up, and write what came."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--policy", type=Path, required=True)
    parser.add_argument("--contexts", type=Path, required=True)
    parser.add_argument("--responses", type=Path, required=True, help="the responses to refine")
    parser.add_argument("--chosen", choices=("refined", "golden"), default="refined")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--metrics", type=Path, required=True)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    if args.chosen == "golden":
        write_records(args.out, [])
        publish_json(args.metrics, {"count": 0})
        return
    params = read_params("refine", RefineParams, args.params)
    contexts = read_records(args.contexts, Context)
    responses = {response.id: response.text for response in read_records(args.responses, Response)}
    if missing := [context.id for context in contexts if context.id not in responses]:
        raise InputError("has no response", file=args.responses, record=missing[0])
    prompts = load_prompts(load_params("prompts", args.params)["dir"])
    with open_engine(load_params("engine", args.params), args.policy) as (engine, template):
        budget = read_policy(args.policy).backbone.window - params.sampling.max_new_tokens
        asked, shortened = _messages(contexts, responses, prompts, template, budget)
        too_long = [context.id for context in contexts if context.id not in asked]
        refinements = refine(engine, asked, params.sampling, params.seed, params.attempts)
    refinements += [Refinement(id=identity, attempts=0, status="failed") for identity in too_long]
    write_records(args.out, refinements)
    parsed = [refinement.attempts for refinement in refinements if refinement.status == "parsed"]
    counts = {
        "count": len(refinements),
        "shortened": shortened,
        "too_long": len(too_long),
        **{f"parsed_at_attempt_{n}": parsed.count(n) for n in range(1, params.attempts + 1)},
        "failed": len(asked) - len(parsed),
    }
    publish_json(args.metrics, counts)


def refine(
    engine: Engine, asked: dict[str, list[Message]], sampling: Sampling, seed: int, attempts: int
) -> list[Refinement]:
    """Ask every reflection prompt up to `attempts` times, until its answer parses.

    Args:
        engine: who answers.
        asked: id to messages.
        sampling: how tokens are chosen; a retry samples anew with a seed of its own.
        seed: of the run.
        attempts: at least 1.

    Returns:
        one refinement an id; those that never parsed are `failed` and keep every answer in `raw`.
    """
    answers = generate_until(
        engine,
        asked,
        sampling,
        "refine",
        seed,
        attempts,
        lambda text: parse_reflection(text) is not None,
        Reflection.model_json_schema(),
    )
    return [_refinement(identity, given) for identity, given in answers.items()]


def _messages(
    contexts: list[Context],
    responses: dict[str, str],
    prompts: Prompts,
    template: ChatTemplate,
    budget: int,
) -> tuple[dict[str, list[Message]], int]:
    """Return the prompts that fit the budget, and how many of them lost their oldest exchanges for it."""
    asked: dict[str, list[Message]] = {}
    shortened = 0
    for context in contexts:

        def build(left: list[Message], response: str = responses[context.id]) -> list[Message]:
            return refine_messages(prompts, left, response)

        left, dropped = drop_oldest(context.messages, build, template, budget)
        if left is None:
            continue
        shortened += dropped > 0
        asked[context.id] = build(left)
    return asked, shortened


def _refinement(identity: str, answers: list[Response]) -> Refinement:
    reflection = parse_reflection(answers[-1].text)
    if reflection is None:
        raw = [answer.text for answer in answers]
        return Refinement(id=identity, attempts=len(answers), status="failed", raw=raw)
    return Refinement(
        id=identity,
        understanding=reflection.understanding,
        evaluation_score=reflection.evaluation_score,
        feedback=reflection.feedback,
        refined_response=reflection.refined_response,
        attempts=len(answers),
        status="parsed",
    )


if __name__ == "__main__":
    run(main)
