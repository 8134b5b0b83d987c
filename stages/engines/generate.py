"""Answer a list of requests with any engine, through the journal."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from tqdm import tqdm

from stages.engines.journal import Journal
from stages.engines.request import Engine, Request, Sampling
from stages.records.fingerprint import digest_value
from stages.records.schema import Response

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
    described = {"model": engine.model, "engine": engine.describe(), "sampling": sampling.model_dump()}
    fingerprint = digest_value({**described, "requests": [request.as_json() for request in requests]})[:16]
    with Journal(scratch / stage / fingerprint / "journal.jsonl") as journal:
        done = set(journal.responses)
        bar = tqdm(total=len(requests), initial=len(done), desc=stage, unit="text", disable=None)
        with bar, closing(engine.complete(requests, sampling, done)) as batches:
            for batch in batches:
                journal.append(batch)
                bar.update(len(journal.responses) - bar.n)
        return [journal.responses[request.id] for request in requests]
