"""Reflect and refine: a policy judges its own responses and writes better ones (equations 4 and 5).

One answer holds the reflection on the seeker and the refined response as JSON, as in appendix E. Or there are
two, as in the equations: the reflection as JSON, and then the response, which is asked for by the dialogue
itself, as the direct response was.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, TypeVar

from selfevolve.generation.generate import Outcome, ask, count_failures, count_parsed, count_tokens
from selfevolve.generation.request import Engine, ResponseParams
from selfevolve.policies.window import Window
from selfevolve.prompts.answers import (
    Parsed,
    Reflection,
    ReflectionAlone,
    parse_reflection,
    parse_reflection_alone,
    parse_response,
)
from selfevolve.prompts.requests import refine_messages, reflect_messages, rewrite_messages
from selfevolve.prompts.response_text import example_texts
from selfevolve.prompts.templates import Prompts
from selfevolve.records.schema import Context, Message, Refinement, Response

T = TypeVar("T")
Build = Callable[[list[Message]], list[Message]]
"""Makes the whole prompt of the turns of a dialogue that are left."""


class RefineParams(ResponseParams):
    """Section `refine` of params.yaml; `answers` says how many hold a reflection and its refined response."""

    answers: Literal["one", "two"]


def refine(
    engine: Engine,
    window: Window,
    contexts: Sequence[Context],
    responses: Mapping[str, str],
    prompts: Prompts,
    params: RefineParams,
) -> tuple[list[Refinement], dict[str, Any]]:
    """Ask for the refinement of every response until the answer parses, `params.attempts` times at most.

    Args:
        engine: the policy.
        window: of the policy; a prompt that does not fit loses its oldest exchanges.
        contexts: what the responses answer.
        responses: text by the context's id; one for each context.
        prompts: with `refine` and `refine_request`; for two answers with `reflect` and `rewrite`.
        params: a retry samples with a seed of its own.

    Returns:
        one refinement for each context, and the counts: before `labelled` responses a label or a strategy
        was removed, `generated_tokens` are those of all answers, `parse_failures` the failed attempts by
        reason. Where no answer parsed the refinement is `failed` and keeps every answer in `raw`; it has no
        answer where even the last seeker turn alone does not fit. Of two answers these are the counts of the
        first; those of the second, asked for where the first one parsed, are `responses`.
    """
    asking = partial(_ask_all, engine, window, params=params)
    form = _in_one_answer if params.answers == "one" else _in_two_answers
    return form(asking, contexts, responses, prompts)


def reflection_reader(prompts: Prompts) -> Callable[[Response], Parsed[Reflection]]:
    """Return what reads the reflection in an answer to `refine_messages`, or raises ParseError."""
    return partial(parse_reflection, examples=example_texts(prompts.text("refine")))


def _in_one_answer(
    asking: Callable[..., Any], contexts: Sequence[Context], responses: Mapping[str, str], prompts: Prompts
) -> tuple[list[Refinement], dict[str, Any]]:
    def together(context: Context) -> Build:
        return partial(refine_messages, prompts, response=responses[context.id])

    schema = Reflection.model_json_schema()
    outcomes, counts = asking(contexts, together, reflection_reader(prompts), schema=schema)
    return [_refinement(context.id, outcomes.get(context.id, Outcome())) for context in contexts], counts


def _in_two_answers(
    asking: Callable[..., Any], contexts: Sequence[Context], responses: Mapping[str, str], prompts: Prompts
) -> tuple[list[Refinement], dict[str, Any]]:
    def first(context: Context) -> Build:
        return partial(reflect_messages, prompts, response=responses[context.id])

    read = partial(parse_reflection_alone, examples=example_texts(prompts.text("reflect")))
    reflected, counts = asking(contexts, first, read, schema=ReflectionAlone.model_json_schema())
    found = {identity: one.value.value for identity, one in reflected.items() if one.value is not None}

    def second(context: Context) -> Build:
        said = responses[context.id]
        return partial(rewrite_messages, prompts, response=said, reflection=found[context.id])

    again = [context for context in contexts if context.id in found]
    rewritten, counts["responses"] = asking(again, second, parse_response)
    return [
        _joined(context.id, reflected.get(context.id, Outcome()), rewritten.get(context.id, Outcome()))
        for context in contexts
    ], counts


def _ask_all(
    engine: Engine,
    window: Window,
    contexts: Sequence[Context],
    build: Callable[[Context], Build],
    parse: Callable[[Response], Parsed[T]],
    *,
    params: RefineParams,
    schema: Mapping[str, Any] | None = None,
) -> tuple[dict[str, Outcome[Parsed[T]]], dict[str, Any]]:
    """Ask about every context whose prompt fits; return the outcomes by id, and the counts."""
    fitted = {
        context.id: window.fit(context.messages, build(context), params.sampling.max_new_tokens)
        for context in contexts
    }
    asked = {identity: one.prompt for identity, one in fitted.items() if one.fits}
    outcomes = ask(engine, asked, params, parse, "refine", schema=schema)
    parsed = count_parsed(outcomes.values(), params.attempts)
    return outcomes, {
        "count": len(contexts),
        "shortened": sum(one.fits and one.dropped > 0 for one in fitted.values()),
        "too_long": len(contexts) - len(asked),
        **parsed,
        "failed": len(asked) - sum(parsed.values()),
        "labelled": sum(one.value is not None and one.value.labelled for one in outcomes.values()),
        "generated_tokens": count_tokens(outcomes.values(), window.template),
        "parse_failures": count_failures(outcomes.values()),
    }


def _refinement(identity: str, outcome: Outcome[Parsed[Reflection]]) -> Refinement:
    if outcome.value is None:
        return _failed(identity, outcome)
    parts = dict(outcome.value.value)  # one level: `understanding` stays a record
    return Refinement(id=identity, **parts, attempts=outcome.attempts, status="parsed")


def _joined(
    identity: str, reflected: Outcome[Parsed[ReflectionAlone]], rewritten: Outcome[Parsed[str]]
) -> Refinement:
    if reflected.value is None:
        return _failed(identity, reflected)
    reflection = dict(reflected.value.value)
    if rewritten.value is None:  # the reflection can be measured all the same
        return _failed(identity, reflected, rewritten).model_copy(update=reflection)
    parts = {**reflection, "refined_response": rewritten.value.value}
    attempts = max(reflected.attempts, rewritten.attempts)
    return Refinement(id=identity, **parts, attempts=attempts, status="parsed")


def _failed(identity: str, *outcomes: Outcome[Any]) -> Refinement:
    raw = [attempt.text for outcome in outcomes for attempt in outcome.failed]
    attempts = max(outcome.attempts for outcome in outcomes)
    return Refinement(id=identity, attempts=attempts, status="failed", raw=raw)
