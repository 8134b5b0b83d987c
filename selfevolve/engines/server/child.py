"""A server as a child process on loopback: started, waited for, and ended with all that it started."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import psutil

from selfevolve.runtime import process_guard
from selfevolve.runtime.errors import InputError

HOST = "127.0.0.1"
PORTS = 3  # how many are tried where another process takes the one that was free
POLL_S = 0.2
CHECK_S = 5.0
LEAST_ROOM = 4096  # bytes: on a disk with less no file grows
_ERROR = re.compile(r"\w(Error|Exception)\b")
_MILDER = re.compile(r"\b(DEBUG|INFO|WARNING)\b")  # such a line only warns of an error, or tells of one


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
            try:
                self._log.parent.mkdir(parents=True, exist_ok=True)
                self._log.touch()
            except OSError as error:
                raise InputError(f"cannot be written: {error.strerror}", file=self._log) from None
            self._began = self._log.stat().st_size
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
        Some end because their log cannot be written, which it then cannot say.
        """
        with self._log.open("rb") as log:
            log.seek(self._began)
            text = log.read().decode("utf-8", errors="replace")
        lines = [line.strip() for line in text.split("\n") if line.strip()] or ["nothing"]
        errors = [line for line in lines if _ERROR.search(line) and not _MILDER.search(line)]
        full = shutil.disk_usage(self._log.parent).free < LEAST_ROOM
        where = f"its log {self._log}{', on a disk that is full,' if full else ''}"
        return f"{where} says: {(errors or lines)[-1][:300]}"


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
