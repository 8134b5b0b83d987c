"""Ask a policy for a shorter response where its refined one is longer than the length rule allows."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from selfevolve.generation.generate import ask, count_failures, count_tokens
from selfevolve.generation.request import Engine
from selfevolve.policies.window import Window
from selfevolve.preferences.length_rule import LengthRule, is_longer
from selfevolve.preferences.refinement import Build, RefineParams, reflection_reader
from selfevolve.prompts.answers import Parsed, Reflection, ReflectionAlone, parse_response
from selfevolve.prompts.requests import refine_messages, rewrite_messages
from selfevolve.prompts.templates import Prompts
from selfevolve.records.schema import Context, Message, Refinement, Response
from selfevolve.runtime.errors import ParseError


def ask_shorter(
    engine: Engine,
    window: Window,
    contexts: Sequence[Context],
    responses: Mapping[str, str],
    refinements: Sequence[Refinement],
    prompts: Prompts,
    params: RefineParams,
    rule: LengthRule,
) -> tuple[list[Refinement], dict[str, Any]]:
    """Ask for a shorter response wherever the refined one is too long, as often as attempts are left.

    The paper does not do so: it takes the golden response at once, however long that is. Each answer is a
    whole reflection with a refined response, or the response alone if it was an answer by itself, and takes
    the place of the first one. An answer that does not parse, or is too long as well, is asked for again.

    Args:
        engine: the policy that wrote the refinements; `window`, `contexts` and `responses` as for `refine`.
        refinements: one for each context, in the same order.
        prompts: those of `refine`, and `shorter`.
        params: `attempts` is the most for one context, those of its refinement included.
        rule: how long a refined response may be.

    Returns:
        the refinements in the same order, and the counts: how many were `over_length_rule`, how many of them
        were `made_shorter` or `stayed_longer`, and how many answers were `asked` for; `labelled`,
        `generated_tokens` and `parse_failures` as of `refine`, where `too_long` is a failure too. A
        refinement that stayed longer is as it was. The attempts of all stay those until an answer parsed.
    """
    most_words: dict[str, int] = {}
    questions: dict[str, list[Message]] = {}
    for context, refinement in zip(contexts, refinements, strict=True):
        direct = responses[context.id]
        most = rule.most_words(direct, context.golden)
        if most is not None and is_longer(refinement.refined_response or "", most):
            most_words[context.id] = most
            build = _build(prompts, params, direct, refinement, most)
            fitted = window.fit(context.messages, build, params.sampling.max_new_tokens)
            if fitted.fits and most > 0:
                questions[context.id] = fitted.prompt

    read = _reader(prompts, params)

    def parse(answer: Response) -> Parsed[dict[str, Any]]:
        found = read(answer)
        if is_longer(found.value["refined_response"], most_words[answer.id]):
            raise ParseError("too_long")
        return found

    spent = {refinement.id: refinement.attempts for refinement in refinements}
    schema = Reflection.model_json_schema() if params.answers == "one" else None
    outcomes = ask(engine, questions, params, parse, "refine", schema=schema, asked_before=spent)
    found = {identity: one.value for identity, one in outcomes.items() if one.value is not None}
    counts = {
        "over_length_rule": len(most_words),
        "made_shorter": len(found),
        "stayed_longer": len(most_words) - len(found),
        "asked": len(found) + sum(len(outcome.failed) for outcome in outcomes.values()),
        "labelled": sum(parsed.labelled for parsed in found.values()),
        "generated_tokens": count_tokens(outcomes.values(), window.template),
        "parse_failures": count_failures(outcomes.values()),
    }
    shorter = {identity: parsed.value for identity, parsed in found.items()}
    return [one.model_copy(update=shorter.get(one.id)) for one in refinements], counts


def _reader(prompts: Prompts, params: RefineParams) -> Callable[[Response], Parsed[dict[str, Any]]]:
    """Return what reads the fields of a refinement that an answer replaces, or raises ParseError."""
    whole = reflection_reader(prompts)

    def read(answer: Response) -> Parsed[dict[str, Any]]:
        if params.answers == "one":
            reflection = whole(answer)
            return Parsed(dict(reflection.value), reflection.labelled)
        response = parse_response(answer)
        return Parsed({"refined_response": response.value}, response.labelled)

    return read


def _build(prompts: Prompts, params: RefineParams, response: str, refinement: Refinement, most: int) -> Build:
    """Return what asks for at most so many words, in the form in which the refinement was asked for."""
    if params.answers == "one":
        return partial(refine_messages, prompts, response=response, most_words=most)
    assert refinement.understanding is not None  # since it has a response
    assert refinement.feedback is not None
    reflection = ReflectionAlone(
        understanding=refinement.understanding,
        evaluation_score=refinement.evaluation_score,
        feedback=refinement.feedback,
    )
    return partial(rewrite_messages, prompts, response=response, reflection=reflection, most_words=most)
