"""What an engine is asked: messages, a seed and how to sample."""

import hashlib
from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import Field

from stages.records.schema import Message, Record, Response


class Sampling(Record):
    """How tokens are chosen. `temperature` 0 is greedy; `top_k` 0 and `top_p` 1 switch these off.

    The paper decodes with temperature 0.9, top-p 0.8, top-k 50 and repetition penalty 1.2 (section 3.2).
    """

    temperature: float = Field(ge=0)
    top_p: float = Field(gt=0, le=1)
    top_k: int = Field(ge=0)
    repetition_penalty: float = Field(gt=0)
    max_new_tokens: int = Field(ge=1)


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
    """Anything that writes texts. Which requests share a batch must not change any text."""

    model: str
    """Digest of the policy, or the name under which a server knows the model."""

    def describe(self) -> dict[str, Any]:
        """Return what besides the requests could change a text, for the journal's fingerprint."""
        ...

    def complete(
        self, requests: Sequence[Request], sampling: Sampling, done: Collection[str]
    ) -> Generator[list[Response], None, None]:
        """Yield finished batches until every request not in `done` (ids) is answered.

        The whole list is always given, so that batches are the same however much is done already.
        """
        ...


class LocalEngine(Engine, Protocol):
    """An engine that runs the model itself, so that its work can be cut up and spread over processes.

    The plan follows from the whole list of requests and the engine's settings; what is written of a batch
    follows from the batch, the model and the settings. So it is the same, on a CPU to the byte, whoever
    answers which batch, and whatever was answered before. A batch is what a kill can lose.
    """

    def batches(self, requests: Sequence[Request], sampling: Sampling) -> list[list[Request]]:
        """Return the plan: every request in exactly one batch, those with the longest prompts first.

        Raises:
            InputError: a prompt leaves no room in the window for `max_new_tokens`.
        """
        ...

    def answer(self, batch: Sequence[Request], sampling: Sampling) -> list[Response]:
        """Write one batch of the plan; one response a request, in their order."""
        ...

    def stream(self, request: Request, sampling: Sampling) -> Generator[str, None, None]:
        """Yield the text of one request in pieces, as they are made; no piece ends within a character.

        Put together they are the text that `answer([request])` gives. Closing the generator ends the work.

        Raises:
            InputError: as for `batches`, when the first piece is asked for.
        """
        ...


class Meter(Protocol):
    """What an engine that asks a server tells of every call, so that calls can be counted and stopped."""

    def sending(self, request: Request, sampling: Sampling) -> None:
        """A call is about to be made; raise InputError if it must not be."""
        ...

    def refused(self, request: Request, sampling: Sampling) -> None:
        """The server refused the last call of this request (a 4xx): it wrote nothing that could cost."""
        ...
