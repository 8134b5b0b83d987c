"""`refine.answers: two`: the stage asks a real server on loopback for a reflection, then for a response."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfevolve.policies.policy import Backbone, write_backbone
from selfevolve.records.jsonl import write_records
from selfevolve.records.schema import Context, Message, Response
from stages import refine
from tests.conftest import ROOT, read_lines
from tests.support.answers import REFLECTION, UNDERSTANDING
from tests.support.servers import ChatServer, Reply, answers, completion

DIRECT = "I am so sorry."  # four words, so that refined ones may have eight
ALONE = {key: REFLECTION[key] for key in ("understanding", "evaluation_score", "feedback")}
JSON, LONG, SHORT = json.dumps(ALONE), "long " * 9, "Supporter: What happened there?"
# What a policy writes when it is asked to reflect, and then to respond, one text an attempt.
WRITES: dict[str, tuple[list[str], list[str]]] = {
    "plain": ([JSON], [SHORT]),
    "later": (["no JSON", JSON], [SHORT]),
    "blank": ([JSON], ["supporter:", SHORT]),
    "long": ([JSON], [LONG, LONG, SHORT]),
    "never": (["no JSON"] * 3, []),
    "mute": ([JSON], ["..."] * 3),
}


class Policy:
    """Writes what WRITES says to the seeker who names it."""

    def __init__(self) -> None:
        self.reflecting: dict[str, list[dict[str, Any]]] = {name: [] for name in WRITES}
        self.responding: dict[str, list[dict[str, Any]]] = {name: [] for name in WRITES}

    def __call__(self, body: dict[str, Any], nth: int) -> Reply:
        request = body["messages"][-1]["content"]
        asked = self.reflecting if "Response to improve:" in request else self.responding
        (name,) = [name for name in WRITES if f"I am {name}." in request]
        texts = WRITES[name][asked is self.responding]
        text = texts[len(asked[name])]
        asked[name].append(body)
        return answers(completion(text))


@pytest.fixture
def run(
    params_file: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], tuple[Policy, dict[str, Any], dict[str, dict[str, Any]]]]:
    """Runs refine with this `pair.too_long`; returns the policy, the counts and the records."""
    said = [[Message(role="user", content=f"I am {name}.")] for name in WRITES]
    asked = [
        Context(id=f"{name}#1", messages=messages, golden="golden " * 3)
        for name, messages in zip(WRITES, said, strict=True)
    ]
    direct = [Response(id=one.id, text=DIRECT, finish_reason="stop", attempt=1, model="m") for one in asked]
    write_records(tmp_path / "contexts.jsonl", asked)
    write_records(tmp_path / "responses.jsonl", direct)
    tiny = Backbone(weights=str(ROOT / "testbed/tiny"), template="llama3", dtype="float32", window=1120)
    write_backbone(tmp_path / "backbone", tiny)  # of which only the tokenizer is used
    monkeypatch.chdir(tmp_path)

    def run_stage(too_long: str) -> tuple[Policy, dict[str, Any], dict[str, dict[str, Any]]]:
        policy = Policy()
        with ChatServer(policy) as server:
            engine = {"kind": "openai", "code": "selfevolve/engines/server", "base_url": server.url}
            engine |= {"model": "{policy}", "concurrency": 1, "timeout_s": 60.0, "retries": 0}
            changes = {"engine": engine | {"key_variable": "OPENAI_API_KEY"}, "pair.too_long": too_long}
            changes |= {"refine.answers": "two", "refine.attempts": 3, "refine.sampling.max_new_tokens": 64}
            changes |= {"prompts.dir": str(ROOT / "prompts/paper")}
            files = ["--policy", "backbone", "--contexts", "contexts.jsonl", "--responses", "responses.jsonl"]
            files += ["--out", "refined.jsonl", "--metrics", "refined.json"]
            refine.main([*files, "--params", str(params_file(changes))])
        records = {line["id"].removesuffix("#1"): line for line in read_lines(tmp_path / "refined.jsonl")}
        return policy, json.loads((tmp_path / "refined.json").read_text()), records

    return run_stage


def test_the_reflection_comes_first_and_the_response_is_asked_for_by_the_dialogue(run: Callable[[str], Any]):
    policy, counts, records = run("golden")
    assert {name: len(bodies) for name, bodies in policy.reflecting.items()} == {
        name: len(texts) for name, (texts, _) in WRITES.items()
    }
    expected = {"plain": 1, "later": 1, "blank": 2, "long": 1, "never": 0, "mute": 3}
    assert {name: len(bodies) for name, bodies in policy.responding.items()} == expected
    system, seeker = policy.responding["plain"][0]["messages"]
    assert seeker == {"role": "user", "content": "I am plain."}
    assert all(text in system["content"] for text in (*UNDERSTANDING.values(), "too vague", DIRECT))
    found = {name: (one["status"], one.get("refined_response")) for name, one in records.items()}
    good = ("parsed", "What happened there?")
    assert found == {
        **dict.fromkeys(("plain", "later", "blank"), good),
        "long": ("parsed", LONG.strip()),
        **dict.fromkeys(("never", "mute"), ("failed", None)),
    }
    assert [records[name]["attempts"] for name in WRITES] == [1, 2, 2, 1, 3, 3]
    assert records["plain"]["understanding"] == UNDERSTANDING
    assert records["mute"]["raw"] == ["..."] * 3
    assert (counts["count"], counts["failed"], counts["parse_failures"]) == (6, 1, {"no_json": 4})
    second = counts["responses"]
    assert [second[f"parsed_at_attempt_{n}"] for n in (1, 2, 3)] == [3, 1, 0]
    assert (second["count"], second["failed"], second["labelled"]) == (5, 1, 3)
    assert second["parse_failures"] == {"blank": 1, "placeholder": 3}


def test_a_shorter_response_is_asked_for_in_the_same_form(run: Callable[[str], Any]):
    policy, counts, records = run("ask_again")
    bodies = policy.responding["long"]
    assert ["at most 8 words" in body["messages"][0]["content"] for body in bodies] == [False, True, True]
    assert len({body["seed"] for body in bodies}) == 3
    assert len(policy.reflecting["long"]) == 1
    assert records["long"]["refined_response"] == "What happened there?"
    assert records["long"]["understanding"] == UNDERSTANDING
    assert (counts["shorter"]["over_length_rule"], counts["shorter"]["made_shorter"]) == (1, 1)
