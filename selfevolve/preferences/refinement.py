"""Reflect and refine: a policy judges its own responses and writes better ones (equations 4 and 5).

One answer holds the reflection on the seeker and the refined response as JSON (appendix E).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from selfevolve.generation.generate import Outcome, ask, count_failures, count_parsed
from selfevolve.generation.request import Engine, ResponseParams
from selfevolve.policies.window import Window
from selfevolve.preferences.length_rule import LengthRule, is_longer
from selfevolve.prompts.answers import Parsed, Reflection, parse_reflection
from selfevolve.prompts.requests import refine_messages
from selfevolve.prompts.response_text import example_texts
from selfevolve.prompts.templates import Prompts
from selfevolve.records.schema import Context, Message, Refinement, Response
from selfevolve.runtime.errors import ParseError


def refine(
    engine: Engine,
    window: Window,
    contexts: Sequence[Context],
    responses: Mapping[str, str],
    prompts: Prompts,
    params: ResponseParams,
) -> tuple[list[Refinement], dict[str, Any]]:
    """Ask for the refinement of every response until the answer parses, `params.attempts` times at most.

    Args:
        engine: the policy.
        window: of the policy; a prompt that does not fit loses its oldest exchanges.
        contexts: what the responses answer.
        responses: text by the context's id; one for each context.
        prompts: with `refine` and `refine_request`.
        params: a retry samples with a seed of its own.

    Returns:
        one refinement for each context, and the counts: before `labelled` responses a label or a strategy
        was removed, `parse_failures` are the failed attempts by reason. Where no answer parsed the
        refinement is `failed` and keeps every answer in `raw`; it has no answer where even the last seeker
        turn alone does not fit.
    """
    fitted = {
        context.id: window.fit(
            context.messages,
            partial(refine_messages, prompts, response=responses[context.id]),
            params.sampling.max_new_tokens,
        )
        for context in contexts
    }
    asked = {identity: one.prompt for identity, one in fitted.items() if one.fits}
    schema = Reflection.model_json_schema()
    outcomes = ask(engine, asked, params, _reader(prompts), "refine", schema=schema)
    parsed = count_parsed(outcomes.values(), params.attempts)
    counts = {
        "count": len(contexts),
        "shortened": sum(one.fits and one.dropped > 0 for one in fitted.values()),
        "too_long": len(contexts) - len(asked),
        **parsed,
        "failed": len(asked) - sum(parsed.values()),
        "labelled": sum(one.value is not None and one.value.labelled for one in outcomes.values()),
        "parse_failures": count_failures(outcomes.values()),
    }
    return [_refinement(context.id, outcomes.get(context.id, Outcome())) for context in contexts], counts


def ask_shorter(
    engine: Engine,
    window: Window,
    contexts: Sequence[Context],
    responses: Mapping[str, str],
    refinements: Sequence[Refinement],
    prompts: Prompts,
    params: ResponseParams,
    rule: LengthRule,
) -> tuple[list[Refinement], dict[str, Any]]:
    """Ask for a shorter response wherever the refined one is too long, as often as attempts are left.

    The paper does not do so: it takes the golden response at once, however long that is. Each answer is a
    whole reflection with a refined response, and takes the place of the first one. An answer that does not
    parse, or is too long as well, is asked for again.

    Args:
        engine: the policy that wrote the refinements; `window`, `contexts` and `responses` as for `refine`.
        refinements: one for each context, in the same order.
        prompts: with `refine` and `refine_shorter`.
        params: `attempts` is the most for one context, those of its refinement included.
        rule: how long a refined response may be.

    Returns:
        the refinements in the same order, and the counts: how many were `over_length_rule`, how many of them
        were `made_shorter` or `stayed_longer`, and how many answers were `asked` for; `labelled` and
        `parse_failures` as of `refine`, where `too_long` is a failure too. A refinement that stayed longer is
        as it was. The attempts of all stay those until an answer parsed.
    """
    most_words: dict[str, int] = {}
    questions: dict[str, list[Message]] = {}
    for context, refinement in zip(contexts, refinements, strict=True):
        direct = responses[context.id]
        most = rule.most_words(direct, context.golden)
        if most is not None and is_longer(refinement.refined_response or "", most):
            most_words[context.id] = most
            build = partial(refine_messages, prompts, response=direct, most_words=most)
            fitted = window.fit(context.messages, build, params.sampling.max_new_tokens)
            if fitted.fits and most > 0:
                questions[context.id] = fitted.prompt

    read = _reader(prompts)

    def parse(answer: Response) -> Parsed[Reflection]:
        found = read(answer)
        if is_longer(found.value.refined_response, most_words[answer.id]):
            raise ParseError("too_long")
        return found

    spent = {refinement.id: refinement.attempts for refinement in refinements}
    schema = Reflection.model_json_schema()
    outcomes = ask(engine, questions, params, parse, "refine", schema=schema, asked_before=spent)
    found = {identity: one.value for identity, one in outcomes.items() if one.value is not None}
    counts = {
        "over_length_rule": len(most_words),
        "made_shorter": len(found),
        "stayed_longer": len(most_words) - len(found),
        "asked": len(found) + sum(len(outcome.failed) for outcome in outcomes.values()),
        "labelled": sum(parsed.labelled for parsed in found.values()),
        "parse_failures": count_failures(outcomes.values()),
    }
    shorter = {identity: dict(parsed.value) for identity, parsed in found.items()}
    return [one.model_copy(update=shorter.get(one.id)) for one in refinements], counts


def _reader(prompts: Prompts) -> Callable[[Response], Parsed[Reflection]]:
    """Return what reads the reflection in an answer to `refine_messages`, or raises ParseError."""
    return partial(parse_reflection, examples=example_texts(prompts.text("refine")))


def _refinement(identity: str, outcome: Outcome[Parsed[Reflection]]) -> Refinement:
    if outcome.value is None:
        raw = [attempt.text for attempt in outcome.failed]
        return Refinement(id=identity, attempts=outcome.attempts, status="failed", raw=raw)
    parts = dict(outcome.value.value)  # one level: `understanding` stays a record
    return Refinement(id=identity, **parts, attempts=outcome.attempts, status="parsed")
