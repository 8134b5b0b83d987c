"""The server engine against small servers: started, lost, restarted, ended with all they started."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from selfevolve.engines.server import child
from selfevolve.engines.server.engine import ServerEngine
from selfevolve.generation.engines import open_engine
from selfevolve.generation.generate import generate
from selfevolve.generation.request import Request, complete
from selfevolve.records.schema import Message
from selfevolve.runtime.errors import InputError
from tests.conftest import ROOT
from tests.engines.test_engines import SAMPLING

REQUESTS = [Request.make(f"d{n}", [Message(role="user", content=f"Hello {n}.")], 1) for n in range(9)]
SCRIPT = ROOT / "tests" / "support" / "child_chat.py"
OPTIONS: dict[str, Any] = {
    "kind": "server",
    "code": "selfevolve/engines/server",
    "environment": {},
    "model": "m1",
    "start_s": 30.0,
    "restarts": 1,
    "concurrency": 2,
    "timeout_s": 20.0,
    "retries": 0,
    "extensions": True,
    "guided": False,
}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@contextmanager
def engine_of(backbone: Path, *faults: str, **options: Any) -> Iterator[ServerEngine]:
    command = " ".join(["{python}", str(SCRIPT), "{port}", "{served}", *faults])
    with open_engine({"command": command, **OPTIONS, **options}, backbone) as (engine, _):
        yield engine


def mine(folder: Path) -> list[psutil.Process]:
    """The processes that work in a folder, but for this one."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and Path(process.cwd()) == folder:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return [process for process in found if process.status() != psutil.STATUS_ZOMBIE]


def wait_until_alone(folder: Path) -> None:
    deadline = time.monotonic() + 20
    while mine(folder):
        assert time.monotonic() < deadline, mine(folder)
        time.sleep(0.1)


def test_every_request_is_answered_with_its_own_seed_and_the_server_ends(backbone: Path, tmp_path: Path):
    with engine_of(backbone, "family") as engine:
        responses = generate(engine, REQUESTS, SAMPLING, "respond")
        names = {name for process in mine(tmp_path) for name in process.cmdline()}
        assert "sleep" in names
        assert not any(c.laddr.ip != "127.0.0.1" for p in mine(tmp_path) for c in p.net_connections())
    assert [response.text for response in responses] == [f"seed {request.seed}" for request in REQUESTS]
    assert {response.model for response in responses} == {"m1"}
    wait_until_alone(tmp_path)


def test_no_server_is_started_where_all_is_answered(backbone: Path, tmp_path: Path):
    with engine_of(backbone) as engine:
        generate(engine, REQUESTS, SAMPLING, "respond")
    log = next(Path(".scratch/servers").iterdir())
    log.unlink()
    with engine_of(backbone) as engine:
        assert len(generate(engine, REQUESTS, SAMPLING, "respond")) == len(REQUESTS)
    assert not log.exists()


def test_one_that_dies_is_started_again_and_asked_only_for_the_rest(
    backbone: Path, capsys: pytest.CaptureFixture[str]
):
    with engine_of(backbone, "dies:5:dead") as engine:
        seen: list[str] = []
        with closing(complete(engine, REQUESTS, SAMPLING, {"d8"})) as batches:
            for batch in batches:
                seen += [response.id for response in batch]
    assert sorted(seen) == [f"d{n}" for n in range(8)]
    assert re.search(r"the server died: starting it again; its log \S+ says: ", capsys.readouterr().err)


def test_one_that_dies_too_often_ends_the_stage_and_the_next_run_goes_on(backbone: Path):
    with engine_of(backbone, "dies:5:dead", restarts=0) as engine:
        with pytest.raises(
            InputError, match=r"died too often; what it answered is kept, run again; its log \S+ says"
        ):
            generate(engine, REQUESTS, SAMPLING, "respond")
        journal = next(Path(".scratch/respond").glob("*/journal.jsonl"))
        before = journal.read_text()
        assert 1 <= before.count("\n") < len(REQUESTS)
    with engine_of(backbone, "dies:5:dead", restarts=0) as engine:
        generate(engine, REQUESTS, SAMPLING, "respond")
    assert journal.read_text().startswith(before)
    assert journal.read_text().count("\n") == len(REQUESTS)


def test_one_that_dies_of_every_request_is_not_started_a_third_time(
    backbone: Path, capsys: pytest.CaptureFixture[str]
):
    with (
        engine_of(backbone, "breaks", restarts=9) as engine,
        pytest.raises(InputError, match=r"twice without an answer between; .*: MemoryError: all is used"),
    ):
        generate(engine, REQUESTS, SAMPLING, "respond")
    assert capsys.readouterr().err.count("starting it again") == 1


@pytest.mark.parametrize(
    ("faults", "options", "message"),
    [
        (["exit"], {}, r"exit code 1 while it started; its log \S+ says: no such model"),
        (["mute"], {"start_s": 1.5}, r"did not answer within 1.5 s; its log \S+ says: loading"),
        ([], {"command": "{python} -c 'import sys; sys.exit(3)'"}, r"ended with exit code 3 while .*nothing"),
        ([], {"command": f"{{python}} {SCRIPT} {{port}} other"}, r"lists the models \['other'\], not m1"),
        ([], {"command": "no-such-program {port}"}, "no-such-program"),
        (
            [],
            {"command": "serve {modle}"},
            r"\{modle\} is none of dtype, model, port, python, served, t",
        ),
        ([], {"command": "serve 'half"}, "cannot be read: No closing quotation"),
    ],
)
def test_what_does_not_come_up_is_one_line(
    backbone: Path, tmp_path: Path, faults: list[str], options: dict[str, Any], message: str
):
    with pytest.raises(InputError, match=message), engine_of(backbone, *faults, **options) as engine:
        next(complete(engine, REQUESTS, SAMPLING))
    wait_until_alone(tmp_path)


