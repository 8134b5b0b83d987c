"""An engine that starts a server for the length of a stage: vLLM, SGLang, `llamafactory-cli api` ..."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from stages.engines.child_server import ChildServer
from stages.engines.merge import merged
from stages.engines.openai_engine import OpenAIEngine
from stages.engines.policy import Policy
from stages.engines.request import Request, Sampling
from stages.records.errors import InputError
from stages.records.schema import Response

DEATH_S = 0.5  # from the first sign that a server dies until it listens no more


class ServerEngine:
    """Asks a child process, and starts it again when it dies, `restarts` times in all.

    What was answered before a death has been yielded and stands in the journal; only the rest is asked
    again. The address is no part of what is fingerprinted: it is another one at every start.
    """

    def __init__(self, server: ChildServer, described: Mapping[str, Any], restarts: int, **client: Any):
        """Take a server that has not been started, what can change a text, and OpenAIEngine's arguments."""
        self.model: str = client["model"]
        self._server = server
        self._described = dict(described)
        self._restarts = restarts
        self._options = client
        self._client: OpenAIEngine | None = None

    def describe(self) -> dict[str, Any]:
        """Return the command, the policy, and how requests are made."""
        return {"kind": "server", **self._described}

    def complete(
        self, requests: Sequence[Request], sampling: Sampling, done: Collection[str]
    ) -> Generator[list[Response], None, None]:
        """Yield every answer as soon as it is there.

        Raises:
            InputError: the server cannot be started, died too often, refuses, or gives nothing usable.
        """
        answered = set(done)
        while len(answered.intersection(request.id for request in requests)) < len(requests):
            client = self._asked()
            try:
                with closing(client.complete(requests, sampling, answered)) as batches:
                    for batch in batches:
                        answered.update(response.id for response in batch)
                        yield batch
            except InputError:
                time.sleep(DEATH_S)
                if self._server.up:
                    raise
                self._died()

    def stream(self, request: Request, sampling: Sampling) -> Generator[str, None, None]:
        """Yield the text of one request in pieces; closing the generator ends the request.

        Raises:
            InputError: as for `complete`; a text that has begun is not begun again.
        """
        if self._client is not None and not self._server.up:
            self._died()
        yield from self._asked().stream(request, sampling)

    def close(self) -> None:
        """End the server."""
        self._server.stop()

    def _asked(self) -> OpenAIEngine:
        if self._client is None:
            self._client = OpenAIEngine(base_url=self._server.start(), **self._options)
        return self._client

    def _died(self) -> None:
        """Count a death, so that the next request starts the server again."""
        self._server.stop()  # what it left behind
        self._client = None
        if self._restarts == 0:
            raise InputError("the server died too often; what it answered is kept, run again")
        self._restarts -= 1
        print("the server died: starting it again", file=sys.stderr, flush=True)


@contextmanager
def serving(
    policy: Policy,
    scratch: Path,
    command: str,
    environment: Mapping[str, str],
    model: str,
    start_s: float,
    restarts: int,
    **client: Any,
) -> Iterator[ServerEngine]:
    """Give an engine whose server holds the policy; it is started with the first request and ended here.

    Args:
        policy: what to serve; merged in `scratch` where it has adapters.
        scratch: where work in progress and the server's log lie.
        command: as for ChildServer, with {model} (a folder), {served} (a name), {template} and {dtype}.
        environment: as for ChildServer.
        model: the name under which the server lists the model.
        start_s: seconds until it must answer.
        restarts: how often it may die.
        client: concurrency, timeout_s, retries, extensions and guided of OpenAIEngine.

    Raises:
        InputError: as for `merge` and ChildServer.
    """
    names = {"served": model, "template": policy.backbone.template, "dtype": policy.backbone.dtype}
    described = {"command": command, "environment": dict(environment), "policy": policy.digest}
    described |= {name: client[name] for name in ("extensions", "guided")}
    log = scratch / "servers" / f"{policy.digest[:16]}.log"
    ChildServer(command, environment, {**names, "model": ""}, log, start_s)  # wrong options, before the merge
    with merged(policy, scratch) as folder:
        names["model"] = str(folder.resolve())
        server = ChildServer(command, environment, names, log, start_s)
        # Answers of a child of our own need no key, and none is looked for.
        engine = ServerEngine(server, described, restarts, model=model, key_variable="", **client)
        try:
            yield engine
        finally:
            engine.close()
