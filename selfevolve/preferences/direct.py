"""Direct responses: what a policy answers to contexts (equation 3), before anything is refined."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from selfevolve.generation.generate import Outcome, ask, count_failures, count_parsed, count_tokens
from selfevolve.generation.request import Engine, ResponseParams
from selfevolve.policies.window import Window
from selfevolve.prompts.answers import Parsed
from selfevolve.prompts.requests import JSON_PROMPTS, response_messages, response_reader, response_schema
from selfevolve.prompts.templates import Prompts
from selfevolve.records.schema import Context, Response
from selfevolve.records.texts import after_thinking
from selfevolve.runtime.errors import ParseError


def respond(
    engine: Engine,
    window: Window,
    contexts: Sequence[Context],
    prompts: Prompts,
    params: ResponseParams,
    prompt: str = "task",
) -> tuple[list[Response], dict[str, Any]]:
    """Let a policy answer every context, again where a prompt asks for JSON that does not parse.

    Args:
        engine: the policy.
        window: of the policy; contexts lose their oldest exchanges where the prompt does not fit.
        contexts: what is answered.
        prompts: with the one that `prompt` names.
        params: how, and up to how often.
        prompt: `plain`, `task` or `self_reflection`.

    Returns:
        one response for each context, in their order, and the counts: of responses, of `empty` and `cut_off`
        ones, their `mean_words`, `generated_tokens` of all answers, how many prompts were `shortened`, how
        many responses were `unanswered`, and `parse_failures`; for a prompt that asks for JSON also how many
        were parsed at which attempt, `unparsed` and `labelled`.
    """
    parse = response_reader(prompts, prompt)
    build = partial(response_messages, prompts, prompt)
    # Contexts are cut to fit the task prompt, and another prompt may be longer. A context whose last turn
    # alone does not fit is asked all the same: the engine names it.
    fitted = {one.id: window.fit(one.messages, build, params.sampling.max_new_tokens) for one in contexts}
    asked = {identity: one.prompt for identity, one in fitted.items()}
    outcomes = ask(engine, asked, params, parse, "respond", schema=response_schema(prompt))
    responses = [_response_of(outcome) for outcome in outcomes.values()]
    counts = _count(responses) | {"generated_tokens": count_tokens(outcomes.values(), window.template)}
    counts["shortened"] = sum(one.dropped > 0 for one in fitted.values())
    if prompt in JSON_PROMPTS:
        parsed = count_parsed(outcomes.values(), params.attempts)
        counts |= {**parsed, "unparsed": len(responses) - sum(parsed.values())}
        counts["labelled"] = sum(one.value is not None and one.value.labelled for one in outcomes.values())
    answered = zip(responses, outcomes.values(), strict=True)
    counts["unanswered"] = sum(one.value is None and not response.text for response, one in answered)
    return responses, counts | {"parse_failures": count_failures(outcomes.values())}


def _response_of(outcome: Outcome[Parsed[str]]) -> Response:
    """Return the response that was read; where none was, what the last answer says after its thinking.

    Where it says nothing the response is empty: `pair` drops it, `score` counts it as `empty`.
    """
    assert outcome.response is not None  # the engines of these stages lose none
    if outcome.value is not None:
        text = outcome.value.value
    else:
        try:
            text = after_thinking(outcome.response.text)
        except ParseError:
            text = ""
    return outcome.response.model_copy(update={"text": text})


def _count(responses: Sequence[Response]) -> dict[str, Any]:
    """Return how many responses there are, are empty and were cut off, and their mean length in words."""
    words = [len(response.text.split()) for response in responses]
    return {
        "count": len(responses),
        "empty": sum(not response.text for response in responses),
        "cut_off": sum(response.finish_reason == "length" for response in responses),
        "mean_words": sum(words) / max(1, len(words)),
    }
