"""The openai engine: against LLaMA-Factory's own server, and against one that goes wrong on purpose."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from stages.engines.generate import generate
from stages.engines.openai_engine import OpenAIEngine
from stages.engines.request import Request, derive_seed
from stages.records.errors import InputError
from stages.records.jsonl import read_records
from stages.records.schema import Message, Response
from tests.conftest import read_lines, run_stage, stage_command, stage_environment
from tests.servers import (
    ChatServer,
    Reply,
    answers,
    completion,
    free_port,
    hangs_up,
    llamafactory_api,
    passes_on,
    trickles,
)
from tests.test_engines import SAMPLING, requests, wait_for_lines

KEY = "sk-" + "secret0" * 6


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def engine_at(url: str, **options: Any) -> OpenAIEngine:
    return OpenAIEngine(url, "m0", **{"concurrency": 4, "timeout_s": 20.0, "retries": 1, **options})


def ask(url: str, folder: Path, count: int = 1, sampling: Any = SAMPLING, **options: Any) -> list[Response]:
    return generate(engine_at(url, **options), requests(count), sampling, "test", folder)


def kept(folder: Path) -> set[str]:
    return {line["id"] for journal in folder.rglob("journal.jsonl") for line in read_lines(journal)}


def seed_of(number: int) -> int:
    return derive_seed(5, f"r{number:02d}", 1)


def always(reply: Reply) -> Callable[[dict[str, Any], int], Reply]:
    return lambda body, nth: reply


def test_a_request_carries_all_that_the_text_depends_on(tmp_path: Path):
    with ChatServer(always(answers(completion(" a text\n")))) as server:
        response = ask(server.url, tmp_path)[0]
    expected = Response(id="r00", text="a text", finish_reason="stop", attempt=1, model="m0")
    assert response == expected
    assert server.paths == ["/v1/chat/completions"]
    assert server.bodies[0] == {
        "model": "m0",
        "messages": [message.model_dump() for message in requests(1)[0].messages],
        "seed": seed_of(0),
        "temperature": 0.9,
        "top_p": 0.8,
        "max_tokens": 24,
        "top_k": 50,
        "repetition_penalty": 1.2,
    }


def test_greedy_and_top_k_off_are_said_as_servers_understand_them(tmp_path: Path):
    with ChatServer(always(answers())) as server:
        ask(server.url, tmp_path, sampling=replace(SAMPLING, temperature=0, top_k=0))
    assert (server.bodies[0]["temperature"], server.bodies[0]["top_k"]) == (0, -1)


@pytest.mark.parametrize(
    ("sent", "text", "reason"),
    [
        (("a", "stop"), "a", "stop"),
        (("a", "eos_token"), "a", "stop"),
        (("a", "length"), "a", "length"),
        ((None, "content_filter"), "", "content_filter"),
    ],
)
def test_finish_reasons_that_end_a_text(tmp_path: Path, sent: Any, text: str, reason: str):
    with ChatServer(always(answers(completion(*sent)))) as server:
        response = ask(server.url, tmp_path)[0]
    assert (response.text, response.finish_reason) == (text, reason)


FAULTS = {
    "429": answers(b"{}", 429),
    "500": answers(b"oh", 500),
    "503": answers(b"<html>busy</html>", 503),
    "closed in the middle": hangs_up,
    "truncated": answers(completion()[:40]),
    "not UTF-8": answers(completion().replace(b"hear", b"\xff")),
    "a page": answers(b"<html>hello</html>", Content_Type="text/html"),
    "an error with status 200": answers(b'{"error": {"message": "overloaded"}}'),
    "no choices": answers(b'{"choices": []}'),
    "no message": answers(b'{"choices": [{"finish_reason": "stop", "message": null}]}'),
    "unfinished": answers(completion("half a", None)),
    "aborted": answers(completion("half a", "abort")),
    "slow": answers(after_s=30),
    "a trickle": trickles,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_got_lost_is_asked_once_more_and_then_it_is_an_error(tmp_path: Path, fault: str):
    with ChatServer(lambda body, nth: FAULTS[fault] if nth == 1 else answers()) as server:
        assert ask(server.url, tmp_path, timeout_s=1.0)[0].text == "I hear you."
    assert server.asked() == {seed_of(0): 2}
    with ChatServer(always(FAULTS[fault])) as server:
        begin = time.monotonic()
        with pytest.raises(InputError) as caught:
            ask(server.url, tmp_path, timeout_s=0.5)
        assert time.monotonic() - begin < 4
    assert server.asked() == {seed_of(0): 2}
    line = str(caught.value)
    assert line.startswith(f"record r00: the server at {server.url} ")
    assert line.endswith("(asked 2 times); what it answered is kept, run again")
    assert "\n" not in line


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_a_refusal_is_not_asked_again(tmp_path: Path, status: int):
    reply = answers(json.dumps({"detail": "no\nsuch thing" + "!" * 5000}).encode(), status)
    with ChatServer(always(reply)) as server, pytest.raises(InputError, match=r"no.*such thing") as caught:
        ask(server.url, tmp_path, retries=5)
    assert server.asked() == {seed_of(0): 1}
    assert f"answered {status}" in str(caught.value)
    assert len(str(caught.value)) < 500
    assert ("the key is not set in OPENAI_API_KEY" in str(caught.value)) == (status in (401, 403))


def test_pauses_between_retries_grow(tmp_path: Path):
    with ChatServer(always(answers(b"{}", 500))) as server, pytest.raises(InputError, match="asked 3 times"):
        ask(server.url, tmp_path, retries=2)
    first, second, third = server.times
    assert 0.37 < second - first < 0.9
    assert 0.74 < third - second < 1.6


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_obeyed(tmp_path: Path, form: str):
    def reply(body: dict[str, Any], nth: int) -> Reply:
        wait = "2" if form == "seconds" else formatdate(time.time() + 3, usegmt=True)
        return answers(b"{}", 429, Retry_After=wait) if nth == 1 else answers()

    with ChatServer(reply) as server:
        ask(server.url, tmp_path)
    first, second = server.times
    assert 1.9 < second - first < 4


def test_a_server_that_wants_a_long_pause_is_left_alone(tmp_path: Path):
    reply = answers(b"{}", 429, Retry_After="121")
    with ChatServer(always(reply)) as server, pytest.raises(InputError, match="left alone for 121 s"):
        ask(server.url, tmp_path)
    assert server.asked() == {seed_of(0): 1}


def test_concurrency_is_used_and_never_exceeded(tmp_path: Path):
    with ChatServer(always(answers(after_s=0.1))) as server:
        begin = time.monotonic()
        ask(server.url, tmp_path, count=16, concurrency=4)
        took = time.monotonic() - begin
    assert server.most_at_once == 4
    assert took < 16 * 0.1
    with ChatServer(always(answers())) as server:
        ask(server.url, tmp_path / "one", count=3, concurrency=1)
    assert server.most_at_once == 1


def test_after_an_error_the_rest_is_asked_and_nothing_twice(tmp_path: Path):
    """What is on its way when a request fails is awaited and kept; nothing new is begun."""

    def reply(body: dict[str, Any], nth: int) -> Reply:
        return answers(b"{}", 400) if body["seed"] == seed_of(5) else answers(after_s=0.3)

    with ChatServer(reply) as server:
        with pytest.raises(InputError, match=r"record r05: .*answered 400"):
            ask(server.url, tmp_path, count=20)
        first = server.asked()
        answered = {seed for seed in first if seed != seed_of(5)}
        assert 5 <= len(answered) < 12
        assert {seed_of(int(identity[1:])) for identity in kept(tmp_path)} == answered
        server.reply = always(answers())
        responses = ask(server.url, tmp_path, count=20)
    assert [response.id for response in responses] == [request.id for request in requests(20)]
    assert server.asked() - first == dict.fromkeys({seed_of(n) for n in range(20)} - answered, 1)


def test_failures_are_counted(tmp_path: Path):
    reply = answers(b"{}", 400, after_s=0.2)
    with ChatServer(always(reply)) as server, pytest.raises(InputError, match="; 3 more requests failed; "):
        ask(server.url, tmp_path, count=9)
    assert sum(server.asked().values()) == 4


def test_a_policy_trained_anew_is_asked_anew(tmp_path: Path):
    with ChatServer(always(answers())) as server:
        for digest in ("one", "one", "two"):
            ask(server.url, tmp_path, policy_digest=digest)
    assert server.asked() == {seed_of(0): 2}


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("base_url", "127.0.0.1:8000"),
        ("base_url", "http://me:hunter2@127.0.0.1/v1"),
        ("base_url", "http://127.0.0.1:port/v1"),
        ("base_url", None),
        ("concurrency", 0),
        ("concurrency", "4"),
        ("timeout_s", 0),
        ("retries", -1),
        ("retries", True),
    ],
)
def test_wrong_parameters_are_named(option: str, value: Any):
    with pytest.raises(InputError, match=f"field engine.{option}") as caught:
        OpenAIEngine(**{"base_url": "http://127.0.0.1/v1", "model": "m", option: value})
    assert "hunter2" not in str(caught.value)


# ---- the key ----


def test_the_key_is_sent_as_bearer_from_the_variable_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OPENAI_API_KEY", "another")
    monkeypatch.setenv("MY_KEY", KEY + "\n")
    with ChatServer(always(answers())) as server:
        ask(server.url, tmp_path / "a", key_variable="MY_KEY")
        ask(server.url, tmp_path / "b", key_variable="NO_KEY")
    assert [headers["authorization"] for headers in server.headers] == [f"Bearer {KEY}", "Bearer none"]


def test_a_key_that_no_header_can_carry_is_named_but_not_shown(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY + "ä")
    with pytest.raises(InputError, match="the key in OPENAI_API_KEY") as caught:
        engine_at("http://127.0.0.1/v1")
    assert KEY not in str(caught.value)


# ---- whole stages ----


@pytest.fixture
def respond(
    backbone: Path, contexts_file: Path, params_file: Callable[..., Path], tmp_path: Path
) -> Callable[..., list[object]]:
    """The arguments of a respond stage that asks a server."""

    def arguments(url: str, new_tokens: int = 24, **options: Any) -> list[object]:
        engine = {"kind": "openai", "base_url": url, "model": "{policy}", "concurrency": 4, "timeout_s": 60.0}
        engine |= {"retries": 1, "key_variable": "OPENAI_API_KEY", **options}
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
        refused = run_stage("respond", *respond(server.url), cwd=work)
        assert refused.returncode == 1
        assert "answered 401 (the key is read from OPENAI_API_KEY)" in refused.stderr.split("\n")[-2]
        assert "provided: ***." in refused.stderr
        assert "Traceback" not in refused.stderr
        assert len(kept(work)) == 9
        assert not (work / "out.jsonl").exists()
        server.reply = always(answers())
        done = run_stage("respond", *respond(server.url), cwd=work)
        assert done.returncode == 0, done.stderr
    assert {headers["authorization"] for headers in server.headers} == {f"Bearer {KEY}"}
    said = refused.stdout + refused.stderr + done.stdout + done.stderr
    files = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) >= 4
    assert all(KEY not in text and KEY[:20] not in text for text in [said, *files])


@pytest.mark.slow
def test_a_server_that_is_not_there_is_one_line(respond: Callable[..., list[object]], tmp_path: Path):
    url = f"http://127.0.0.1:{free_port()}/v1"
    done = run_stage("respond", *respond(url), cwd=tmp_path)
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
        assert time.monotonic() - begin < 3
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
    greedy = replace(SAMPLING, temperature=0.0, top_k=0, repetition_penalty=1.0)
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
