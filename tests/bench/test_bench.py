"""The benchmark's harness: same work for all, turns, medians, parts that survive, goals."""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench import __main__ as bench
from bench import baselines
from bench.measuring import SETTINGS, Timed, take_turns
from bench.real import beginning_with
from bench.results import judge, merge, table
from bench.workloads import requests_of
from selfevolve.generation.request import Request, Sampling
from selfevolve.policies.policy import load_policy
from selfevolve.records.schema import Message
from selfevolve.runtime.errors import InputError
from tests.conftest import ROOT, TEXTS

SAMPLING = Sampling(temperature=0.9, top_p=0.8, top_k=50, repetition_penalty=1.2, max_new_tokens=12)
REQUESTS = [
    Request.make(f"r{n}", [Message(role="user", content=TEXTS[n % 4][: 9 * n + 9])], 3) for n in range(9)
]


def test_contestants_write_the_same_number_of_tokens(backbone: Path):
    job = baselines.Job(load_policy(backbone), REQUESTS, SAMPLING)
    made = {
        "ours": baselines.ours(job),
        "one by one": baselines.in_batches(job, 1),
        "fixed batch": baselines.in_batches(job, 4),
    }
    results = take_turns(made, 1)
    assert not [row for row in results.values() if "failed" in row]
    assert len({row["tokens"] for row in results.values()}) == 1


def test_another_beginning_shares_no_prefix_with_the_one_before(backbone: Path):
    job = baselines.Job(load_policy(backbone), REQUESTS, SAMPLING)
    again = beginning_with("2. ", job)
    for before, after in zip(job.requests, again.requests, strict=True):
        assert after.messages[0].content == "2. " + before.messages[0].content
        assert (after.id, after.seed, after.messages[1:]) == (before.id, before.seed, before.messages[1:])


