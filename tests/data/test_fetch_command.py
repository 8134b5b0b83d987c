"""The stage fetch as it is run: killed and run again, and what it says of a bad request."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT, run_here
from tests.support.upstreams import CONTENT, section


def command(name: str, out: Path, params: Path) -> list[str]:
    command = [sys.executable, "-m", "stages.fetch", "--name", name, "--out", str(out)]
    return [*command, "--params", str(params)]


def test_killed_process_publishes_nothing_and_the_next_one_begins_again(upstream, tmp_path):
    params, out = tmp_path / "params.yaml", tmp_path / "out" / "thing.json"
    params.write_text(yaml.safe_dump({"fetch": section(upstream)}), encoding="utf-8")
    upstream.slow_chunks = True
    first = subprocess.Popen(command("thing", out, params), cwd=ROOT)
    deadline = time.monotonic() + 30
    while upstream.bytes_served < 150_000:
        assert time.monotonic() < deadline
        assert first.poll() is None
        time.sleep(0.01)
    os.kill(first.pid, signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    assert not out.exists()

    upstream.slow_chunks = False
    second = subprocess.run(command("thing", out, params), cwd=ROOT, capture_output=True, text=True)
    assert second.returncode == 0, second.stderr
    assert out.read_bytes() == CONTENT
    assert list(out.parent.iterdir()) == [out]


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        (
            "serveforemo",
            {},
            "SET=data.serveforemo=PATH, or run without it: SET=data.serveforemo=data/empty.jsonl",
        ),
        ("nothing", {}, "field fetch.files.nothing: unknown; known are serveforemo, thing"),
        ("thing", {"blob": 12}, "field fetch.files.thing.blob: Input should be a valid string, got 12"),
        (
            "thing",
            {"commit": None},
            "thing.commit: Input should be a valid string, got null",
        ),
    ],
)
def test_bad_request_is_one_line(upstream, tmp_path, name, changes, message):
    params, out = tmp_path / "params.yaml", tmp_path / "out" / "thing.json"
    params.write_text(yaml.safe_dump({"fetch": section(upstream, **changes)}), encoding="utf-8")
    done = run_here("fetch", "--name", name, "--out", out, "--params", params, cwd=tmp_path)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert message in line
    assert upstream.paths == []
    assert not out.exists()
