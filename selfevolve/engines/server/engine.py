"""An engine that starts a server for the length of a stage: vLLM, SGLang, `llamafactory-cli api` ...

The server is a child process on loopback: started, waited for, and ended with all that it started.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Literal

import psutil
from pydantic import Field

from selfevolve.engines.server.client import Asking, OpenAIEngine
from selfevolve.generation.generate import SCRATCH
from selfevolve.generation.request import Request, Sampling
from selfevolve.policies.merge import merged
from selfevolve.policies.policy import read_policy
from selfevolve.policies.window import Window
from selfevolve.records.schema import NonEmpty, Response
from selfevolve.runtime import process_guard
from selfevolve.runtime.errors import InputError

HOST = "127.0.0.1"
PORTS = 3  # how many are tried where another process takes the one that was free
POLL_S = 0.2
CHECK_S = 5.0
PIECE = 4  # requests of a batch for each that is on its way at once
_ERROR = re.compile(r"\w(Error|Exception)\b")
DEATH_S = 0.5  # from the first sign that a server dies until it listens no more


class Options(Asking):
    """Section `engine` for `kind: server`; `command` and `environment` are as for ChildServer."""

    kind: Literal["server"]
    command: NonEmpty
    environment: dict[str, str]
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


class ChildServer:
    """One server process. `start` gives its URL; `stop` ends it, and so does the end of this process."""

    def __init__(
        self,
        command: str,
        environment: Mapping[str, str],
        names: Mapping[str, str],
        log: Path,
        start_s: float,
    ):
        """Take what to run; it is not started yet.

        Args:
            command: as for a shell, but run by none; {port}, {python} and the keys of `names` are filled in.
            environment: variables besides those of this process, filled in in the same way.
            names: `served`, the model that the server must list, and what else to fill in.
            log: where its output is added.
            start_s: seconds it may take until it answers.

        Raises:
            InputError: a placeholder that is not known, or a command that is no command.
        """
        self._command, self._environment, self._names = command, environment, names
        self._log, self._start_s = log, start_s
        self._process: subprocess.Popen[bytes] | None = None
        self._port, self._began = 0, 0
        self._filled(0)

    @property
    def up(self) -> bool:
        """Whether the server runs and listens. Its guard may live a little longer than it."""
        process = self._process
        return process is not None and process.poll() is None and _listens(process.pid, self._port)

    def start(self) -> str:
        """Start it, wait until it lists its model, and return its URL, such as http://127.0.0.1:40001/v1."""
        for attempt in range(1, PORTS + 1):
            port = free_port()
            command, environment = self._filled(port)
            self._log.parent.mkdir(parents=True, exist_ok=True)
            self._began = self._log.stat().st_size if self._log.exists() else 0
            self._process = process_guard.start(command, self._log, {**os.environ, **environment})
            self._port = port
            try:
                self._wait(port)
                return f"http://{HOST}:{port}/v1"
            except BaseException as error:  # Ctrl-C while it loads, too
                lost_port = self._process.poll() is not None and not is_free(port)
                self.stop()
                if not (isinstance(error, InputError) and lost_port) or attempt == PORTS:
                    raise
            print(f"port {port} was taken by another process: trying another", file=sys.stderr, flush=True)
        raise AssertionError  # the loop returns or raises

    def stop(self) -> None:
        """End the server and all that it started; nothing happens where none runs."""
        process, self._process = self._process, None
        if process is not None:
            process_guard.stop(process)

    def _filled(self, port: int) -> tuple[list[str], dict[str, str]]:
        names = {**self._names, "port": str(port), "python": sys.executable}
        try:
            # Split first: what is filled in may have spaces.
            words = [word.format_map(names) for word in shlex.split(self._command)]
            environment = {key: value.format_map(names) for key, value in self._environment.items()}
        except KeyError as error:
            known = ", ".join(sorted(names))
            raise InputError(f"{{{error.args[0]}}} is none of {known}", field="engine.command") from None
        except (ValueError, IndexError) as error:
            raise InputError(f"cannot be read: {error}", field="engine.command") from None
        if not words:
            raise InputError("is empty", field="engine.command")
        return words, environment

    def _wait(self, port: int) -> None:
        assert self._process is not None
        deadline = time.monotonic() + self._start_s
        while self._process.poll() is None:
            # Whoever answers there must be ours: the port was free, but anybody could have taken it.
            if _listens(self._process.pid, port) and (listed := _models(port)) is not None:
                if self._names["served"] not in listed:
                    message = f"the server lists the models {listed}, not {self._names['served']}"
                    raise InputError(message, field="engine.model")
                return
            if time.monotonic() > deadline:
                raise InputError(f"the server did not answer within {self._start_s:g} s; {self.said()}")
            time.sleep(POLL_S)
        code = self._process.returncode
        raise InputError(f"the server ended with exit code {code} while it started; {self.said()}")

    def said(self) -> str:
        """Return where its log is, and the last error in it since the last start, or else its last line.

        Servers write more after the error that ended them: that workers are being ended, what was leaked.
        """
        with self._log.open("rb") as log:
            log.seek(self._began)
            text = log.read().decode("utf-8", errors="replace")
        lines = [line.strip() for line in text.split("\n") if line.strip()] or ["nothing"]
        errors = [line for line in lines if _ERROR.search(line)]
        return f"its log {self._log} says: {(errors or lines)[-1][:300]}"


def free_port() -> int:
    """Return a port of loopback on which nothing listens."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    """Return whether a server could listen on this port of loopback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _listens(guard: int, port: int) -> bool:
    """Whether a process below the guard listens on the port."""
    try:
        below = psutil.Process(guard).children(recursive=True)
    except psutil.NoSuchProcess:
        return False
    for process in below:
        try:
            connections = process.net_connections("tcp")
        except psutil.Error:  # it has ended, or belongs to somebody else
            continue
        if any(c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in connections):
            return True
    return False


def _models(port: int) -> list[str] | None:
    """Return the models that a server lists; None while it does not answer."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never to loopback
    try:
        with opener.open(f"http://{HOST}:{port}/v1/models", timeout=CHECK_S) as answer:
            return [model["id"] for model in json.load(answer)["data"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None