def test_what_is_asked_is_the_same_each_time_and_comes_in_no_order_of_length(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    for name in ("respond", "reflect"):
        work = SETTINGS["work"][name]
        made = requests_of(work)
        assert made == requests_of(work)
        assert {request.messages[-1].role for request in made} == {"user"}
        sizes = [sum(len(message.content) for message in request.messages) for request in made]
        assert sizes != sorted(sizes)
        assert sizes != sorted(sizes, reverse=True)


def test_contestants_take_turns_and_one_that_fails_or_differs_does_not_stop_the_others():
    calls = []

    def broken() -> dict[str, int]:
        raise OSError("no such program")

    made = {name: lambda name=name: calls.append(name) or {"r": 2} for name in "ab"}
    others = {"c": broken, "d": lambda: {"r": 3}, "e": lambda: {"other": 2}}
    results = take_turns({**made, **others}, 2)
    assert calls == ["a", "b", "a", "b", "b", "a"]
    assert len(results["a"]["seconds"]) == 2
    assert "no such program" in results["c"]["failed"]
    assert results["d"]["failed"] == "1 of 1 requests have another output length"
    assert results["e"]["failed"] == "answered 0 of 1 requests"


def test_ratios_are_of_speeds_in_the_same_round_and_their_median_counts():
    seconds = iter([1.0, 1.0, 2.0, 4.0])  # the first of each is the round that does not count
    ours = iter([1.0, 1.0, 1.0, 1.0])

    def first() -> Mapping[str, int] | Timed:
        return Timed(next(ours), {"r": 10})

    results = take_turns(
        {"ours": first, "other": lambda: Timed(next(seconds), {"r": 5})}, 3, same_lengths=False
    )
    assert results["other"] | {"seconds": [], "rates": []} == {
        "seconds": [], "rates": [], "tokens": 5, "median_s": 2.0, "tokens_per_s": 2.5,
        "times": 4.0, "least": 2.0, "most": 8.0,
    }  # fmt: skip


def test_parts_are_merged_and_goals_say_by_how_much_they_are_missed(tmp_path: Path):
    out = tmp_path / "bench.json"
    merge(out, "pipeline", {"no-change repro": {"median_s": 3.5}}, {})
    rows = {
        name: {"times": t, "least": t, "most": t} for name, t in (("one by one", 9.0), ("fixed batch", 1.5))
    }
    whole = merge(out, "respond", rows, {})
    assert list(whole["parts"]) == ["pipeline", "respond"]
    found = {entry["goal"]: entry for entry in whole["goals"]}
    assert found["at least 8 times one-by-one generate (respond)"]["missed_by"] is None
    assert found["at least 2 times the best fixed batch (respond)"]["missed_by"] == 0.5
    assert found["at most 2 s for a no-change dvc repro"]["missed_by"] == 1.5
    assert {entry["value"] for entry in judge({})} == {"not measured"}
    assert "| at most 2 s for a no-change dvc repro | 3.5 | 1.5 |" in table(whole)
    assert "| respond | fixed batch |  |  | 1.50, 1.50 to 1.50 |" in table(whole)
    assert "respond" not in table(whole, ("pipeline",)).split("| goal |")[0]


def test_a_part_that_cannot_be_measured_is_a_result_and_the_next_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def broken(*_: object) -> dict[str, object]:
        raise InputError("no server here")

    out = tmp_path / "bench.json"
    monkeypatch.setitem(bench.PARTS, "scoring", broken)
    monkeypatch.setitem(bench.PARTS, "pipeline", lambda *_: {"one": {"median_s": 1.0}})
    with pytest.raises(InputError, match="scoring, scoring: InputError: no server here"):
        bench.main(["--out", str(out), "--only", "scoring", "pipeline"])
    assert json.loads(out.read_text())["parts"]["pipeline"]["one"]["median_s"] == 1.0
    assert f"not in {out} yet: respond, scattered" in capsys.readouterr().err


def test_a_part_that_is_interrupted_leaves_those_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupted(*_: object) -> dict[str, object]:
        raise KeyboardInterrupt

    out = tmp_path / "bench.json"
    monkeypatch.setitem(bench.PARTS, "scoring", lambda *_: {"one": {"failed": "it is broken"}})
    monkeypatch.setitem(bench.PARTS, "pipeline", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bench.main(["--out", str(out), "--only", "scoring", "pipeline"])
    assert list(json.loads(out.read_text())["parts"]) == ["scoring"]
    with pytest.raises(InputError, match="scoring, one: it is broken"):
        bench.main(["--out", str(out), "--only", "scoring"])


def test_growth_answers_every_context_in_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setitem(SETTINGS, "growth", [300])
    [row] = bench.growth(SimpleNamespace(most=300), Path()).values()
    assert row["answered"] == 300
    assert row["peak_mib"] >= row["start_mib"] > 100


def test_the_memory_that_is_measured_is_not_that_of_the_parent():
    program = (
        "import subprocess, sys; held = bytearray(2000 << 20)\n"
        "code = 'from bench.measuring import resident_peak_mib as peak; print(peak())'\n"
        "print(subprocess.check_output([sys.executable, '-c', code], text=True))"
    )
    found = subprocess.check_output([sys.executable, "-c", program], cwd=ROOT, text=True)
    assert 5 < int(found) < 1800


def test_forward_passes_are_a_part_of_the_whole(backbone: Path, tmp_path: Path):
    found = bench.forward_share(baselines.Job(load_policy(backbone), REQUESTS, SAMPLING), tmp_path)
    assert 0 < found["forward_s"] < found["median_s"]
    assert found["percent"] == pytest.approx(100 * (found["median_s"] / found["forward_s"] - 1))
    assert len(next(tmp_path.rglob("journal.jsonl")).read_text().splitlines()) == len(REQUESTS)


def test_the_share_of_the_models_is_that_of_each_stages_last_run(tmp_path: Path):
    runs = tmp_path / "runs.jsonl"
    assert "make m2" in bench.share(runs)["reason"]
    records = [
        ("respond@m0", 90),
        ("respond@m0", 6),
        ("data/dvc.yaml:mini", 1),
        ("train@m1", 2),
        ("score@m0", 1),
    ]
    rest = {"ended": "now", "outputs": {}, "machine": {}, "packages": {}}
    lines = (json.dumps({"stage": s, "seconds": float(t), **rest}) + "\n" for s, t in records)
    runs.write_text("".join(lines))
    assert bench.share(runs) == {"percent": 20.0, "whole_s": 10.0, "stages": 4}


def test_the_environment_of_the_others_is_pinned():
    lines = [
        line.split("#")[0].strip() for line in (ROOT / "requirements-bench.txt").read_text().splitlines()
    ]
    assert all(re.fullmatch(r"[\w-]+==[\w.]+", line) for line in lines if line)
