"""A judge that is killed, slow, overloaded or talks nonsense: the run ends, and what it says adds up."""

import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from selfevolve.engines.server import client as openai_engine
from selfevolve.judge.verdicts import DIMENSIONS
from selfevolve.runtime.errors import InputError
from stages.judging import judge
from tests.conftest import read_lines, run_stage, stage_command, stage_environment
from tests.support.judges import (
    always,
    dimension_of,
    judge_line,
    read_json,
    says,
    scores,
    write_params,
    write_world,
)
from tests.support.servers import ChatServer, Handler, Reply, answers, completion, hangs_up

KEY = "sk-" + "secret0" * 6


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(openai_engine, "FIRST_PAUSE_S", 0.01)


def waits_for(server: ChatServer, event: threading.Event) -> Reply:
    def reply(handler: Handler) -> None:
        event.wait(60)
        scores(4)(handler)

    return reply


def test_killed_and_started_again_no_answer_is_asked_for_twice(tmp_path: Path):
    """Unanswered calls are the only ones repeated, and the limit knows of them."""
    held = threading.Event()
    answered: list[int] = []

    def reply(body: dict[str, Any], nth: int) -> Reply:
        if held.is_set() or len(server.bodies) <= 12:
            answered.append(body["seed"])
            return says("Well.") if dimension_of(body) == "empathy" else scores(4)
        return waits_for(server, held)

    write_world(tmp_path, 6)
    with ChatServer(reply) as server:
        write_params(tmp_path, server.url, limit_calls=100)
        child = subprocess.Popen(
            stage_command("stages.judging.judge", *judge_line()), cwd=tmp_path, env=stage_environment()
        )
        try:
            wait_for(lambda: len(ledger(tmp_path, "answered")) == 12 and len(server.bodies) == 16)
        finally:
            os.kill(child.pid, signal.SIGKILL)
            child.wait()
        assert not (tmp_path / "verdicts.jsonl").exists()
        unanswered = [body["seed"] for body in server.bodies[12:]]
        assert len(ledger(tmp_path, "sent")) == 16
        held.set()
        done = run_stage("stages.judging.judge", *judge_line(), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert "judge: 42 questions, 0 too long, 12 answered before, 30 to ask" in done.stdout
    assert len(answered) == len(set(answered)) == 6 * 6 + 6 * 3
    assert {seed for seed, count in server.asked().items() if count > 1} == set(unanswered)
    metrics = read_json(tmp_path / "judge.json")
    assert metrics["calls"]["calls"] == 54 + 4
    assert metrics["calls"]["answers"] == 54
    assert metrics["verdicts"]["failed"] == metrics["failures"]["no_json"] == 6


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def ledger(folder: Path, event: str) -> list[dict[str, Any]]:
    files = folder.glob(".scratch/judge/*/ledger.jsonl")
    whole = [line for file in files for line in file.read_text().split("\n")[:-1]]
    return [entry for entry in map(json.loads, whole) if entry["event"] == event]


FAULTS = {
    "http_429": answers(b"{}", 429),
    "http_500": answers(b"oh", 500),
    "unusable_answer": answers(completion()[:40]),
    "timeout": answers(after_s=30),
    "connection": hangs_up,
    "http_400": answers(b'{"error": "too long"}', 400),
}


def test_every_fault_is_retried_counted_and_kept_and_the_run_ends(tmp_path: Path):
    """Each dimension has a fault of its own, for good; the seventh has a good judge."""
    faults = dict(zip(DIMENSIONS, FAULTS, strict=False))

    def reply(body: dict[str, Any], nth: int) -> Reply:
        fault = faults.get(dimension_of(body))
        return FAULTS[fault] if fault else scores(2)

    write_world(tmp_path, 2)
    with ChatServer(reply) as server:
        write_params(tmp_path, server.url, {"tolerance": 12, "timeout_s": 5.0, "concurrency": 14})
        begin = time.monotonic()
        judge.main(judge_line())
        assert time.monotonic() - begin < 25  # half a minute would be one that hangs
    calls = {name: [dimension_of(body) for body in server.bodies].count(name) for name in DIMENSIONS}
    assert calls == {**dict.fromkeys(DIMENSIONS, 4), "helpfulness": 2, "overall": 2}  # no retry after 400
    metrics = read_json(tmp_path / "judge.json")
    assert metrics["failures"] == metrics["failed_attempts"] == dict.fromkeys(sorted(FAULTS), 2)
    assert metrics["verdicts"] == {"asked": 14, "decided": 2, "decided_at_attempt_1": 2, "failed": 12}
    assert metrics["scores"]["overall"]["mean"] == 2
    assert all("mean" not in metrics["scores"][name] for name in faults)
    # a 500 may come from a proxy: the server behind it may have written an answer, and its cost counts
    assert (metrics["calls"]["calls"], metrics["calls"]["refused"]) == (24, 4 + 2)
    for line in read_lines(tmp_path / "verdicts.jsonl"):
        verdicts = {verdict["dimension"]: verdict for verdict in line["verdicts"]}
        assert all("score" not in verdicts[name] for name in faults)
        first = [v["failed_attempts"][0] for v in verdicts.values() if v["failed_attempts"]]
        texts = {attempt["reason"]: attempt["text"] for attempt in first}
        assert texts["unusable_answer"] == completion()[:40].decode()
        assert texts["timeout"] == "gave no answer within 5 s (asked 2 times)"
        assert "too long" in texts["http_400"]


def test_the_next_run_asks_again_for_the_answers_that_got_lost(tmp_path: Path):
    write_world(tmp_path, 1)
    with ChatServer(
        lambda body, nth: answers(b"oh", 500) if dimension_of(body) == "empathy" else scores(3)
    ) as server:
        write_params(tmp_path, server.url, {"tolerance": 1})
        judge.main(judge_line())
        assert read_json(tmp_path / "judge.json")["failures"] == {"http_500": 1}
        server.reply = always(scores(3))
        judge.main(judge_line())
    assert len(server.bodies) == 6 + 2 + 1
    assert read_json(tmp_path / "judge.json")["verdicts"]["decided"] == 7


def test_passing_faults_leave_no_trace_in_the_verdicts(tmp_path: Path):
    """Every call fails once, each third in another way, and is made again."""
    faults = [FAULTS["http_429"], FAULTS["unusable_answer"], FAULTS["connection"]]
    write_world(tmp_path, 3)
    with ChatServer(
        lambda body, nth: faults[body["seed"] % 3] if nth == 1 else scores(body["seed"] % 5 + 1)
    ) as server:
        write_params(tmp_path, server.url)
        judge.main(judge_line())
    assert set(server.asked().values()) == {2}
    metrics = read_json(tmp_path / "judge.json")
    assert metrics["verdicts"] == {"asked": 21, "decided": 21, "decided_at_attempt_1": 21, "failed": 0}
    assert metrics["failed_attempts"] == {}


@pytest.mark.parametrize("fault", ["http_500", "timeout", "connection"])
def test_a_judge_that_is_down_ends_the_run_in_one_line_and_a_later_run_goes_on(tmp_path: Path, fault: str):
    write_world(tmp_path, 10)
    with ChatServer(lambda body, nth: scores(3) if len(server.bodies) <= 20 else FAULTS[fault]) as server:
        write_params(tmp_path, server.url, {"tolerance": 2, "timeout_s": 0.5})
        begin = time.monotonic()
        with pytest.raises(InputError, match=r"\(asked 2 times\); \d more requests failed; .* run again"):
            judge.main(judge_line())
        assert time.monotonic() - begin < 8
        assert not (tmp_path / "verdicts.jsonl").exists()
        assert len(ledger(tmp_path, "answered")) == 20
        server.reply = always(scores(3))
        first = server.asked()
        judge.main(judge_line())
    assert sum((server.asked() - first).values()) == 70 - 20
    assert read_json(tmp_path / "judge.json")["verdicts"]["decided"] == 70


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_that_would_meet_every_call_ends_the_run_at_once(tmp_path: Path, status: int):
    write_world(tmp_path, 10)
    with ChatServer(always(answers(b"no", status))) as server:
        write_params(tmp_path, server.url, {"tolerance": 1000})
        with pytest.raises(InputError, match=f"answered {status}"):
            judge.main(judge_line())
    assert len(server.bodies) <= 2 * 4


def test_retry_after_is_honoured(tmp_path: Path):
    write_world(tmp_path, 1)
    with ChatServer(
        lambda body, nth: answers(b"{}", 429, Retry_After="1") if nth == 1 else scores(3)
    ) as server:
        write_params(tmp_path, server.url, {"concurrency": 7})
        judge.main(judge_line())
    times = sorted(server.times)
    assert times[7] - times[0] >= 1.0


def test_pauses_grow_differ_among_requests_and_are_the_same_in_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Back-off with jitter from the request's seed."""
    pauses: list[float] = []
    sleep = openai_engine.asyncio.sleep

    async def noted(seconds: float, *more: Any) -> None:
        pauses.extend([seconds] if seconds else [])
        await sleep(0)

    monkeypatch.setattr(openai_engine.asyncio, "sleep", noted)
    write_world(tmp_path, 1)
    runs = []
    for _ in range(2):
        with ChatServer(always(answers(b"oh", 500))) as server:
            write_params(tmp_path, server.url, {"tolerance": 7, "retries": 2, "concurrency": 1})
            judge.main(judge_line())
        runs.append(list(pauses))
        pauses.clear()
    assert runs[0] == runs[1]
    assert len(set(runs[0])) == len(runs[0]) == 14
    assert all(0.0075 <= pause <= 0.01 for pause in runs[0][::2])
    assert all(0.015 <= pause <= 0.02 for pause in runs[0][1::2])


def test_the_key_is_in_no_file_even_where_the_server_quotes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    reply = [answers(f"bad key {KEY}".encode(), 400), answers(f"half a {KEY}".encode()), scores(3)]
    write_world(tmp_path, 2)
    with ChatServer(lambda body, nth: reply[body["seed"] % 3]) as server:
        write_params(tmp_path, server.url, {"tolerance": 100})
        judge.main(judge_line())
    assert {headers["authorization"] for headers in server.headers} == {f"Bearer {KEY}"}
    files = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert any("bad key ***" in text for text in files)
    assert any("half a ***" in text for text in files)
    assert all(KEY not in text for text in files)
