"""An engine that starts a server for the length of a stage: vLLM, SGLang, `llamafactory-cli api` ...

`child.py` starts and ends the process; this file asks it, and has it started again when it dies.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from selfevolve.engines.server.child import ChildServer
from selfevolve.engines.server.client import Asking, OpenAIEngine
from selfevolve.generation.generate import SCRATCH
from selfevolve.generation.request import Request, Sampling
from selfevolve.policies.merge import merged
from selfevolve.policies.policy import read_policy
from selfevolve.policies.window import Window
from selfevolve.records.schema import NonEmpty, Response
from selfevolve.runtime.errors import InputError

PIECE = 4  # requests of a batch for each that is on its way at once
DEATH_S = 0.5  # from the first sign that a server dies until it listens no more


def _text(value: object) -> object:
    """Let a number stand for its digits: SET="engine.environment.NAME=8" cannot give a text of digits."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


class Options(Asking):
    """Section `engine` for `kind: server`; `command` and `environment` are as for ChildServer."""

    kind: Literal["server"]
    command: NonEmpty
    environment: dict[str, Annotated[str, BeforeValidator(_text)]]
    model: NonEmpty
    """The name under which the server lists the model; `{policy}` becomes the name of the policy's folder."""
    start_s: float = Field(gt=0)
    """Seconds until the server must answer."""
    restarts: int = Field(ge=0)
    """How often the server may die; not twice in a row without an answer between."""


@contextmanager
def open(policy: Path, options: Options) -> Iterator[tuple[ServerEngine, Window]]:
    """Give an engine whose server holds the policy, merged where it has adapters, and the policy's window.

    The server starts with the first request and ends with the block.
    """
    chain = read_policy(policy)
    served = options.model.replace("{policy}", policy.name)
    backbone = chain.backbone
    names = {"served": served, "template": backbone.template, "dtype": backbone.dtype}
    names["window"] = str(backbone.window)
    log = SCRATCH / "servers" / f"{chain.digest[:16]}.log"
    settings = {"kind": "server", "policy": chain.digest}
    settings |= options.model_dump(include={"command", "environment", "extensions", "guided"})

    def server(folder: str) -> ChildServer:
        filled = {**names, "model": folder}
        return ChildServer(options.command, options.environment, filled, log, options.start_s)

    server("")  # wrong options are found before the merge
    with (
        merged(chain, SCRATCH) as folder,
        closing(ServerEngine(server(str(folder.resolve())), served, settings, options)) as engine,
    ):
        yield engine, Window.of(chain)


class ServerEngine:
    """Asks a child process, and starts it again when it dies, `restarts` times in all.

    What was answered before a death has been yielded and stands in the journal; only the rest is asked
    again. One that dies twice in a row without an answer would die of the same request again and again: it is
    not started a third time. The address is not among the settings: it is another one at every start.
    """

    def __init__(self, server: ChildServer, model: str, settings: dict[str, Any], options: Options):
        """Take a server that has not been started, the model it will list, and what can change a text."""
        self.model, self.settings = model, settings
        self._server, self._options = server, options
        self._restarts, self._fruitless = options.restarts, 0  # deaths in a row without an answer between
        self._client: OpenAIEngine | None = None

    def plan(
        self, requests: Sequence[Request], sampling: Sampling, done: Collection[str] = ()
    ) -> list[list[Request]]:
        """Return the requests that are not done, in batches that keep a server busy; they change no text."""
        waiting = [request for request in requests if request.id not in done]
        size = PIECE * self._options.concurrency
        return [waiting[first : first + size] for first in range(0, len(waiting), size)]

    def answer(
        self, batches: Sequence[Sequence[Request]], sampling: Sampling
    ) -> Generator[list[Response], None, None]:
        """Yield every answer as soon as it is there; raises InputError also if the server died too often."""
        waiting = {request.id: request for batch in batches for request in batch}
        while waiting:
            client = self._connected()
            try:
                with closing(client.answer([list(waiting.values())], sampling)) as answers:
                    for responses in answers:
                        for response in responses:
                            del waiting[response.id]
                        self._fruitless = 0
                        yield responses
            except InputError:
                time.sleep(DEATH_S)
                if self._server.up:
                    raise
                self._count_death()

    def stream(self, request: Request, sampling: Sampling) -> Generator[str, None, None]:
        """Yield the text of one request in pieces; a text that has begun is not begun again."""
        if self._client is not None and not self._server.up:
            self._count_death()
        for piece in self._connected().stream(request, sampling):
            self._fruitless = 0
            yield piece

    def close(self) -> None:
        """End the server."""
        self._server.stop()

    def _connected(self) -> OpenAIEngine:
        if self._client is None:  # a child of our own wants no key, and none is looked for
            self._client = OpenAIEngine(self._server.start(), self.model, self._options)
        return self._client

    def _count_death(self) -> None:
        """Let the next request start the server again, if it has not died too often."""
        self._server.stop()  # what it left behind
        self._client = None
        self._fruitless += 1
        if self._restarts == 0 or self._fruitless > 1:
            often = "too often" if self._fruitless <= 1 else "twice without an answer between"
            kept = "what it answered is kept, run again"
            raise InputError(f"the server died {often}; {kept}; {self._server.said()}")
        self._restarts -= 1
        print(f"the server died: starting it again; {self._server.said()}", file=sys.stderr, flush=True)
