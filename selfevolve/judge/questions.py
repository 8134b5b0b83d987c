"""Ask a judge: its parameters, the sample of contexts, what the questions cost, and the outcomes.

The rubrics do not stand among the prompts of `prompts/`: the training data depends on those, and an edit of
a rubric must not make the pipeline generate and train again.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import Field

from selfevolve.data.contexts import draw_evenly
from selfevolve.generation.generate import Outcome, ask
from selfevolve.generation.journal import FailedAttempt
from selfevolve.generation.request import Request, ResponseParams
from selfevolve.judge.cost import Limits, count_calls, estimate
from selfevolve.judge.engine import Judge, load_judge
from selfevolve.judge.ledger import Ledger
from selfevolve.judge.verdicts import DIMENSIONS
from selfevolve.prompts.requests import transcript
from selfevolve.prompts.templates import Prompts, load_texts
from selfevolve.records.jsonl import dialogue_of, natural_key, read_by_id, read_records
from selfevolve.records.schema import Context, Message, NonEmpty, Response
from selfevolve.runtime.digests import digest_value
from selfevolve.runtime.errors import InputError

SCRATCH = Path(".scratch/judge")
RUBRICS: dict[str, set[str]] = {
    **{dimension: set() for dimension in DIMENSIONS},
    "request": {"dialogue", "response"},
    "pair": set(),
    "pair_request": {"dialogue", "response_a", "response_b"},
    "session_pair": set(),
    "session_pair_request": {"dialogue", "response_a", "response_b"},
}
"""The files without .txt, and their placeholders: a rubric is the system message, a request the user's."""

T = TypeVar("T")


class JudgeParams(ResponseParams, Limits):
    """Section `judge` of params.yaml. `contexts` null takes all; `rubrics` is a folder with a whole set."""

    seed: int = Field(ge=0)
    contexts: int | None = Field(ge=1)
    rubrics: NonEmpty
    engine: dict[str, Any]


class Question(NamedTuple):
    """What a judge is asked about a context: two of RUBRICS, and the responses that fill the request."""

    context: Context
    rubric: str
    request: str
    responses: Mapping[str, str]

    def messages(self, rubrics: Prompts, turns: list[Message]) -> list[Message]:
        """Return the messages that ask this about a dialogue, or about what is left of it."""
        system = rubrics.text(self.rubric)
        request = rubrics.fill(self.request, dialogue=transcript(turns), **self.responses)
        return [Message(role="system", content=system), Message(role="user", content=request)]


def draw_contexts(path: Path, params: JudgeParams) -> tuple[list[Context], dict[str, int]]:
    """Return the contexts to judge, sorted by id, and their counts; every model gets the same ones."""
    found = read_records(path, Context)
    if not found:
        raise InputError("has no contexts", file=path)
    drawn = draw_evenly(found, params.contexts or len(found), params.seed)
    dialogues = {dialogue_of(context.id) for context in drawn}
    counts = {"found": len(found), "sampled": len(drawn), "dialogues": len(dialogues)}
    return sorted(drawn, key=lambda context: natural_key(context.id)), counts


def read_responses(path: Path, contexts: Sequence[Context]) -> dict[str, str]:
    """Return the text of the response to each context, by id; raises InputError as `read_by_id`."""
    found = read_by_id(path, Response, [context.id for context in contexts])
    return {identity: response.text for identity, response in found.items()}


def consult(
    params: JudgeParams, questions: Mapping[str, Question], parse: Callable[[Response], T], stage: str
) -> tuple[dict[str, Outcome[T]], dict[str, Any]]:
    """Load the judge, print what the questions will cost, ask them, and return the outcomes and the metrics.

    A question that does not fit a local judge's window is not asked; its outcome has the reason `too_long`.
    The window of a server is not known: the server refuses what does not fit.

    Raises:
        InputError: the judge gave up, or a limit is reached; all answers so far are in the ledger.
    """
    rubrics = load_texts(RUBRICS, params.rubrics)
    judge = load_judge(params.engine)
    asked, shortened = _fitted(judge, params, questions, rubrics)
    ledger_id = digest_value({"model": judge.engine.model, "engine": judge.engine.settings})[:16]
    with Ledger(SCRATCH / ledger_id / "ledger.jsonl", params.check) as ledger:
        _announce(ledger, params, asked, len(questions), stage)
        outcomes = ask(judge.metered(ledger), asked, params, parse, stage, ledger.answers)
        spent = ledger.spent(ledger.asked)
    too_long = FailedAttempt(reason="too_long", text="")
    outcomes |= {name: Outcome(failed=[too_long]) for name in questions.keys() - asked.keys()}
    return outcomes, {
        "judge": _described(judge, params, rubrics),
        "questions": len(questions),
        "shortened": shortened,
        "too_long": len(questions) - len(asked),
        "calls": count_calls(spent, params.prices),
        "estimate": estimate(asked.values(), params.sampling.max_new_tokens, params.prices),
    }


def _fitted(
    judge: Judge, params: JudgeParams, questions: Mapping[str, Question], rubrics: Prompts
) -> tuple[dict[str, list[Message]], int]:
    """Return the messages of the questions that fit, and how many lost their oldest exchanges for it."""
    if judge.window is None:
        return {name: one.messages(rubrics, one.context.messages) for name, one in questions.items()}, 0
    new_tokens = params.sampling.max_new_tokens
    fitted = {
        name: judge.window.fit(one.context.messages, partial(one.messages, rubrics), new_tokens)
        for name, one in questions.items()
    }
    asked = {name: one.prompt for name, one in fitted.items() if one.fits}
    return asked, sum(one.fits and one.dropped > 0 for one in fitted.values())


def _announce(
    ledger: Ledger, params: JudgeParams, asked: Mapping[str, list[Message]], questions: int, stage: str
) -> None:
    new = [
        messages
        for identity, messages in asked.items()
        if ledger.answer(Request.make(identity, messages, params.seed), params.sampling) is None
    ]
    expected = estimate(new, params.sampling.max_new_tokens, params.prices)
    cost = "" if expected["cost"] is None else f", a cost of at most about {expected['cost']:.2f}"
    print(
        f"{stage}: {questions} questions, {questions - len(asked)} too long, "
        f"{len(asked) - len(new)} answered before, {len(new)} to ask: about {expected['tokens_in']} "
        f"tokens in and at most {expected['tokens_out']} out{cost}; an answer that does not parse is asked "
        f"for again, up to {params.attempts} times in all",
        flush=True,
    )


def _described(judge: Judge, params: JudgeParams, rubrics: Prompts) -> dict[str, Any]:
    """Return who judged and how; `not_sent` names the settings that the server's interface lacks."""
    engine = judge.engine.settings
    return {
        "kind": engine["kind"],
        "model": judge.engine.model,
        "sampling": params.sampling.model_dump(),
        "not_sent": [] if engine.get("extensions", True) else ["top_k", "repetition_penalty"],
        "seed": params.seed,
        "rubrics": rubrics.digest,
    }
