"""The openai engine: against LLaMA-Factory's own server, and against one that goes wrong on purpose."""

import json
import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from selfevolve.engines.server.client import Asking, OpenAIEngine
from selfevolve.generation.generate import generate
from selfevolve.generation.request import derive_seed
from selfevolve.records.schema import Response
from selfevolve.runtime.errors import InputError
from tests.conftest import read_lines
from tests.engines.test_engines import SAMPLING, requests
from tests.support.servers import (
    ChatServer,
    Reply,
    answers,
    completion,
    hangs_up,
    trickles,
)

KEY = "sk-" + "secret0" * 6


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def engine_at(url: str, key: str = "OPENAI_API_KEY", digest: str = "", **options: Any) -> OpenAIEngine:
    asking = Asking(**{"concurrency": 4, "timeout_s": 20.0, "retries": 1, **options})
    return OpenAIEngine(url, "m0", asking, key, digest)


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
        ask(server.url, tmp_path, sampling=SAMPLING.model_copy(update={"temperature": 0.0, "top_k": 0}))
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


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
@pytest.mark.parametrize(
    ("content", "reasoning", "text"),
    [
        (None, "She is", "She is<think>"),
        (" ", "She is", "She is<think>"),
        (None, "She </think> is", "She </think> is<think>"),
        ("I hear you.", "She is", "I hear you."),
        (None, None, ""),
        (None, "", ""),
        ("stu\ud83d", None, "stu\ufffd"),
    ],
)
def test_thinking_apart_from_the_answer_is_told_from_an_empty_answer(
    tmp_path: Path, field: str, content: str | None, reasoning: str | None, text: str
):
    body = json.loads(completion(content))
    body["choices"][0]["message"][field] = reasoning
    with ChatServer(always(answers(json.dumps(body).encode()))) as server:
        assert ask(server.url, tmp_path)[0].text == text


@pytest.mark.parametrize(
    ("deltas", "pieces"),
    [
        ([{"reasoning_content": "She"}, {"content": "I hear"}, {"content": " you."}], ["I hear", " you."]),
        ([{"reasoning_content": "She"}, {"reasoning": "is"}], ["<think>"]),
        ([{"content": ""}], []),
    ],
)
def test_a_stream_of_nothing_but_thinking_says_so(deltas: list[dict[str, str]], pieces: list[str]):
    chunks = [
        {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
        for choice in ({"index": 0, "delta": delta, "finish_reason": None} for delta in deltas)
    ]
    sent = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
    with ChatServer(always(answers(sent.encode(), Content_Type="text/event-stream"))) as server:
        assert list(engine_at(server.url).stream(requests(1)[0], SAMPLING)) == pieces


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
            ask(server.url, tmp_path, digest=digest)
    assert server.asked() == {seed_of(0): 2}


# ---- the key ----


def test_the_key_is_sent_as_bearer_from_the_variable_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OPENAI_API_KEY", "another")
    monkeypatch.setenv("MY_KEY", KEY + "\n")
    with ChatServer(always(answers())) as server:
        ask(server.url, tmp_path / "a", key="MY_KEY")
        ask(server.url, tmp_path / "b", key="NO_KEY")
    assert [headers["authorization"] for headers in server.headers] == [f"Bearer {KEY}", "Bearer none"]
