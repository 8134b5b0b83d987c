"""Ask until an answer can be read, a bounded number of times, and keep what could not be."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from tqdm import tqdm

from stages.engines.ledger import Ledger, Spent, request_key
from stages.engines.openai_engine import Lost, OpenAIEngine
from stages.engines.request import Engine, Request, Sampling
from stages.records.schema import Message, Response

T = TypeVar("T")


@dataclass
class Outcome(Generic[T]):
    """What asking came to: the value read, if any, and (reason, raw text) of every answer that was not.

    A request that failed for good without an answer has the kind of the failure as its reason, and as
    its text what came, or what went wrong.
    """

    value: T | None = None
    attempts: int = 0
    unread: list[tuple[str, str]] = field(default_factory=list)


def ask(
    engine: Engine,
    ledger: Ledger,
    asked: Mapping[str, Sequence[Message]],
    sampling: Sampling,
    seed: int,
    attempts: int,
    read: Callable[[Response], T | str],
    stage: str,
) -> dict[str, Outcome[T]]:
    """Ask everything up to `attempts` times, each time with a seed of its own, until it can be read.

    Args:
        engine: who answers. What fails for good there, and is tolerated, is not asked again in this run.
        ledger: open; what stands in it is not asked at all.
        asked: id to messages.
        sampling: how tokens are chosen.
        seed: of the run; that of a request follows from (seed, id, attempt).
        attempts: at least 1.
        read: makes a value of an answer, or a str: the reason why it is none.
        stage: the name of the stage, for the progress bar.

    Returns:
        one outcome an id, in the order of `asked`.

    Raises:
        InputError: the engine gave up or the ledger allows no more calls; what was answered is kept.
    """
    outcomes: dict[str, Outcome[T]] = {identity: Outcome() for identity in asked}
    waiting = list(asked)
    for attempt in range(1, attempts + 1):
        requests = [Request.make(identity, asked[identity], seed, attempt) for identity in waiting]
        lost = _answer(engine, ledger, requests, sampling, f"{stage} {attempt}") if requests else {}
        waiting = []
        for request in requests:
            outcome = outcomes[request.id]
            outcome.attempts = attempt
            if request.id in lost:
                failure = lost[request.id]
                outcome.unread.append((failure.kind, failure.body or failure.reason))
                continue
            response = ledger.answer(request, sampling)
            value = read(response)
            if isinstance(value, str):
                outcome.unread.append((value, response.text))
                waiting.append(request.id)
            else:
                outcome.value = value
    return outcomes


def _answer(
    engine: Engine, ledger: Ledger, requests: Sequence[Request], sampling: Sampling, name: str
) -> dict[str, Lost]:
    """See that the ledger has an answer to every request; return those that were lost."""
    by_id = {request.id: request for request in requests}
    done = {request.id for request in requests if ledger.answer(request, sampling) is not None}
    server = engine if isinstance(engine, OpenAIEngine) else None
    if server:
        server.meter = ledger
    bar = tqdm(total=len(requests), initial=len(done), desc=name, unit="answer", disable=None)
    with bar, closing(engine.complete(requests, sampling, done)) as batches:
        for batch in batches:
            new = [(by_id[response.id], response) for response in batch if response.id not in done]
            ledger.answered(new, sampling)
            bar.update(len(new))
    return server.failed if server else {}


def spent_on(
    ledger: Ledger,
    asked: Mapping[str, Sequence[Message]],
    outcomes: Mapping[str, Outcome[T]],
    sampling: Sampling,
    seed: int,
) -> Spent:
    """Return what these questions came to, in this run and in earlier ones; arguments as for `ask`."""
    requests = (
        Request.make(identity, asked[identity], seed, attempt)
        for identity, outcome in outcomes.items()
        for attempt in range(1, outcome.attempts + 1)
    )
    return ledger.spent(request_key(request, sampling) for request in requests)
