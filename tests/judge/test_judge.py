"""LLM as judge against a server on loopback: verdicts, what they come to, limits, agreement with people."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from selfevolve.judge.verdicts import DIMENSIONS, Judged
from selfevolve.records.jsonl import read_records
from selfevolve.runtime.errors import InputError
from stages.judging import judge
from tests.conftest import read_lines
from tests.support.judges import (
    JUDGE,
    USAGE,
    always,
    dimension_of,
    judge_line,
    read_json,
    says,
    scores,
    write_params,
    write_world,
)
from tests.support.servers import ChatServer, Reply

PRICES = {"input_per_million": 1000.0, "output_per_million": 10000.0}  # an answer of USAGE costs 0.2


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.chdir(tmp_path)


def by_dimension(body: dict[str, Any], nth: int) -> Reply:
    return scores({"coherence": 5, "overall": 2}.get(dimension_of(body), 3))


def test_every_response_is_scored_in_all_seven_dimensions(tmp_path: Path):
    write_world(tmp_path, 6)
    with ChatServer(by_dimension) as server:
        write_params(tmp_path, server.url)
        judge.main(judge_line())
    judged = read_records(tmp_path / "verdicts.jsonl", Judged)
    assert [one.id for one in judged] == ["d0#1", "d0#3", "d1#1", "d1#3", "d2#1", "d2#3"]
    assert [verdict.dimension for verdict in judged[0].verdicts] == list(DIMENSIONS)
    assert {verdict.explanation for one in judged for verdict in one.verdicts} == {"It does."}
    metrics = read_json(tmp_path / "judge.json")
    means = {dimension: score["mean"] for dimension, score in metrics["scores"].items()}
    assert means == {**dict.fromkeys(DIMENSIONS, 3.0), "coherence": 5.0, "overall": 2.0}
    assert metrics["scores"]["overall"] == {"mean": 2.0, "low": 2.0, "high": 2.0, "count": 6, "failed": 0}
    assert metrics["verdicts"] == {"asked": 42, "decided": 42, "decided_at_attempt_1": 42, "failed": 0}
    assert metrics["failures"] == metrics["failed_attempts"] == {}
    assert metrics["contexts"] == {"found": 6, "sampled": 6, "dialogues": 3, "empty_responses": 0}
    assert metrics["model"] == "m2"


def test_a_question_holds_rubric_dialogue_response_and_the_paper_s_sampling(tmp_path: Path):
    write_world(tmp_path, 1, {"m2": "Tell me {{dialogue}} more."})
    with ChatServer(by_dimension) as server:
        write_params(tmp_path, server.url)
        judge.main(judge_line())
    assert sorted(map(dimension_of, server.bodies)) == sorted(DIMENSIONS)
    for body in server.bodies:
        system, user = body["messages"]
        assert (system["role"], user["role"]) == ("system", "user")
        assert "seeker: My cat ran away." in user["content"]
        assert "supporter: Tell me {{dialogue}} more." in user["content"]
        assert [body[key] for key in ("temperature", "top_p", "top_k")] == [0.8, 0.95, 50]
    assert len({body["seed"] for body in server.bodies}) == 7


def test_a_server_without_top_k_is_not_sent_any_and_the_metrics_say_so(tmp_path: Path):
    write_world(tmp_path, 1)
    with ChatServer(by_dimension) as server:
        write_params(tmp_path, server.url, {"extensions": False})
        judge.main(judge_line())
    assert all("top_k" not in body and "repetition_penalty" not in body for body in server.bodies)
    assert read_json(tmp_path / "judge.json")["judge"]["not_sent"] == ["top_k", "repetition_penalty"]


def test_with_another_rubric_only_its_questions_are_asked_again(tmp_path: Path):
    write_world(tmp_path, 2)
    shutil.copytree(JUDGE["rubrics"], tmp_path / "own")
    (tmp_path / "own" / "empathy.txt").write_text("Rate the empathy as I say.\n", encoding="utf-8")
    with ChatServer(by_dimension) as server:
        write_params(tmp_path, server.url)
        judge.main(judge_line())
        first = read_json(tmp_path / "judge.json")["judge"]["rubrics"]
        write_params(tmp_path, server.url, rubrics="own")
        judge.main(judge_line())
    assert len(server.bodies) == 14 + 2
    assert {body["messages"][0]["content"] for body in server.bodies[14:]} == {"Rate the empathy as I say."}
    assert read_json(tmp_path / "judge.json")["judge"]["rubrics"] != first


def test_the_sample_is_seeded_the_same_for_all_models_and_grows_without_asking_twice(tmp_path: Path):
    write_world(tmp_path, 20, {"m1": "One.", "m2": "Two."})
    sampled: dict[tuple[str, int], list[str]] = {}
    with ChatServer(by_dimension) as server:
        for model, count in (("m1", 5), ("m2", 5), ("m2", 8)):
            write_params(tmp_path, server.url, contexts=count)
            judge.main(judge_line("--responses", f"{model}/responses.jsonl"))
            sampled[model, count] = [line["id"] for line in read_lines(tmp_path / "verdicts.jsonl")]
        assert len(server.bodies) == 7 * (5 + 5 + 3)
        write_params(tmp_path, server.url, contexts=5, seed=2)
        judge.main(judge_line())
    assert sampled["m1", 5] == sampled["m2", 5]
    assert set(sampled["m2", 5]) < set(sampled["m2", 8])
    assert len({identity.split("#")[0] for identity in sampled["m2", 8]}) == 8
    assert [line["id"] for line in read_lines(tmp_path / "verdicts.jsonl")] != sampled["m2", 5]


def test_the_judge_is_asked_again_with_another_seed_until_its_answer_parses(tmp_path: Path):
    def reply(body: dict[str, Any], nth: int) -> Reply:
        if dimension_of(body) == "empathy":
            return scores(9)
        asked = [other for other in server.bodies if other["messages"] == body["messages"]]
        return says("Let me think.") if dimension_of(body) == "overall" and len(asked) < 3 else scores(4)

    write_world(tmp_path, 1)
    with ChatServer(reply) as server:
        write_params(tmp_path, server.url)
        judge.main(judge_line())
    assert len(server.bodies) == len(server.asked()) == 5 + 3 + 3
    verdicts = {v["dimension"]: v for v in read_lines(tmp_path / "verdicts.jsonl")[0]["verdicts"]}
    raw = json.dumps({"explanation": "It does.", "score": 9})
    assert verdicts["empathy"] == {
        "dimension": "empathy",
        "attempts": 3,
        "failed_attempts": [{"reason": "out_of_range", "text": raw}] * 3,
    }
    assert (verdicts["overall"]["score"], verdicts["overall"]["attempts"]) == (4, 3)
    assert verdicts["overall"]["failed_attempts"] == [{"reason": "no_json", "text": "Let me think."}] * 2
    metrics = read_json(tmp_path / "judge.json")
    assert metrics["scores"]["empathy"] == {"count": 0, "failed": 1}
    assert metrics["verdicts"] == {
        "asked": 7,
        "decided": 6,
        "decided_at_attempt_1": 5,
        "decided_at_attempt_3": 1,
        "failed": 1,
    }
    assert metrics["failures"] == {"out_of_range": 1}
    assert metrics["failed_attempts"] == {"no_json": 2, "out_of_range": 3}


def test_cost_is_estimated_before_the_first_call_and_counted_afterwards(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    said: list[str] = []

    def reply(body: dict[str, Any], nth: int) -> Reply:
        said.append(capsys.readouterr().out)
        return scores(4)

    write_world(tmp_path, 1)
    with ChatServer(reply) as server:
        write_params(tmp_path, server.url, {"concurrency": 1}, prices=PRICES)
        judge.main(judge_line())
    assert said[0].startswith("judge: 7 questions, 0 too long, 0 answered before, 7 to ask: about ")
    sent = sum(len(message["content"]) for body in server.bodies for message in body["messages"])
    metrics = read_json(tmp_path / "judge.json")
    estimate = metrics["estimate"]
    assert sent / 4 <= estimate["tokens_in"] <= sent / 4 + 7
    assert (estimate["calls"], estimate["tokens_out"]) == (7, 7 * 256)
    assert estimate["cost"] == pytest.approx(estimate["tokens_in"] / 1000 + estimate["tokens_out"] / 100)
    assert f"a cost of at most about {estimate['cost']:.2f};" in said[0]
    assert metrics["calls"] == {
        "calls": 7,
        "refused": 0,
        "answers": 7,
        "answers_with_usage": 7,
        "prompt_tokens": 7 * USAGE["prompt_tokens"],
        "completion_tokens": 7 * USAGE["completion_tokens"],
        "cost": pytest.approx(7 * 0.2),
        "cost_at_most": pytest.approx(7 * 0.2),
    }


def test_tokens_that_nobody_counted_and_prices_that_nobody_knows_are_null(tmp_path: Path):
    write_world(tmp_path, 1)
    with ChatServer(always(says('{"explanation": "e", "score": 2}', usage=None))) as server:
        write_params(tmp_path, server.url)
        judge.main(judge_line())
    metrics = read_json(tmp_path / "judge.json")
    assert metrics["estimate"]["cost"] is None
    names = ("prompt_tokens", "completion_tokens", "cost", "cost_at_most")
    assert [metrics["calls"][name] for name in names] == [None] * 4
    assert metrics["calls"]["answers_with_usage"] == 0


def test_the_limit_on_calls_stops_before_it_is_exceeded_and_a_higher_one_goes_on(tmp_path: Path):
    write_world(tmp_path, 4)
    with ChatServer(by_dimension) as server:
        write_params(tmp_path, server.url, limit_calls=10)
        for _ in range(2):
            with pytest.raises(InputError, match=r"field judge\.limit_calls: 10 calls .* 10 are allowed"):
                judge.main(judge_line())
        assert len(server.bodies) == 10
        assert not (tmp_path / "verdicts.jsonl").exists()
        assert not (tmp_path / "judge.json").exists()
        write_params(tmp_path, server.url, limit_calls=28)
        judge.main(judge_line())
    assert set(server.asked().values()) == {1}
    assert len(server.bodies) == 28
    assert read_json(tmp_path / "judge.json")["verdicts"]["decided"] == 28


def test_the_limit_on_cost_holds_for_the_worst_case_of_calls_on_their_way(tmp_path: Path):
    write_world(tmp_path, 6)
    with ChatServer(by_dimension) as server:
        write_params(tmp_path, server.url, {"concurrency": 2}, prices=PRICES, limit_cost=10.0)
        with pytest.raises(InputError, match=r"field judge\.limit_cost: .* 10 is allowed"):
            judge.main(judge_line())
        # a call can cost 4 to 5 (bytes sent and 256 tokens back) and costs 0.2
        stopped = len(server.bodies)
        assert 2 < stopped < 42
        assert stopped * 0.2 + 4 < 10.0
        write_params(tmp_path, server.url, prices=PRICES, limit_cost=100.0)
        judge.main(judge_line())
    assert set(server.asked().values()) == {1}
    assert read_json(tmp_path / "judge.json")["calls"]["cost"] == pytest.approx(42 * 0.2)


def test_a_limit_is_for_everything_that_a_judge_is_asked(tmp_path: Path):
    write_world(tmp_path, 1, {"m1": "One.", "m2": "Two."})
    with ChatServer(by_dimension) as server:
        write_params(tmp_path, server.url, limit_calls=8)
        judge.main(judge_line("--responses", "m1/responses.jsonl"))
        with pytest.raises(InputError, match="8 calls were made of this judge"):
            judge.main(judge_line())
    assert len(server.bodies) == 8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"limit_cost": 3.0}, "field judge: .*limit_cost needs prices"),
        ({"prices": {"input_per_million": 1.0, "output_per_million": None}}, "give both prices"),
        ({"contexts": 0}, r"field judge\.contexts"),
        ({"engine": {"tolerance": -1}}, r"field judge\.engine\.tolerance"),
        ({"engine": {"kind": "oracle"}}, r"field judge\.engine\.kind: must be transformers or openai"),
        ({"engine": {"api_key": "sk"}}, r"field judge\.engine\.api_key"),
    ],
)
def test_wrong_parameters_are_named(tmp_path: Path, change: dict[str, Any], message: str):
    write_world(tmp_path, 1)
    write_params(tmp_path, "http://127.0.0.1:9/v1", **change)
    with pytest.raises(InputError, match=message):
        judge.main(judge_line())


def test_a_context_without_response_is_named_before_anything_is_asked(tmp_path: Path):
    write_world(tmp_path, 3)
    path = tmp_path / "m2" / "responses.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:1]))
    write_params(tmp_path, "http://127.0.0.1:9/v1")
    with pytest.raises(InputError, match=r"record d0#3: has no record of this id, nor of 1 more"):
        judge.main(judge_line())
