"""Whole stages with the openai engine: against servers that fail, and against LLaMA-Factory's own."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from selfevolve.generation.generate import generate
from selfevolve.generation.request import Request, derive_seed
from selfevolve.records.jsonl import read_records
from selfevolve.records.schema import Message, Response
from selfevolve.runtime.errors import InputError
from tests.conftest import read_lines, run_here, run_stage, stage_command, stage_environment
from tests.engines.test_engines import SAMPLING, wait_for_lines
from tests.engines.test_openai_engine import KEY, always, ask, engine_at, kept
from tests.support.servers import (
    ChatServer,
    Reply,
    answers,
    free_port,
    llamafactory_api,
    passes_on,
)


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture
def respond(
    backbone: Path, contexts_file: Path, params_file: Callable[..., Path], tmp_path: Path
) -> Callable[..., list[object]]:
    """The arguments of a respond stage that asks a server."""

    def arguments(url: str, new_tokens: int = 24, **options: Any) -> list[object]:
        engine = {"kind": "openai", "code": "selfevolve/engines/server", "base_url": url, "model": "{policy}"}
        engine |= {
            "concurrency": 4,
            "timeout_s": 60.0,
            "retries": 1,
            "key_variable": "OPENAI_API_KEY",
            **options,
        }
        params = params_file({"engine": engine, "respond.sampling.max_new_tokens": new_tokens})
        line = ["--policy", backbone, "--contexts", contexts_file, "--params", params, "--prompt", "plain"]
        return [*line, "--out", "out.jsonl", "--metrics", "m.json"]

    return arguments


@pytest.mark.slow
def test_the_key_is_nowhere_but_in_the_header(
    respond: Callable[..., list[object]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    work = tmp_path / "work"
    work.mkdir()
    quoting = answers(json.dumps({"error": {"message": f"Incorrect API key provided: {KEY}."}}).encode(), 401)
    with ChatServer(always(answers())) as server:
        server.reply = lambda body, nth: answers() if len(server.bodies) <= 9 else quoting
        refused = run_here("respond", *respond(server.url), cwd=work)
        assert refused.returncode == 1
        assert "answered 401 (the key is read from OPENAI_API_KEY)" in refused.stderr.split("\n")[-2]
        assert "provided: ***." in refused.stderr
        assert "Traceback" not in refused.stderr
        assert len(kept(work)) == 9
        assert not (work / "out.jsonl").exists()
        server.reply = always(answers())
        done = run_here("respond", *respond(server.url), cwd=work)
        assert done.returncode == 0, done.stderr
    assert {headers["authorization"] for headers in server.headers} == {f"Bearer {KEY}"}
    said = refused.stdout + refused.stderr + done.stdout + done.stderr
    files = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) >= 4
    assert all(KEY not in text and KEY[:20] not in text for text in [said, *files])


@pytest.mark.slow
def test_a_server_that_is_not_there_is_one_line(respond: Callable[..., list[object]], tmp_path: Path):
    url = f"http://127.0.0.1:{free_port()}/v1"
    done = run_here("respond", *respond(url), cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    line = done.stderr.strip().split("\n")[-1]
    assert line.startswith("error: record d0")
    assert f"the server at {url} did not answer: " in line
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.slow
def test_ctrl_c_ends_at_once_and_keeps_what_was_answered(
    respond: Callable[..., list[object]], tmp_path: Path
):
    """Whether requests hang or wait for their next try."""

    def reply(body: dict[str, Any], nth: int) -> Reply:
        if len(server.bodies) <= 6:
            return answers()
        return answers(after_s=100) if body["seed"] % 2 else answers(b"{}", 429, Retry_After="100")

    with ChatServer(reply) as server:
        child = start("respond", *respond(server.url, retries=5), cwd=tmp_path)
        wait_for_lines(tmp_path, 6, child)
        time.sleep(0.5)
        child.send_signal(signal.SIGINT)
        begin = time.monotonic()
        try:
            said = child.communicate(timeout=30)[1].decode()
        finally:
            child.kill()
        assert time.monotonic() - begin < 20  # the requests would take 100
        assert child.returncode == 130
        assert said.strip().split("\n")[-1] == "interrupted: the same command goes on where it stopped"
        assert "Traceback" not in said
        assert "Task was destroyed" not in said
        before = dict(server.asked())
        assert len(kept(tmp_path)) == 6
        server.reply = always(answers())
        assert run_stage("respond", *respond(server.url, retries=5), cwd=tmp_path).returncode == 0
    again = {seed for seed, count in server.asked().items() if count > before.get(seed, 0)}
    assert len(again) == 34
    assert len(server.asked()) == len(read_records(tmp_path / "out.jsonl", Response)) == 40


def start(name: str, *arguments: object, cwd: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        stage_command(name, *arguments),
        cwd=cwd,
        env=stage_environment(),
        stderr=subprocess.PIPE,
        # Where tests run in the background, shells make them and their children deaf to Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.fixture(scope="module")
def real_server(backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with llamafactory_api(backbone, "llama3", tmp_path_factory.mktemp("api") / "log.txt") as url:
        yield url


@pytest.mark.slow
def test_a_real_server_answers_all_and_nothing_twice_after_a_kill(
    real_server: str, respond: Callable[..., list[object]], contexts_file: Path, tmp_path: Path
):
    with ChatServer(passes_on(real_server)) as server:  # in between, to count
        arguments = respond(server.url, new_tokens=48)
        child = start("respond", *arguments, cwd=tmp_path)
        wait_for_lines(tmp_path, 5, child)
        os.kill(child.pid, signal.SIGKILL)
        child.communicate()
        finished = kept(tmp_path)
        assert 5 <= len(finished) < 40
        assert not (tmp_path / "out.jsonl").exists()
        first = len(server.bodies)
        done = run_stage("respond", *arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    ids = [line["id"] for line in read_lines(contexts_file)]
    second = [body["seed"] for body in server.bodies[first:]]
    assert sorted(second) == sorted(derive_seed(42, identity, 1) for identity in set(ids) - finished)
    responses = read_records(tmp_path / "out.jsonl", Response)
    assert sorted(response.id for response in responses) == sorted(ids)
    assert {response.model for response in responses} == {"backbone"}
    assert {response.finish_reason for response in responses} <= {"stop", "length"}
    assert len({response.text for response in responses}) > 20
    assert json.loads((tmp_path / "m.json").read_text())["count"] == 40


@pytest.mark.slow
def test_a_real_server_is_greedy_at_temperature_0(real_server: str, tmp_path: Path):
    greedy = SAMPLING.model_copy(update={"temperature": 0.0, "top_k": 0, "repetition_penalty": 1.0})
    texts = [
        [response.text for response in ask(real_server, tmp_path / str(run), 4, sampling=sampling)]
        for run, sampling in enumerate([greedy, greedy, SAMPLING, SAMPLING])
    ]
    assert texts[0] == texts[1]
    assert texts[2] != texts[3]  # this server heeds no seed, so only greedy texts can be the same twice


@pytest.mark.slow
def test_what_a_real_server_refuses_is_one_line(real_server: str, tmp_path: Path):
    asked = [Request.make("bad", [Message(role="assistant", content="I begin.")], 5)]
    with pytest.raises(InputError, match=r"record bad: .*answered 400: .*Invalid role"):
        generate(engine_at(real_server), asked, SAMPLING, "test", tmp_path)
