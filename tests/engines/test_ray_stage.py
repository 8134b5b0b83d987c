"""A stage with a Ray of its own: the bytes of one process, and nothing of Ray left behind."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from stages import respond
from tests.conftest import read_lines, stage_command, stage_environment

WORKER = {"kind": "transformers", "code": "selfevolve/engines/local", "batch_tokens": 900}
RAY = {"kind": "ray", "code": "selfevolve/engines", "workers": 2, "cpus": 1.0, "gpus": 0.0, "worker": WORKER}


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder with a short path, as Ray's sockets need it, for what a stage keeps outside its own."""
    with tempfile.TemporaryDirectory(prefix="t", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture
def child_environment(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of a stage that starts a Ray of its own."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return {**stage_environment(), "TMPDIR": str(temporary)}


def test_two_workers_killed_in_the_middle_and_started_again_end_with_the_bytes_of_one_process(
    backbone: Path,
    contexts_file: Path,
    params_file: Callable[..., Path],
    tmp_path: Path,
    child_environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
):
    alone, spread = tmp_path / "alone", tmp_path / "spread"
    alone.mkdir(), spread.mkdir()
    arguments = ["--policy", str(backbone), "--contexts", str(contexts_file), "--prompt", "plain"]
    arguments += ["--out", "out.jsonl", "--metrics", "m.json", "--params"]
    changes = {"respond.sampling.max_new_tokens": 100}
    monkeypatch.chdir(alone)
    respond.main([*arguments, str(params_file({**changes, "engine": WORKER}))])

    command = stage_command("respond", *arguments, params_file({**changes, "engine": RAY}))
    child = subprocess.Popen(command, cwd=spread, env=child_environment, stderr=subprocess.PIPE)
    wait_for_lines(spread, 5, child)
    of_ray = psutil.Process(child.pid).children(recursive=True)
    assert sum(process.name().startswith("ray::Worker") for process in of_ray) >= 1
    child.kill()
    child.communicate()
    # Ray's two agents look for its head for a minute before they go: see docs/engines.md.
    watched = [process for process in of_ray if "Agent" not in process.name()]
    assert psutil.wait_procs(watched, 30)[1] == []
    assert not (spread / "out.jsonl").exists()
    done = subprocess.run(command, cwd=spread, env=child_environment, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert (spread / "out.jsonl").read_bytes() == (alone / "out.jsonl").read_bytes()
    assert (spread / "m.json").read_bytes() == (alone / "m.json").read_bytes()
    (journal,) = spread.glob(".scratch/respond/*/journal.jsonl")
    assert journal.parent.name in os.listdir(alone / ".scratch/respond")
    assert len({line["id"] for line in read_lines(journal)}) == len(read_lines(journal)) == 40


def test_a_ray_of_its_own_listens_on_loopback_alone_and_is_gone_after_ctrl_c(
    temporary: Path, child_environment: dict[str, str]
):
    script = "import time; from selfevolve.engines.ray.cluster import connected\n"
    script += "with connected(1, 1.0, 0.0): print('up', flush=True), time.sleep(600)"
    child = subprocess.Popen(
        [sys.executable, "-c", script],
        env=child_environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # as in a terminal: what runs in a shell's background does not hear of Ctrl-C
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert child.stdout.read(2) == b"up", child.communicate()[1]
    of_ray = psutil.Process(child.pid).children(recursive=True)
    assert "raylet" in [process.name() for process in of_ray]
    assert all(address.startswith(("127.", "::ffff:127.")) for address in listening(of_ray))
    assert list(temporary.glob("ray-*"))
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=60)
    assert psutil.wait_procs(of_ray, 30)[1] == []
    assert not list(temporary.glob("ray-*"))


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
