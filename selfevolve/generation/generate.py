"""Answer requests with any engine: once, or again until the answer parses; every answer is kept on disk."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from tqdm import tqdm

from selfevolve.generation.journal import Answers, FailedAttempt, Journal
from selfevolve.generation.request import Engine, Request, ResponseParams, Sampling, complete
from selfevolve.policies.window import ChatTemplate
from selfevolve.records.schema import Message, Response
from selfevolve.runtime.digests import digest_value
from selfevolve.runtime.errors import ParseError

SCRATCH = Path(".scratch")

T = TypeVar("T")


@dataclass
class Outcome(Generic[T]):
    """What asking one question came to.

    `value` is what the parser made of the last answer, None where no attempt parsed. `response` is the last
    answer, None where none came. `failed` has every attempt without a value, in order.
    """

    value: T | None = None
    response: Response | None = None
    attempts: int = 0
    failed: list[FailedAttempt] = field(default_factory=list)


Store = Callable[[Engine, Sequence[Request], Sampling], AbstractContextManager[Answers]]
"""Opens the answers to requests: a journal for these requests alone, or a judge's ledger."""


def generate(
    engine: Engine, requests: Sequence[Request], sampling: Sampling, stage: str, scratch: Path = SCRATCH
) -> list[Response]:
    """Return one response for each request, in the order of the requests, whose ids must be unique.

    `stage` names the progress bar, and the journal's folder `<scratch>/<stage>/`.
    """
    with open_journal(engine, requests, sampling, scratch / stage) as answers:
        _complete(engine, requests, sampling, answers, stage)
        return [answers.responses[request.id] for request in requests]


def ask(
    engine: Engine,
    questions: Mapping[str, Sequence[Message]],
    params: ResponseParams,
    parse: Callable[[Response], T],
    stage: str,
    store: Store | None = None,
    schema: Mapping[str, Any] | None = None,
    asked_before: Mapping[str, int] | None = None,
) -> dict[str, Outcome[T]]:
    """Ask every question until its answer parses, `params.attempts` times at most.

    Args:
        engine: writes the answers. A request that it loses for good is not asked again in this run.
        questions: id to messages.
        params: sampling, attempts, and the seed from which those of the requests follow.
        parse: returns the value in an answer, or raises ParseError.
        stage: name of the stage, for the progress bar and the journals.
        store: keeps the answers; what it holds already is not asked. None: journals in `.scratch/<stage>/`.
        schema: JSON schema of the answers; some engines can keep a model to it.
        asked_before: attempts that were spent on another form of a question, by id; they count, and their
            seeds are not used again.
    """
    outcomes: dict[str, Outcome[T]] = {identity: Outcome() for identity in questions}
    store = store or partial(open_journal, folder=SCRATCH / stage)
    waiting = list(questions)
    spent = asked_before or {}
    for attempt in range(1, params.attempts + 1):
        asked = [identity for identity in waiting if spent.get(identity, 0) < attempt]
        if not asked:
            continue
        requests = [
            Request.make(identity, questions[identity], params.seed, attempt, schema) for identity in asked
        ]
        waiting = [identity for identity in waiting if spent.get(identity, 0) >= attempt]
        with store(engine, requests, params.sampling) as answers:
            _complete(engine, requests, params.sampling, answers, f"{stage}, attempt {attempt}")
            lost = answers.lost
            for request in requests:
                outcome = outcomes[request.id]
                outcome.attempts = attempt
                outcome.response = answers.responses.get(request.id)
                if outcome.response is None:
                    outcome.failed.append(lost[request.id])
                    continue
                try:
                    outcome.value = parse(outcome.response)
                except ParseError as failure:
                    outcome.failed.append(FailedAttempt(reason=failure.reason, text=outcome.response.text))
                    waiting.append(request.id)
    return outcomes


def count_parsed(outcomes: Collection[Outcome[Any]], attempts: int) -> dict[str, int]:
    """Return how many answers parsed at the first, second, ... of the attempts."""
    parsed = [outcome.attempts for outcome in outcomes if outcome.value is not None]
    return {f"parsed_at_attempt_{n}": parsed.count(n) for n in range(1, attempts + 1)}


def count_failures(outcomes: Collection[Outcome[Any]]) -> dict[str, int]:
    """Return how many attempts failed for each reason, in alphabetical order."""
    reasons = Counter(attempt.reason for outcome in outcomes for attempt in outcome.failed)
    return dict(sorted(reasons.items()))


def count_tokens(outcomes: Collection[Outcome[Any]], template: ChatTemplate) -> int:
    """Return how many tokens were generated in all attempts: those of the texts, and an end token each.

    The texts are cut into tokens again, so that an engine that does not say what it generated is counted too;
    a model that wrote a text in other pieces than its tokenizer would is off by these.
    """
    texts = [attempt.text for outcome in outcomes for attempt in outcome.failed]
    texts += [one.response.text for one in outcomes if one.value is not None and one.response is not None]
    return sum(template.count(text) + 1 for text in texts)


def open_journal(engine: Engine, requests: Sequence[Request], sampling: Sampling, folder: Path) -> Journal:
    """Return the journal of this work, `<folder>/<fingerprint>/journal.jsonl`.

    The fingerprint covers all that the texts depend on: the model, the engine's settings, the sampling and
    every request.
    """
    described = {"model": engine.model, "engine": engine.settings, "sampling": sampling.model_dump()}
    asked = [digest_value(request.as_json()) for request in requests]  # one by one: the whole is long
    fingerprint = digest_value({**described, "requests": asked})[:16]
    return Journal(folder / fingerprint / "journal.jsonl")


def _complete(
    engine: Engine, requests: Sequence[Request], sampling: Sampling, answers: Answers, label: str
) -> None:
    """Let the engine answer all requests that have no answer yet."""
    done = set(answers.responses)
    bar = tqdm(total=len(requests), initial=len(done), desc=label, unit="text", disable=None)
    with bar, closing(complete(engine, requests, sampling, done)) as batches:
        for batch in batches:
            answers.append(batch)
            bar.update(len(answers.responses) - bar.n)
