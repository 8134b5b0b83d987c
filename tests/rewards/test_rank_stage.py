"""The stage rank with a model that a real server plays: candidates, their order, and nothing asked twice."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from selfevolve.records.jsonl import write_records
from selfevolve.records.schema import Dialogue, Refinement, Turn
from stages import pair, rank
from tests.conftest import read_lines
from tests.support.refining import write_contexts
from tests.support.servers import ChatServer, Reply, answers, completion

SAID = {job: f"I work as a {job}, and I am tired of being a {job}." for job in ("nurse", "teacher", "baker")}
PERSONAL = "So you work as a {job}."


def reply(body: dict[str, Any], _: int) -> Reply:
    """Say the seeker's job to every second seed, and one sentence for all to the others."""
    said = body["messages"][-1]["content"]
    job = next(job for job in SAID if job in said)
    return answers(completion(PERSONAL.format(job=job) if body["seed"] % 2 else "I am here for you."))


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer(reply) as running:
        yield running


@pytest.fixture
def ranked(
    tmp_path: Path, params_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, server: ChatServer
) -> Callable[..., Any]:
    """Run the stage in a folder with three contexts; return its counts and its records by job."""
    monkeypatch.chdir(tmp_path)
    write_contexts(SAID)
    write_records("refined.jsonl", [Refinement(id=f"{job}#1", attempts=3, status="failed") for job in SAID])
    answer = Turn(role="supporter", text="Yes.")
    dialogues = [
        Dialogue(id=job, source="s", turns=[Turn(role="seeker", text=text), answer])
        for job, text in SAID.items()
    ]
    write_records("dialogues.jsonl", dialogues)

    def run(changes: dict[str, Any], *more: str) -> Any:
        engine = {"kind": "openai", "code": "selfevolve/engines/server", "base_url": server.url}
        engine |= {"model": "{policy}", "concurrency": 1, "timeout_s": 60.0, "retries": 0}
        engine |= {"key_variable": "OPENAI_API_KEY"}
        params = params_file({"engine": engine, **changes})
        files = ["--policy", "backbone", "--contexts", "contexts.jsonl", "--responses", "responses.jsonl"]
        files += ["--refined", "refined.jsonl", "--dialogues", "dialogues.jsonl", "--out", "ranked.jsonl"]
        rank.main([*files, "--metrics", "ranked.json", "--params", str(params), *more])
        records = {line["id"].removesuffix("#1"): line for line in read_lines(Path("ranked.jsonl"))}
        return json.loads(Path("ranked.json").read_text()), records, params

    return run


def test_the_candidate_that_speaks_to_the_seeker_is_the_best(ranked: Callable[..., Any]):
    counts, records, params = ranked({"reward.candidates": {"direct": 8, "refined": 1}})
    for job, record in records.items():
        texts = [one["text"] for one in record["candidates"]]
        assert texts[0] == PERSONAL.format(job=job)
        assert sorted(texts[1:]) == ["I am here for you.", "I am so sorry."]
        rewards = [one["reward"] for one in record["candidates"]]
        assert rewards == sorted(rewards, reverse=True)
    assert counts["left_out"] == {"empty": 0, "cut_off": 0, "not_refined": 3, "same": 15}
    assert (counts["by"], counts["ranked"], counts["direct"]) == ("personalisation", 3, 9)
    assert counts["generated_tokens"] > 3 * 7 * 3
    files = ["--contexts", "contexts.jsonl", "--rejected", "responses.jsonl", "--refined", "refined.jsonl"]
    files += ["--ranked", "ranked.jsonl", "--chosen", "reward", "--out", "pairs", "--metrics", "pairs.json"]
    pair.main([*files, "--params", str(params)])
    made = read_lines(Path("pairs/train.jsonl")) + read_lines(Path("pairs/valid.jsonl"))
    assert {one["chosen"]["value"] for one in made} == {PERSONAL.format(job=job) for job in SAID}
    assert json.loads(Path("pairs.json").read_text())["chosen_source"]["direct"] == 3


def test_a_second_run_asks_nothing_and_writes_the_same_bytes(ranked: Callable[..., Any], server: ChatServer):
    ranked({"reward.candidates": {"direct": 3, "refined": 0}})
    before, asked = Path("ranked.jsonl").read_bytes(), len(server.bodies)
    ranked({"reward.candidates": {"direct": 3, "refined": 0}})
    assert Path("ranked.jsonl").read_bytes() == before != b""
    assert len(server.bodies) == asked == 6
    ranked({"reward.by": "relevance", "reward.candidates": {"direct": 3, "refined": 0}})
    assert len(server.bodies) == asked  # another reward ranks the same candidates


@pytest.mark.parametrize("chosen", ["refined", "golden"])
def test_where_no_reward_chooses_no_model_is_asked(ranked: Callable[..., Any], chosen: str):
    counts, records, _ = ranked({}, "--chosen", chosen, "--policy", "none")
    assert (counts, records) == ({"ranked": 0}, {})


def test_without_a_preference_training_the_principles_choose(ranked: Callable[..., Any]):
    counts, records, params = ranked({"reward.by": "implicit", "reward.supervised": 0})
    assert (counts, records) == ({"by": "principles", "ranked": 0}, {})
    files = ["--contexts", "contexts.jsonl", "--rejected", "responses.jsonl", "--refined", "refined.jsonl"]
    files += ["--ranked", "ranked.jsonl", "--chosen", "reward", "--out", "pairs", "--metrics", "pairs.json"]
    pair.main([*files, "--params", str(params)])
    assert json.loads(Path("pairs.json").read_text())["chosen_source"]["golden_parse"] == 3
