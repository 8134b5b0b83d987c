"""The stage fetch as it is run: killed and run again, and what it says of a bad request."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT
from tests.upstreams import CONTENT, partial_files, section


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
