"""Table 3's self-reflection prompt: its JSON read, asked for again, and counted."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfevolve.policies.policy import Backbone, write_backbone
from selfevolve.prompts.answers import parse_self_reflection
from selfevolve.prompts.templates import load_prompts
from selfevolve.records.jsonl import write_records
from selfevolve.records.schema import STRATEGIES, Context, Message
from selfevolve.runtime.errors import InputError
from stages import respond
from tests.conftest import ROOT, read_lines, write_prompts
from tests.support.answers import REFLECTED, read, written
from tests.support.servers import ChatServer, Reply, answers, completion


@pytest.mark.parametrize("folder", ["prompts/paper", "prompts/tiny"])
def test_the_prompt_names_the_strategies_and_the_keys(folder: str):
    text = load_prompts(ROOT / folder).text("self_reflection")
    assert all(word in text for word in (*STRATEGIES, "strategy", "text", "JSON"))
    assert "{{" not in text


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(REFLECTED),
        f"They have lost their job. So:\n```json\n{json.dumps(REFLECTED, indent=1)}\n```\nThat is it.",
        str(REFLECTED),  # single quotes
        json.dumps([REFLECTED]).replace("[", "My answer: "),
        json.dumps({"text": REFLECTED["text"], "strategy": ["Question"], "mood": 3}),
    ],
)
def test_tolerated_forms_give_the_same_response(text: str):
    assert parse_self_reflection(written(text)).value.model_dump() == REFLECTED


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no_json"),
        ("What happened?", "no_json"),
        ("{}", "missing_text"),
        ('{"strategy": "Question"}', "missing_text"),
        ('{"text": " "}', "blank"),
        ('["text"]', "no_json"),
        ('{"text": ["What happened?"]}', "invalid_text"),
        ('{"text": {"text": "What happened?"}}', "invalid_text"),
    ],
)
def test_an_answer_without_a_text_is_a_failure_with_a_reason(text: str, reason: str):
    assert read(parse_self_reflection, text) == reason


def test_an_unknown_strategy_does_not_lose_the_response():
    for strategy in ({}, {"strategy": None}, {"strategy": "Hugging"}, {"strategy": {"a": 1}}):
        found = parse_self_reflection(written(json.dumps({"text": "I see."} | strategy)))
        assert found.value.text == "I see."


# --- the stage respond, asking a server

GOOD_AT = {"first": 1, "second": 2, "never": 9, "blank": 3}  # the attempt at which an answer has a text


class Seeker:
    """Answers a seeker's last words with JSON at the attempt that GOOD_AT says."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []

    def __call__(self, body: dict[str, Any], nth: int) -> Reply:
        self.bodies.append(body)
        last = body["messages"][-1]["content"]
        attempt = sum(other["messages"][-1]["content"] == last for other in self.bodies)
        if attempt == GOOD_AT[last]:
            return answers(completion(json.dumps({"strategy": "Others", "text": f"to {last}"})))
        bad = '{"strategy": "Others", "text": ""}' if last == "blank" else f"no JSON {attempt}"
        return answers(completion(bad))


@pytest.fixture
def ask(
    backbone: Path, params_file: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[dict[str, dict[str, Any]], dict[str, Any], Seeker]]:
    """Runs the stage with a prompt on one context for each of GOOD_AT; returns responses and counts."""
    contexts = [
        Context(id=f"{words}#1", messages=[Message(role="user", content=words)], golden="g")
        for words in GOOD_AT
    ]
    write_records(tmp_path / "asked.jsonl", contexts)
    monkeypatch.chdir(tmp_path)

    def run(prompt: str) -> tuple[dict[str, dict[str, Any]], dict[str, Any], Seeker]:
        seeker = Seeker()
        with ChatServer(seeker) as server:
            engine = {"kind": "openai", "code": "selfevolve/engines/server", "base_url": server.url}
            engine |= {
                "model": "{policy}",
                "concurrency": 1,
                "timeout_s": 60.0,
                "retries": 0,
                "key_variable": "OPENAI_API_KEY",
            }
            params = params_file({"engine": engine, "respond.attempts": 3})
            files = {"policy": backbone, "contexts": "asked.jsonl", "out": "out.jsonl", "metrics": "m.json"}
            parts = [part for name, value in files.items() for part in (f"--{name}", str(value))]
            respond.main([*parts, "--prompt", prompt, "--params", str(params)])
        responses = {line["id"].partition("#")[0]: line for line in read_lines(tmp_path / "out.jsonl")}
        return responses, json.loads((tmp_path / "m.json").read_text()), seeker

    return run


