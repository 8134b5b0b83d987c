"""Servers on loopback: one that answers as a test tells it to and counts, and LLaMA-Factory's own api."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.conftest import ROOT

Reply = Callable[["Handler"], None]
"""Writes one answer; what comes before the answer (waiting, say) is its own business."""


class ChatServer:
    """`with ChatServer(reply) as server:` answers POSTs on loopback, each in a thread of its own.

    `reply(body, nth)` says how to answer a body that is asked for the nth time (from 1 on). Requests are
    told apart by their seed, which follows from the record's id.
    """

    def __init__(self, reply: Callable[[dict[str, Any], int], Reply]):
        self.reply = reply
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.times: list[float] = []
        self.most_at_once = 0
        self.stopping = threading.Event()
        self._now = 0
        self._lock = threading.Lock()

    def __enter__(self) -> "ChatServer":
        self._http = Loopback(("127.0.0.1", 0), Handler)
        self._http.chat = self  # type: ignore[attr-defined]
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._http.shutdown()
        self._http.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}/v1"

    def asked(self) -> Counter[int]:
        """How often every seed was asked."""
        with self._lock:
            return Counter(body["seed"] for body in self.bodies)

    def handle(self, handler: "Handler") -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["content-length"])))
        with self._lock:
            self.bodies.append(body)
            self.headers.append({key.lower(): value for key, value in handler.headers.items()})
            self.paths.append(handler.path)
            self.times.append(time.monotonic())
            nth = sum(other["seed"] == body["seed"] for other in self.bodies)
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        try:
            self.reply(body, nth)(handler)
        except OSError:
            pass  # the client went away, which is what some tests are about
        finally:
            with self._lock:
                self._now -= 1


class Loopback(ThreadingHTTPServer):
    """Takes as many connections at once as any test opens; of more than 5, its default, some come late."""

    daemon_threads = True
    request_queue_size = 64


class Handler(BaseHTTPRequestHandler):
    """Passes every POST to the ChatServer."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.server.chat.handle(self)  # type: ignore[attr-defined]

    def send(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        sent = {"Content-Type": "application/json", "Content-Length": str(len(content)), **(headers or {})}
        for key, value in sent.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def completion(text: str | None = "I hear you.", reason: str | None = "stop") -> bytes:
    """The body of a chat completion, as servers send it."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": reason, "logprobs": None}
    return json.dumps({"id": "c", "object": "chat.completion", "created": 1, "choices": [choice]}).encode()


def answers(content: bytes | None = None, status: int = 200, after_s: float = 0, **headers: str) -> Reply:
    """Answer with a body (a good completion by default), a status and headers, after some seconds."""
    named = {key.replace("_", "-"): value for key, value in headers.items()}

    def reply(handler: Handler) -> None:
        handler.server.chat.stopping.wait(after_s)  # type: ignore[attr-defined]
        handler.send(status, completion() if content is None else content, named)

    return reply


def hangs_up(handler: Handler) -> None:
    """Begin an answer and close the connection in the middle of its body."""
    content = completion()
    handler.send(200, content[:20], {"Content-Length": str(len(content))})
    handler.close_connection = True


def trickles(handler: Handler) -> None:
    """Send a byte every tenth of a second, so that no single read ever waits long."""
    handler.send(200, b" ", {"Content-Length": "1000"})
    handler.close_connection = True
    for _ in range(100):
        if handler.server.chat.stopping.wait(0.1):  # type: ignore[attr-defined]
            return
        handler.wfile.write(b" ")


def passes_on(url: str) -> Callable[[dict[str, Any], int], Reply]:
    """Ask another server the same, and give its answer."""

    def choose(body: dict[str, Any], nth: int) -> Reply:
        def reply(handler: Handler) -> None:
            request = urllib.request.Request(
                f"{url}/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
            )
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    handler.send(answer.status, answer.read())
            except urllib.error.HTTPError as error:
                handler.send(error.code, error.read())

        return reply

    return choose


@contextmanager
def llamafactory_api(model: Path, template: str, log: Path) -> Iterator[str]:
    """Run `llamafactory-cli api` on loopback; gives its URL. Fails when it is not up in two minutes."""
    port = free_port()
    command = [sys.executable, "-m", "llamafactory.cli", "api", "--model_name_or_path", str(model)]
    command += ["--template", template, "--infer_backend", "huggingface"]
    environment = {**os.environ, "API_HOST": "127.0.0.1", "API_PORT": str(port), "API_VERBOSE": "0"}
    url = f"http://127.0.0.1:{port}/v1"
    with log.open("wb") as out:
        # A session of its own, so that whatever it starts can be found when it is stopped.
        child = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=out, stderr=out, start_new_session=True
        )
    try:
        wait_until_up(f"{url}/models", child, log)
        yield url
    finally:
        child.terminate()
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        left_over = group_lives(child.pid)
        if left_over:
            os.killpg(child.pid, signal.SIGKILL)
    assert not left_over, "the server left a process behind"


def wait_until_up(url: str, child: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and child.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    said = log.read_text(encoding="utf-8", errors="replace")[-2000:]
    raise AssertionError(f"the server is not up (exit code {child.poll()}): {said}")


def group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
