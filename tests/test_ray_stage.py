"""A stage with a Ray of its own: the bytes of one process, and nothing of Ray left behind."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from stages import respond
from tests.conftest import read_lines, run_stage, stage_command, stage_environment

WORKER = {"kind": "transformers", "batch_tokens": 900}
RAY = {"kind": "ray", "workers": 2, "cpus": 1.0, "gpus": 0.0, "worker": WORKER}


def test_two_workers_interrupted_and_killed_and_started_again_end_with_the_bytes_of_one_process(
    backbone: Path,
    contexts_file: Path,
    params_file: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    alone, spread = tmp_path / "alone", tmp_path / "spread"
    for folder in (alone, spread):
        folder.mkdir()
    arguments = ["--policy", str(backbone), "--contexts", str(contexts_file), "--prompt", "plain"]
    arguments += ["--out", "out.jsonl", "--metrics", "m.json", "--params"]
    changes = {"respond.sampling.max_new_tokens": 100}
    monkeypatch.chdir(alone)
    respond.main([*arguments, str(params_file({**changes, "engine": WORKER}))])

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_worker_niceness", "0")
    params = params_file({**changes, "engine": RAY})
    for ending, lines, code in ((signal.SIGINT, 1, 130), (signal.SIGKILL, 12, -9)):
        child = subprocess.Popen(
            stage_command("respond", *arguments, params),
            cwd=spread,
            env=stage_environment(),
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        wait_for_lines(spread, lines, child)
        of_ray = psutil.Process(child.pid).children(recursive=True)
        assert any("raylet" in process.name() for process in of_ray)
        assert all(address.startswith(("127.", "::ffff:127.")) for address in listening(of_ray))
        # Ray's two agents look for its head for a minute when it was killed: see docs/engines.md.
        watched = [process for process in of_ray if ending == signal.SIGINT or "Agent" not in process.name()]
        os.kill(child.pid, ending)
        assert child.wait(60) == code
        assert psutil.wait_procs(watched, 30)[1] == []
        assert not (spread / "out.jsonl").exists()
    done = run_stage("respond", *arguments, params, cwd=spread)
    assert done.returncode == 0, done.stderr
    assert (spread / "out.jsonl").read_bytes() == (alone / "out.jsonl").read_bytes()
    assert (spread / "m.json").read_bytes() == (alone / "m.json").read_bytes()
    (journal,) = spread.glob(".scratch/respond/*/journal.jsonl")
    assert journal.parent.name in os.listdir(alone / ".scratch/respond")
    assert len({line["id"] for line in read_lines(journal)}) == len(read_lines(journal)) == 40


def listening(processes: list[psutil.Process]) -> list[str]:
    found = []
    for process in processes:
        try:
            connections = process.net_connections("tcp")
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        found += [c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN]
    assert found
    return found


def wait_for_lines(folder: Path, count: int, child: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and child.poll() is None:
        for journal in folder.glob(".scratch/respond/*/journal.jsonl"):
            if journal.read_bytes().count(b"\n") >= count:
                return
        time.sleep(0.01)
    child.kill()
    raise AssertionError(f"no {count} lines in a journal: {child.communicate()[1]!r}")