def test_respond_asks_until_the_json_parses_and_else_keeps_the_last_answer(ask: Callable[..., Any]):
    responses, counts, seeker = ask("self_reflection")
    texts = {name: (line["text"], line["attempt"]) for name, line in responses.items()}
    assert texts == {
        "first": ("to first", 1),
        "second": ("to second", 2),
        "blank": ("to blank", 3),
        "never": ("no JSON 3", 3),
    }
    assert [counts[f"parsed_at_attempt_{n}"] for n in (1, 2, 3)] == [1, 1, 1]
    assert (counts["unparsed"], counts["count"], counts["shortened"]) == (1, 4, 0)
    assert counts["parse_failures"] == {"blank": 2, "no_json": 4}
    assert len({body["seed"] for body in seeker.bodies}) == len(seeker.bodies) == 1 + 2 + 3 + 3
    assert {body["messages"][0]["role"] for body in seeker.bodies} == {"system"}


def test_other_prompts_are_asked_once_and_their_answers_are_plain_text(ask: Callable[..., Any]):
    responses, counts, seeker = ask("task")
    assert len(seeker.bodies) == 4
    assert responses["first"]["text"] == '{"strategy": "Others", "text": "to first"}'
    assert responses["second"]["text"] == "no JSON 1"
    assert set(counts) == {
        *("count", "empty", "cut_off", "mean_words", "shortened", "unanswered", "parse_failures"),
        "generated_tokens",
    }


# --- a prompt longer than the one that contexts are cut for


def run_locally(
    policy: Path, contexts_file: Path, params: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    monkeypatch.chdir(folder)
    files = {"policy": policy, "contexts": contexts_file, "out": "out.jsonl", "metrics": "m.json"}
    parts = [part for name, value in files.items() for part in (f"--{name}", str(value))]
    respond.main([*parts, "--prompt", "self_reflection", "--params", str(params)])
    return json.loads((folder / "m.json").read_text())


def test_a_longer_prompt_takes_the_oldest_exchanges_and_is_counted(
    backbone: Path,
    contexts_file: Path,
    params_file: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    prompts = write_prompts(tmp_path / "prompts", self_reflection="Think of the seeker, answer with JSON.")
    changes = {"prompts.dir": str(prompts), "respond.attempts": 1}
    short = params_file(changes | {"respond.sampling.max_new_tokens": 8})
    narrow = Backbone(weights=str(backbone), template="llama3", dtype="float32", window=144)
    write_backbone(tmp_path / "narrow", narrow)
    counts = run_locally(backbone, contexts_file, short, tmp_path, monkeypatch)
    assert (counts["shortened"], counts["count"]) == (0, 40)
    tight = params_file(changes | {"respond.sampling.max_new_tokens": 32})
    counts = run_locally(tmp_path / "narrow", contexts_file, tight, tmp_path, monkeypatch)
    assert 0 < counts["shortened"] < counts["count"] == counts["unparsed"] == 40
    full = params_file(changes | {"respond.sampling.max_new_tokens": 511})
    with pytest.raises(InputError, match=r"record d000#1: field messages: .* exceed 512"):
        run_locally(backbone, contexts_file, full, tmp_path, monkeypatch)
