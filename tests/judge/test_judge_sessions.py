"""Two models' whole sessions side by side, in both orders."""

import json
from pathlib import Path
from typing import Any

import pytest

from selfevolve.records.jsonl import write_records
from selfevolve.runtime.errors import InputError
from stages.judging import judge_sessions
from tests.conftest import read_lines
from tests.support.judges import read_json, says, write_params
from tests.support.servers import ChatServer, Reply
from tests.support.talks import session

LINE = ["--first", "m0.jsonl", "--second", "m2.jsonl", "--out", "pairs.jsonl", "--metrics", "pairs.json"]


def write(folder: Path, name: str, words: int, **changes: Any) -> None:
    """Three sessions in which a model says its name and so many words more, twice."""
    answer = " ".join([f"by-{name}", *["word"] * words])
    turns = ("Hello.", 5, []), answer, ("I see.", 4, []), answer, ("Bye.", 3, [])
    write_records(folder / f"{name}.jsonl", [session(f"c{n}#0", *turns, **changes) for n in range(3)])


def prefers(model: str, always_a: bool = False) -> Any:
    def reply(body: dict[str, Any], nth: int) -> Reply:
        shown_first = body["messages"][1]["content"].split("Conversation B goes on")[0]
        winner = "A" if always_a or f"by-{model}" in shown_first else "B"
        return says(json.dumps({"explanation": "It listened.", "winner": winner}))

    return reply


def judged(folder: Path, reply: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, ChatServer]:
    monkeypatch.chdir(folder)
    with ChatServer(reply) as server:
        write_params(folder, server.url)
        judge_sessions.main(LINE)
    return read_json(folder / "pairs.json"), server


def test_a_judge_that_prefers_a_model_in_both_orders_gives_it_the_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write(tmp_path, "m0", 9), write(tmp_path, "m2", 4)
    metrics, server = judged(tmp_path, prefers("m2"), monkeypatch)
    assert (metrics["win"]["count"], metrics["loss"]["count"]) == (3, 0)
    assert metrics["by_length"]["below 0.8"]["win"]["count"] == 3  # half as long, and none of the others
    assert metrics["sessions"] == {"found": 3, "sampled": 3}
    assert [line["words_first"] for line in read_lines(tmp_path / "pairs.jsonl")] == [20] * 3
    asked = server.bodies[0]["messages"][1]["content"]
    assert asked.count("seeker: Hello.") == 1  # what both begin with is shown once
    assert asked.count("seeker: Bye.") == 2
    assert asked.count("supporter: by-m0") == asked.count("supporter: by-m2") == 2


def test_a_judge_that_prefers_what_is_shown_first_decides_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write(tmp_path, "m0", 4), write(tmp_path, "m2", 4)
    metrics, _ = judged(tmp_path, prefers("m2", always_a=True), monkeypatch)
    assert (metrics["tie"]["count"], metrics["flips"]["percent"]) == (3, 100.0)


def test_sessions_with_other_seekers_are_not_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write(tmp_path, "m0", 4), write(tmp_path, "m2", 4, seed=2)
    with pytest.raises(InputError, match=r"m2\.jsonl: record c0#0: field seed: is not what it is in m0"):
        judged(tmp_path, prefers("m2"), monkeypatch)
