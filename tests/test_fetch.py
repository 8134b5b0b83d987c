"""`stages.fetch` against a real HTTP server on loopback that can be told to misbehave."""

import gzip
import hashlib
import http.server
import io
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest
import yaml

from stages.fetch import fetch
from stages.records.errors import InputError
from stages.upstream.archive import extract_member
from stages.upstream.download import git_blob_id

ROOT = Path(__file__).resolve().parents[1]
CONTENT = random.Random(0).randbytes(600_000)


def blob_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Upstream(http.server.ThreadingHTTPServer):
    """Serves `content` for every path; the attributes say how it misbehaves."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.ranges = True
        self.says_length = True
        self.wrong_range = False
        self.statuses: list[int] = []  # answered first, one a request, before any content
        self.cut_after: list[int] = []  # bytes of the body after which a connection is dropped, one a request
        self.slow_chunks = False
        self.requests: list[str | None] = []  # the Range header of every request
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
        asked = self.headers.get("Range")
        self.server.requests.append(asked)
        self.server.paths.append(self.path)
        if self.server.statuses:
            self.send_response(self.server.statuses.pop(0))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content, start = self.server.content, 0
        if "gzip" in self.headers.get("Accept-Encoding", ""):
            content = gzip.compress(content)  # as public servers do; ranges then count other bytes
        if asked and self.server.ranges:
            start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
            if start >= len(content):
                self.send_error(416)
                return
            self.send_response(206)
            shown = start + 1 if self.server.wrong_range else start
            self.send_header("Content-Range", f"bytes {shown}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        if self.server.says_length:
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        cut = self.server.cut_after.pop(0) if self.server.cut_after else None
        self.send_body(content[start:] if cut is None else content[start : start + cut])

    def send_body(self, body: bytes):
        for at in range(0, len(body), 65536):
            self.wfile.write(body[at : at + 65536])
            self.server.bytes_served += len(body[at : at + 65536])
            if self.server.slow_chunks:
                time.sleep(0.15)

    def log_message(self, *args):
        pass


@pytest.fixture
def upstream():
    server = Upstream()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


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


@pytest.fixture
def get(upstream, tmp_path):
    """Run `fetch` for the name "thing" with this section changed as given; return the output path."""

    def run(changes: dict | None = None, **spec) -> Path:
        out = tmp_path / "out" / "thing.json"
        fetch("thing", out, {**section(upstream, **spec), **(changes or {})}, tmp_path / "scratch")
        return out

    return run


def partial_files(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "scratch").rglob("*") if path.is_file()]


def test_whole_file_is_published_and_nothing_is_left(get, upstream, tmp_path):
    out = get()
    assert out.read_bytes() == CONTENT
    assert upstream.requests == [None]
    assert upstream.paths == [f"/a/b/{'c' * 40}/sub/data%20%231.json"]
    assert partial_files(tmp_path) == []
    assert list(out.parent.iterdir()) == [out]


def test_blob_id_is_the_one_of_git(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    git = subprocess.run(["git", "hash-object", path], capture_output=True, text=True, check=True)
    assert git_blob_id(path) == git.stdout.strip()


def test_dropped_connections_are_continued_where_they_broke(get, upstream):
    upstream.cut_after = [200_000, 100_000]
    assert get().read_bytes() == CONTENT
    assert upstream.requests[0] is None
    assert all(asked and asked != "bytes=0-" for asked in upstream.requests[1:])
    assert len(upstream.requests) == 3
    assert upstream.bytes_served < len(CONTENT) + 2 * 65536


def test_server_without_ranges_starts_again_cleanly(get, upstream):
    upstream.cut_after, upstream.ranges = [200_000], False
    assert get().read_bytes() == CONTENT
    assert len(upstream.requests) == 2
    assert upstream.bytes_served == len(CONTENT) + 200_000


def test_answer_to_another_range_is_not_trusted(get, upstream):
    upstream.cut_after, upstream.wrong_range = [200_000], True
    assert get().read_bytes() == CONTENT
    assert [asked is None for asked in upstream.requests] == [True, False, True]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_passing_server_errors_are_retried(get, upstream, status):
    upstream.statuses = [status, status]
    assert get().read_bytes() == CONTENT
    assert len(upstream.requests) == 3


def test_lasting_failure_ends_after_the_tries_and_keeps_what_arrived(get, upstream, tmp_path):
    upstream.cut_after, upstream.statuses = [200_000], []
    with pytest.raises(InputError, match=r"not downloaded after 1 tries.*run the same command"):
        get({"retries": 0})
    [partial] = partial_files(tmp_path)
    assert CONTENT.startswith(partial.read_bytes())
    assert partial.stat().st_size > 100_000
    assert get().read_bytes() == CONTENT
    assert upstream.requests[1] == f"bytes={partial_size(upstream)}-"


def partial_size(upstream: Upstream) -> int:
    return int(upstream.requests[1].removeprefix("bytes=").removesuffix("-"))


def test_missing_file_is_refused_at_once(get, upstream, tmp_path):
    upstream.statuses = [404]
    with pytest.raises(InputError, match="HTTP 404"):
        get()
    assert len(upstream.requests) == 1
    assert not (tmp_path / "out" / "thing.json").exists()


def test_wrong_content_names_both_digests_and_removes_the_partial_file(get, tmp_path):
    with pytest.raises(InputError, match=f"blob id {blob_id(CONTENT)}, expected {'0' * 40}"):
        get(blob="0" * 40)
    assert partial_files(tmp_path) == []
    assert not (tmp_path / "out").exists()


def test_stale_partial_file_costs_a_try_not_the_run(get, upstream, tmp_path):
    stale = tmp_path / "scratch/fetch/thing" / blob_id(CONTENT) / "partial"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"x" * (len(CONTENT) + 1))
    assert get().read_bytes() == CONTENT
    assert len(upstream.requests) == 2


def test_whole_partial_file_needs_no_request(get, upstream, tmp_path):
    whole = tmp_path / "scratch/fetch/thing" / blob_id(CONTENT) / "partial"
    whole.parent.mkdir(parents=True)
    whole.write_bytes(CONTENT)
    assert get().read_bytes() == CONTENT
    assert upstream.requests == []


def test_file_that_says_it_is_too_large_is_not_even_begun(get, tmp_path):
    with pytest.raises(InputError, match="600000 bytes, more than the limit of 500000"):
        get({"max_mb": 0.5})
    assert partial_files(tmp_path) == []


def test_file_that_turns_out_too_large_is_broken_off(get, upstream, tmp_path):
    upstream.says_length = False
    with pytest.raises(InputError, match="more than the limit of 500000 bytes"):
        get({"max_mb": 0.5})
    assert not (tmp_path / "out").exists()


def test_cut_body_of_unsaid_length_is_found_out(get, upstream, tmp_path):
    upstream.says_length, upstream.cut_after = False, [200_000]
    with pytest.raises(InputError, match=f"blob id {blob_id(CONTENT[:200_000])}, expected"):
        get()
    assert partial_files(tmp_path) == []


def test_existing_output_survives_a_failure(get, upstream, tmp_path):
    get()
    upstream.content = b"something else"
    with pytest.raises(InputError, match="expected"):
        get()
    assert (tmp_path / "out" / "thing.json").read_bytes() == CONTENT


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "members",
    [
        {"ExTES.json": b"[1]", "README.md": b"no"},
        {"folder/ExTES.json": b"[1]", "other.json": b"no", "__MACOSX/folder/ExTES.json": b"no"},
        {"folder/renamed.json": b"[1]", "README.md": b"no"},
        {"../../escaped/ExTES.json": b"[1]"},
    ],
)
def test_member_of_a_zip(get, upstream, tmp_path, members):
    upstream.content = zipped(members)
    out = get(blob=blob_id(upstream.content), member="ExTES.json")
    assert out.read_bytes() == b"[1]"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [out]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"README.md": b"no"}, "no file ExTES.json"),
        ({"a/one.json": b"1", "b/two.json": b"2"}, "several files fit ExTES.json: a/one.json, b/two.json"),
    ],
)
def test_zip_without_one_clear_member(get, upstream, tmp_path, members, message):
    upstream.content = zipped(members)
    with pytest.raises(InputError, match=message):
        get(blob=blob_id(upstream.content), member="ExTES.json")
    assert list((tmp_path / "out").iterdir()) == []


def test_zip_bomb_and_broken_zip(tmp_path):
    archive, out = tmp_path / "a.zip", tmp_path / "out"
    archive.write_bytes(zipped({"ExTES.json": bytes(1_000_001)}))
    with pytest.raises(InputError, match="unpacks to more than 1000000"):
        extract_member(archive, "ExTES.json", out, max_bytes=1_000_000)
    for broken in (b"not a zip", zipped({"ExTES.json": CONTENT})[:-500]):
        archive.write_bytes(broken)
        with pytest.raises(InputError, match="not a zip archive"):
            extract_member(archive, "ExTES.json", out, max_bytes=1_000_000)


def command(name: str, out: Path, params: Path, tmp_path: Path) -> list[str]:
    scratch = str(tmp_path / "scratch")
    command = [sys.executable, "-m", "stages.fetch", "--name", name, "--out", str(out)]
    return [*command, "--params", str(params), "--scratch", scratch]


def test_killed_process_is_continued_by_the_next(upstream, tmp_path):
    params, out = tmp_path / "params.yaml", tmp_path / "out" / "thing.json"
    params.write_text(yaml.safe_dump({"fetch": section(upstream)}), encoding="utf-8")
    upstream.slow_chunks = True
    first = subprocess.Popen(command("thing", out, params, tmp_path), cwd=ROOT)
    deadline = time.monotonic() + 30
    while not any(path.stat().st_size > 150_000 for path in partial_files(tmp_path)):
        assert time.monotonic() < deadline
        assert first.poll() is None
        time.sleep(0.01)
    os.kill(first.pid, signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    assert not out.exists()
    [partial] = partial_files(tmp_path)
    kept = partial.stat().st_size
    assert 0 < kept < len(CONTENT)

    upstream.slow_chunks = False
    time.sleep(0.5)  # until the server has noticed that its first client is gone
    served_before = upstream.bytes_served
    second = subprocess.run(command("thing", out, params, tmp_path), cwd=ROOT, capture_output=True, text=True)
    assert second.returncode == 0, second.stderr
    assert out.read_bytes() == CONTENT
    assert upstream.requests == [None, f"bytes={kept}-"]
    assert upstream.bytes_served - served_before == len(CONTENT) - kept


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        (
            "serveforemo",
            {},
            "SET=data.serveforemo=PATH, or run without it: SET=data.serveforemo=data/empty.jsonl",
        ),
        ("nothing", {}, "field fetch.files.nothing: unknown; known are serveforemo, thing"),
        ("thing", {"blob": 12}, "field fetch.files.thing.blob: missing or not a string"),
        ("thing", {"commit": None}, "field fetch.files.thing.commit: missing"),
    ],
)
def test_bad_request_is_one_line(upstream, tmp_path, name, changes, message):
    params, out = tmp_path / "params.yaml", tmp_path / "out" / "thing.json"
    params.write_text(yaml.safe_dump({"fetch": section(upstream, **changes)}), encoding="utf-8")
    done = subprocess.run(command(name, out, params, tmp_path), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert message in line
    assert upstream.requests == []
    assert not out.exists()


def test_unreachable_server(upstream, tmp_path):
    dead = {**section(upstream), "base_url": "http://127.0.0.1:9", "retries": 1}
    with pytest.raises(InputError, match="not downloaded after 2 tries: ConnectError"):
        fetch("thing", tmp_path / "out.json", dead, tmp_path / "scratch")
