"""What an engine is asked: messages, a seed and how to sample."""

import hashlib
from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import Field

from selfevolve.records.schema import Message, Record, Response
from selfevolve.runtime.parameters import Params


class Sampling(Record):
    """How tokens are chosen. `temperature` 0 is greedy; `top_k` 0 and `top_p` 1 switch these off.

    The paper decodes with temperature 0.9, top-p 0.8, top-k 50 and repetition penalty 1.2 (section 3.2).
    """

    temperature: float = Field(ge=0)
    top_p: float = Field(gt=0, le=1)
    top_k: int = Field(ge=0)
    repetition_penalty: float = Field(gt=0)
    max_new_tokens: int = Field(ge=1)


class ResponseParams(Params):
    """Sections `respond` and `refine` of params.yaml: how a policy is asked, and up to how often."""

    seed: int
    attempts: int = Field(ge=1)
    sampling: Sampling


@dataclass(frozen=True, slots=True)
class Request:
    """One text to write. `attempt` counts from 1; a retry is a new request with a seed of its own.

    `schema` is a JSON schema that the text should follow: engines that can keep a model to it may.
    """

    id: str
    messages: tuple[Message, ...]
    seed: int
    attempt: int = 1
    schema: Mapping[str, Any] | None = None

    @classmethod
    def make(
        cls,
        identity: str,
        messages: Sequence[Message],
        seed: int,
        attempt: int = 1,
        schema: Mapping[str, Any] | None = None,
    ) -> "Request":
        """Make a request whose seed follows from (seed of the run, id, attempt) and nothing else."""
        return cls(identity, tuple(messages), derive_seed(seed, identity, attempt), attempt, schema)

    def as_json(self) -> dict[str, Any]:
        """Return all that the text depends on, for fingerprints."""
        return {
            "id": self.id,
            "messages": [message.model_dump() for message in self.messages],
            "seed": self.seed,
            "attempt": self.attempt,
            **({"schema": self.schema} if self.schema is not None else {}),
        }


def derive_seed(seed: int, identity: str, attempt: int) -> int:
    """Return a seed in 0 .. 2^31 - 1 (what servers accept) for one attempt at one request."""
    digest = hashlib.sha256(f"{seed}\0{identity}\0{attempt}".encode()).digest()
    return int.from_bytes(digest[:4], "big") & 0x7FFFFFFF


class Engine(Protocol):
    """Anything that writes texts: a plan cuts requests into batches, and batches are answered.

    The plan follows from the whole list of requests and the engine's settings. What is written of a batch
    follows from the batch, the model and the settings. So it is the same, with the local engine on a CPU to
    the byte, whoever answers which batch and whatever was answered before. A batch is what a kill can lose.
    """

    model: str
    """Digest of the policy, or the name under which a server knows the model."""

    settings: dict[str, Any]
    """What besides model and requests could change a text, for the journal's fingerprint."""

    def plan(
        self, requests: Sequence[Request], sampling: Sampling, done: Collection[str] = ()
    ) -> list[list[Request]]:
        """Return the batches that are not wholly in `done` (ids); InputError if a request cannot be answered.

        The whole list is always given, so that batches are the same however much is done already.
        """
        ...

    def answer(
        self, batches: Sequence[Sequence[Request]], sampling: Sampling
    ) -> Generator[list[Response], None, None]:
        """Yield responses as they are finished, until every request of the batches is answered."""
        ...

    def stream(self, request: Request, sampling: Sampling) -> Generator[str, None, None]:
        """Yield the text of one request in pieces, as they are made; no piece ends within a character.

        Closing the generator ends the work.
        """
        ...


def complete(
    engine: Engine, requests: Sequence[Request], sampling: Sampling, done: Collection[str] = ()
) -> Generator[list[Response], None, None]:
    """Yield finished responses until every request that is not in `done` (ids) is answered."""
    return engine.answer(engine.plan(requests, sampling, done), sampling)


class Meter(Protocol):
    """Is told by an engine that asks a server of every call, so that calls can be counted and stopped."""

    def sending(self, request: Request, sampling: Sampling) -> None:
        """Note that a call is about to be made; raise InputError if it must not be."""
        ...

    def refused(self, request: Request, sampling: Sampling) -> None:
        """Note that the server refused the last call of this request (a 4xx), so that it cost nothing."""
        ...

    def gave_up(self, request: Request, sampling: Sampling, kind: str, text: str) -> None:
        """Note that this request gets no answer in this run.

        `kind` is `timeout`, `connection`, `unusable_answer`, or `http_` with the status; `text` is what the
        server sent that was no answer or, where it sent nothing, what happened in words.
        """
        ...
