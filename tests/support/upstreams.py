"""A server on loopback that can be told to misbehave, and how the stage fetch is told to ask it."""

import gzip
import hashlib
import http.server
import random
import time

CONTENT = random.Random(0).randbytes(600_000)


def blob_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Upstream(http.server.ThreadingHTTPServer):
    """Serves `content` for every path; the attributes say how it misbehaves."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.says_length = True
        self.statuses: list[int] = []  # answered first, one a request, before any content
        self.cut_after: list[int] = []  # bytes of the body after which a connection is dropped, one a request
        self.slow_chunks = False
        self.paths: list[str] = []
        self.bytes_served = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        pass  # a killed client is part of the tests


class Handler(http.server.BaseHTTPRequestHandler):
    server: Upstream

    def do_GET(self):
        self.server.paths.append(self.path)
        if self.server.statuses:
            self.send_response(self.server.statuses.pop(0))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content = self.server.content
        if "gzip" in self.headers.get("Accept-Encoding", ""):
            content = gzip.compress(content)  # as public servers do; the length is then another
        self.send_response(200)
        if self.server.says_length:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        cut = self.server.cut_after.pop(0) if self.server.cut_after else None
        self.send_body(content[:cut])

    def send_body(self, body: bytes):
        for at in range(0, len(body), 65536):
            self.wfile.write(body[at : at + 65536])
            self.server.bytes_served += len(body[at : at + 65536])
            if self.server.slow_chunks:
                time.sleep(0.15)

    def log_message(self, *args):
        pass


def section(server: Upstream, **spec) -> dict:
    entry = {"repository": "a/b", "commit": "c" * 40, "path": "sub/data #1.json", "blob": blob_id(CONTENT)}
    return {
        "base_url": server.url,
        "timeout_s": 5,
        "retries": 3,
        "backoff_s": 0.01,
        "max_mb": 5,
        "files": {"thing": {**entry, **spec}, "serveforemo": {"repository": None}},
    }
