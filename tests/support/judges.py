"""A judge on loopback, and a small world for it to judge: contexts, responses, parameters."""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from selfevolve.policies.window import Window
from selfevolve.records.jsonl import write_records
from selfevolve.records.schema import Context, Message, Response
from tests.support.servers import Reply, answers

ENGINE = {
    "kind": "openai",
    "model": "the-judge",
    "concurrency": 4,
    "timeout_s": 10.0,
    "retries": 1,
    "key_variable": "OPENAI_API_KEY",
    "extensions": True,
    "tolerance": 0,
}
JUDGE = {
    "seed": 1,
    "contexts": None,
    "attempts": 3,
    "sampling": {
        "temperature": 0.8,
        "top_p": 0.95,
        "top_k": 50,
        "repetition_penalty": 1.0,
        "max_new_tokens": 256,
    },
    "rubrics": str(Path(__file__).resolve().parents[2] / "selfevolve" / "judge" / "rubrics"),
    "prices": {"input_per_million": None, "output_per_million": None},
    "limit_calls": None,
    "limit_cost": None,
}
USAGE = {"prompt_tokens": 100, "completion_tokens": 10}


class Words:
    """A chat template of which each word is a token."""

    def encode(self, messages: Sequence[Message]) -> list[int]:
        """As many tokens as there are words."""
        return [0] * sum(len(message.content.split()) for message in messages)

    def count(self, text: str) -> int:
        """As many tokens as there are words."""
        return len(text.split())


def word_window(tokens: int) -> Window:
    """A window of this many words."""
    return Window(Words(), tokens)


def write_world(folder: Path, contexts: int, models: dict[str, str] | None = None) -> None:
    """Write contexts, two a dialogue, and for each model a response, its text, to each of them."""
    ids = [f"d{number // 2}#{2 * (number % 2) + 1}" for number in range(contexts)]
    messages = [Message(role="user", content="My cat ran away.")]
    write_records(folder / "contexts.jsonl", [Context(id=i, messages=messages, golden="Oh no.") for i in ids])
    for model, text in (models or {"m2": "I hear you."}).items():
        responses = [Response(id=i, text=text, finish_reason="stop", attempt=1, model="x") for i in ids]
        (folder / model).mkdir()
        write_records(folder / model / "responses.jsonl", responses)


def write_params(folder: Path, url: str, engine: dict[str, Any] | None = None, **judge: Any) -> None:
    """Write the parameters of a judge at this address."""
    section = {**JUDGE, **judge, "engine": {**ENGINE, "base_url": url, **(engine or {})}}
    params = {"judge": section, "judge_pairs": {"length_ratios": [0.8, 1.25]}}
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")


def judge_line(*more: str) -> list[str]:
    """The arguments of stages.judging.judge in such a folder."""
    line = (
        "--responses m2/responses.jsonl --contexts contexts.jsonl --out verdicts.jsonl --metrics judge.json"
    )
    return [*line.split(), *more]


def dimension_of(body: dict[str, Any]) -> str:
    """The dimension that a request asks for."""
    return re.match(r"Rate the (\w+)", body["messages"][0]["content"]).group(1)


def says(text: str, reason: str = "stop", usage: dict[str, int] | None = USAGE) -> Reply:
    """Answer with a completion of this text and, where given, its usage."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": reason}
    return answers(json.dumps({"object": "chat.completion", "choices": [choice], "usage": usage}).encode())


def scores(score: Any) -> Reply:
    """Answer with a verdict."""
    return says(json.dumps({"explanation": "It does.", "score": score}))


def always(reply: Reply) -> Callable[[dict[str, Any], int], Reply]:
    """Answer everything alike."""
    return lambda body, nth: reply


def read_json(path: Path) -> Any:
    """The value in a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))
