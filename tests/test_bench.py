"""The benchmark's harness: same work for all, turns, medians, parts that survive, goals."""

from pathlib import Path

from stages import bench
from stages.benching.results import judge, merge, table
from stages.benching.rounds import compare
from stages.engines.policy import load_policy
from stages.engines.request import Sampling


def test_contestants_write_the_same_number_of_tokens(backbone: Path) -> None:
    sampling = Sampling(temperature=0.9, top_p=0.8, top_k=50, repetition_penalty=1.2, max_new_tokens=3)
    requests = [r for r in bench.requests_of(12) if len(r.messages) < 4]
    made = bench.contestants(load_policy(backbone), requests, sampling, 1024, 4)
    results = compare(made, 1)
    assert not [row for row in results.values() if "failed" in row]
    assert len({row["tokens"] for row in results.values()}) == 1


def test_contestants_take_turns_and_one_that_fails_or_differs_does_not_stop_the_others() -> None:
    calls = []

    def broken() -> dict[str, int]:
        raise OSError("no such program")

    made = {name: lambda name=name: calls.append(name) or {"r": 2} for name in "ab"}
    results = compare({**made, "c": broken, "d": lambda: {"r": 3}}, 2)
    assert calls == ["a", "b", "a", "b", "b", "a"]
    assert len(results["a"]["seconds"]) == 2
    assert "no such program" in results["c"]["failed"]
    assert results["d"]["failed"] == "1 of 1 requests have another output length"


def test_parts_are_merged_and_goals_say_by_how_much_they_are_missed(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    merge(out, "pipeline", {"no-change repro": {"median_s": 3.5}}, {})
    times = {"ours": 1.0, "one by one": 9.0, "fixed batch": 1.5}
    whole = merge(out, "tiny", {name: {"median_s": value} for name, value in times.items()}, {})
    assert list(whole["parts"]) == ["pipeline", "tiny"]
    assert [entry.get("missed_by") for entry in whole["goals"]] == [None, 0.5, None, None, 1.5, None, None]
    assert [entry["value"] for entry in judge({})] == ["not measured"] * 7
    assert "| at most 2 no-change dvc repro, s | 3.5 | 1.5 |" in table(whole)