def test_a_server_whose_log_is_on_a_full_disk_is_one_line(backbone: Path, tmp_path: Path):
    disk = tmp_path / ".scratch" / "servers"
    disk.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a tmpfs cannot be mounted here: it needs root")
    try:
        (disk / "other").write_bytes(bytes(8192))
        with (
            pytest.raises(
                InputError, match=r"exit code 1 while it started; .*\.log, on a disk that is full,"
            ),
            engine_of(backbone, "exit") as engine,
        ):
            next(complete(engine, REQUESTS, SAMPLING))
        wait_until_alone(tmp_path)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_port_that_another_process_took_is_given_up_for_another(
    backbone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        free = child.free_port
        ports = iter([other.getsockname()[1]])
        monkeypatch.setattr(child, "free_port", lambda: next(ports, None) or free())
        with engine_of(backbone) as engine:
            assert len(generate(engine, REQUESTS, SAMPLING, "respond")) == len(REQUESTS)
    assert "was taken by another process: trying another" in capsys.readouterr().err


def test_a_stage_that_is_killed_leaves_nothing_behind(backbone: Path, tmp_path: Path):
    """SIGKILL of the process that has the engine; the server's worker is in a session of its own."""
    program = (
        "import sys, time; sys.argv = sys.argv[:1]\n"
        "from tests.engines.test_server_engine import *\n"
        f"with engine_of(Path({str(backbone)!r}), 'family') as engine:\n"
        "    next(complete(engine, REQUESTS, SAMPLING)); print('up', flush=True); time.sleep(100)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, stdout=subprocess.PIPE
    ) as stage:
        assert stage.stdout is not None
        assert stage.stdout.readline() == b"up\n"
        assert len(mine(tmp_path)) == 4  # the stage, its guard, the server, the server's worker
        stage.send_signal(signal.SIGKILL)
    wait_until_alone(tmp_path)


def test_a_text_is_streamed_and_a_dead_server_comes_back_for_the_next(backbone: Path, tmp_path: Path):
    with engine_of(backbone) as engine:
        assert list(engine.stream(REQUESTS[0], SAMPLING)) == ["see", f"d {REQUESTS[0].seed}"]
        for process in mine(tmp_path):
            process.kill()
        wait_until_alone(tmp_path)
        assert "".join(engine.stream(REQUESTS[1], SAMPLING)) == f"seed {REQUESTS[1].seed}"


@pytest.mark.parametrize("guided", [True, False])
def test_a_schema_is_sent_where_the_server_is_to_keep_to_it(backbone: Path, guided: bool):
    schema = {"type": "object"}
    asked = [Request.make("d0", REQUESTS[0].messages, 1, schema=schema), REQUESTS[1]]
    with engine_of(backbone, guided=guided) as engine:
        texts = [response.text for response in generate(engine, asked, SAMPLING, "refine")]
    assert [text.endswith("guided") for text in texts] == [guided, False]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"restarts": -1}, "engine.restarts"),
        ({"start_s": 0.0}, "engine.start_s"),
        ({"command": " "}, "engine.command"),
        ({"environment": {"A": True}}, "engine.environment.A"),
        ({"host": "0.0.0.0"}, "engine.host"),
        ({"code": "selfevolve/engines"}, "engine.code"),
    ],
)
def test_wrong_options_name_their_field(backbone: Path, change: dict[str, Any], field: str):
    params = {"command": "serve", **OPTIONS, **change}
    with pytest.raises(InputError, match=f"field {re.escape(field)}"), open_engine(params, backbone):
        pass


def test_a_number_may_be_set_in_the_environment(backbone: Path):
    """`SET="engine.environment.A=8"` makes a number of it; the journal is the one of the text."""
    settings = []
    for value in (8, "8"):
        with open_engine({"command": "serve", **OPTIONS, "environment": {"A": value}}, backbone) as (one, _):
            settings.append(one.settings)
    assert settings[0] == settings[1]
    assert settings[0]["environment"] == {"A": "8"}


@pytest.mark.parametrize("name", ["vllm", "vllm-cpu", "sglang", "llamafactory"])
def test_the_configurations_name_programs_of_environments_that_make_builds(name: str, backbone: Path):
    params = yaml.safe_load((ROOT / f"conf/engine/{name}.yaml").read_text())["engine"]
    with open_engine(params, backbone) as (engine, _):  # options and placeholders are checked
        assert engine.settings["guided"] is (name != "llamafactory")
    assert "127.0.0.1" in params["command"] + str(params["environment"])
    if program := re.match(r"\.venv-([\w-]+)/", params["command"]):
        assert program.group(1) == name
        assert f"\n{name}==" in (ROOT / f"requirements-{name}.txt").read_text()
        dry = subprocess.run(
            ["make", "-n", f"setup-{name}"], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert f"requirements-{name}.txt" in dry.stdout
