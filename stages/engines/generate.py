"""Answer requests with any engine, through the journal: once, or until the answer is of use."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from tqdm import tqdm

from stages.engines.journal import Journal
from stages.engines.request import Engine, Request, Sampling
from stages.records.fingerprint import digest_value
from stages.records.schema import Message, Response

SCRATCH = Path(".scratch")


def generate(
    engine: Engine, requests: Sequence[Request], sampling: Sampling, stage: str, scratch: Path = SCRATCH
) -> list[Response]:
    """Return one response a request, in the order of the requests.

    Finished batches are kept in `<scratch>/<stage>/<fingerprint>/journal.jsonl`; the fingerprint covers
    the model, the engine's settings, the sampling and every request. What is there already is not asked
    again.

    Args:
        engine: who writes the texts.
        requests: ids must be unique.
        sampling: how tokens are chosen.
        stage: the name of the stage, for the folder and the progress bar.
        scratch: where work in progress lies.
    """
    fingerprint = _fingerprint(engine, requests, sampling)
    with Journal(scratch / stage / fingerprint / "journal.jsonl") as journal:
        done = set(journal.responses)
        bar = tqdm(total=len(requests), initial=len(done), desc=stage, unit="text", disable=None)
        with bar, closing(engine.complete(requests, sampling, done)) as batches:
            for batch in batches:
                journal.append(batch)
                bar.update(len(journal.responses) - bar.n)
        return [journal.responses[request.id] for request in requests]


def _fingerprint(engine: Engine, requests: Sequence[Request], sampling: Sampling) -> str:
    """Return 16 hex digits that name this work: all that its texts depend on."""
    described = {"model": engine.model, "engine": engine.describe(), "sampling": sampling.model_dump()}
    asked = [digest_value(request.as_json()) for request in requests]  # all at once are long
    return digest_value({**described, "requests": asked})[:16]


def generate_until(
    engine: Engine,
    asked: dict[str, list[Message]],
    sampling: Sampling,
    stage: str,
    seed: int,
    attempts: int,
    accept: Callable[[str], bool],
    schema: Mapping[str, Any] | None = None,
) -> dict[str, list[Response]]:
    """Ask every prompt until its answer is accepted, `attempts` times at most.

    Args:
        engine: who writes the texts.
        asked: id to messages.
        sampling: how tokens are chosen.
        stage: as for `generate`.
        seed: of the run; a retry samples anew with a seed of its own.
        attempts: at least 1.
        accept: says of a text whether it is of use.
        schema: a JSON schema of what is wanted; an engine may keep the model to it.

    Returns:
        id to its answers in the order of the attempts. None but the last can have been accepted.
    """
    answers: dict[str, list[Response]] = {identity: [] for identity in asked}
    waiting = list(asked)
    for attempt in range(1, attempts + 1):
        if not waiting:
            break
        requests = [Request.make(identity, asked[identity], seed, attempt, schema) for identity in waiting]
        for response in generate(engine, requests, sampling, stage):
            answers[response.id].append(response)
        waiting = [identity for identity in waiting if not accept(answers[identity][-1].text)]
    return answers
