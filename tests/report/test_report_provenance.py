"""Where the numbers come from: commit, locks, digests, chains of models, counts and dialogues."""

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import publish_json
from selfevolve.runtime.run_record import RunRecord
from tests.support.reports import Page, make_report, text_scores, write_lines, write_project


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    write_project(
        tmp_path, {"metrics/m2/text.json": text_scores(20, signatures={"bleu_2": "nrefs:1|tok:13a"})}
    )


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def write_lock(path: Path, outs: dict[str, dict[str, Any]]) -> None:
    """A lock of stages and the outputs of each, by path."""
    stages = {
        stage: {"cmd": "x", "outs": [{"path": name, **out} for name, out in made.items()]}
        for stage, made in outs.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))


def test_metrics_files_are_held_against_the_locks(tmp_path: Path):
    publish_json(tmp_path / "metrics/m1/text.json", text_scores(30))
    digest = md5(tmp_path / "metrics/m2/text.json")
    made = {
        "score@m2": {"metrics/m2/text.json": {"md5": digest, "size": 5}},
        "score@m1": {"metrics/m1/text.json": {"md5": "0" * 32, "size": 5}},
        "score@m0": {"metrics/m0/text.json": {"md5": "1" * 32, "size": 5}},
        "train@m2": {"models/m2": {"md5": "abc.dir", "size": 1234}},
    }
    write_lock(tmp_path / "dvc.lock", made)
    publish_json(tmp_path / "metrics/iterations.json", {"metrics": {}})
    page = Page(make_report()[0])
    row = page.row("Metrics files", "metrics/m2/text.json")
    assert row == ["score@m2", digest, "as locked"]
    assert page.row("Metrics files", "metrics/m1/text.json")[2] == "differs from the lock"
    assert page.row("Metrics files", "metrics/m0/text.json")[2] == "is not there"
    assert page.row("Metrics files", "metrics/iterations.json")[2] == "in no lock"
    assert page.row("Data and models by DVC's digests", "models/m2") == ["train@m2", "abc.dir", "1234"]
    lock = hashlib.sha256((tmp_path / "dvc.lock").read_bytes()).hexdigest()
    assert page.row("What was run", "dvc.lock") == [lock]
    assert page.row("What was run", "data/dvc.lock") == ["not there"]
    assert page.row("How scores were computed", "bleu_2") == ["nrefs:1|tok:13a", "m2"]


def test_a_stage_of_another_pipeline_file_is_known_by_dvc_s_address(tmp_path: Path):
    digest = md5(tmp_path / "metrics/m2/text.json")
    write_lock(tmp_path / "stages/judging/dvc.lock", {"judge@m2": {"metrics/m2/text.json": {"md5": digest}}})
    write_lock(tmp_path / "dvc.lock", {"judge@m2": {"metrics/m0/text.json": {"md5": digest}}})
    lines = [
        RunRecord(
            stage=stage,
            seconds=seconds,
            ended="2020-01-01T00:00:00+00:00",
            outputs={"metrics/m2/text.json": output},
            machine={"cores": cores},
            packages={},
        )
        for stage, seconds, output, cores in (
            ("stages/judging/dvc.yaml:judge@m2", 7.0, digest, "2"),  # a former run, with the same result
            ("stages/judging/dvc.yaml:judge@m2", 65.25, digest, "16"),
            ("stages/judging/dvc.yaml:judge@m2", 9.0, "0" * 32, "4"),  # the last one, of something else
            ("judge@m2", 3.0, digest, "8"),
        )
    ]
    (tmp_path / "metrics/runs.jsonl").write_text("".join(line.model_dump_json() + "\n" for line in lines))
    page = Page(make_report()[0])
    row = page.row("Seconds of every stage", "stages/judging/dvc.yaml:judge@m2")
    assert row == ["65.2", "2020-01-01T00:00:00+00:00", "machine 1"]
    assert page.row("Seconds of every stage", "judge@m2")[0] == "not recorded"
    assert page.row("Machines and packages", "cores") == ["16"]


def test_the_commit_and_the_files_changed_since_are_named(tmp_path: Path):
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "start"]):
        git = ["git", "-c", "user.name=t", "-c", "user.email=t@localhost"]
        subprocess.run([*git, *command], check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout
    assert Page(make_report()[0]).row("What was run", "files changed since") == ["none"]
    (tmp_path / "params.yaml").write_text((tmp_path / "params.yaml").read_text() + "# edited\n")
    page = Page(make_report()[0])
    assert page.row("What was run", "commit") == [head.strip()]
    assert page.row("What was run", "files changed since") == ["params.yaml"]


def test_the_chain_of_a_model_and_who_wrote_its_responses(tmp_path: Path):
    answer = {"id": "d#1", "text": "Yes.", "finish_reason": "stop", "attempt": 1, "model": "digest-of-m2"}
    (tmp_path / "data/m2").mkdir(parents=True)
    (tmp_path / "data/m2/responses.jsonl").write_text(write_lines([answer]))
    publish_json(tmp_path / "models/m2/policy.json", {"parent": "../m1", "parent_digest": "digest-of-m1"})
    publish_json(
        tmp_path / "models/backbone/policy.json", {"weights": "/srv/somebody/llama", "template": "x"}
    )
    publish_json(tmp_path / "metrics/m2/capability.json", {"policy": "digest-of-m2", "score": {}})
    page = Page(make_report()[0])
    expected = ["models/m2", "task", "../m1", "digest-of-m1", "digest-of-m2", "digest-of-m2"]
    assert page.row("Chains of models", "m2") == expected
    assert page.row("Chains of models", "vanilla")[2] == "a backbone: …/llama"
    assert page.row("Chains of models", "m1")[2] == "not run"
    assert "somebody" not in page.text
    source = {"file": "own.gguf", "sha256": "digest-of-own", "quantisation": "MOSTLY_Q8_0"}
    publish_json(
        tmp_path / "models/backbone/policy.json", {"weights": ".", "template": "x", "source": source}
    )
    row = Page(make_report()[0]).row("Chains of models", "vanilla")
    assert row[2:4] == ["a backbone: own.gguf (MOSTLY_Q8_0)", "digest-of-own"]


def test_counts_are_those_of_the_files_and_an_absent_one_is_no_zero(tmp_path: Path):
    m1 = {"pairs": 53, "chosen_source": {"refined": 50, "golden_parse": 3}, "dropped": {"equal": 0}}
    publish_json(tmp_path / "metrics/m1/preferences.json", m1)
    publish_json(tmp_path / "metrics/m2/preferences.json", {"pairs": 7})
    page = Page(make_report()[0])
    caption, models = "Preference pairs", list(yaml.safe_load(Path("params.yaml").read_text())["iterations"])
    for key, cells in {
        "pairs": ["53", "7"],
        "chosen_source.golden_parse": ["3", "not available"],
        "dropped.equal": ["0", "not available"],
    }.items():
        assert page.row(caption, key) == [*cells, *["not run"] * (len(models) - 2)]


def test_pairs_stand_by_the_source_of_the_chosen_responses_with_their_lengths_and_facts(tmp_path: Path):
    lengths = {"pairs": 50, "percent": 62.5, "length_ratio": 1.25, "length_ratio_max": 2.0}
    long = {"pairs": 30, "percent": 37.5, "length_ratio": 1.5, "length_ratio_max": 6.0}
    by_source = {"refined": lengths | {"over_length_rule": 0}, "golden_length": long}
    facts = {"pairs": 50, "chosen_own": 1.4, "rejected_own": 0.3, "chosen_wrong": 0.1, "rejected_wrong": 0.0}
    publish_json(tmp_path / "metrics/m1/preferences.json", {"pairs": 80, "by_source": by_source})
    publish_json(tmp_path / "metrics/m1/reflections.json", {"facts_by_source": {"refined": facts}})
    page, caption = Page(make_report()[0]), "Chosen and rejected responses, by the source"
    expected = ["50", "62.5", "1.25", "2.00", "0", "1.40", "0.30", "0.10", "0.00"]
    assert page.row(caption, "m1", "refined") == expected
    none = ["not available"] * 5  # no rule, no gold profiles
    assert page.row(caption, "m1", "golden_length") == ["30", "37.5", "1.50", "6.00", *none]
    (counts,) = [rows for name, rows in page.tables.items() if name.startswith("Preference pairs")]
    assert [row[0] for row in counts] == ["count", "pairs"]  # these numbers are not said twice


def test_dialogues_are_picked_by_their_rules_and_stand_with_both_answers(tmp_path: Path):
    ids = [f"d{number}#1" for number in range(8)]
    contexts = [
        {"id": one, "messages": [{"role": "user", "content": f"I, {one}."}], "golden": f"G {one}"}
        for one in ids
    ]
    for model in ("m0", "m2"):
        answers = [
            {"id": one, "text": f"{model} to {one}", "finish_reason": "stop", "attempt": 1, "model": "x"}
            for one in ids
        ]
        (tmp_path / "data" / model).mkdir(parents=True)
        (tmp_path / "data" / model / "responses.jsonl").write_text(write_lines(answers))
    (tmp_path / "data/contexts").mkdir()
    (tmp_path / "data/contexts/test.jsonl").write_text(write_lines(contexts))
    telling = {"rule": "the first that differs", "matching": 2, "contexts": 8, "id": "d9#3", "own": ["job"]}
    telling |= {"messages": [{"role": "assistant", "content": "Hello."}], "golden": "Golden."}
    publish_json(tmp_path / "metrics/sample.json", telling | {"first": "From M0.", "last": "From M2."})
    html, markdown = make_report()
    page = Page(html)
    for words in ("From M0.", "From M2.", "Golden.", "The rule fits 2 of 8 contexts. m2 names: job."):
        assert words in page.text
    assert "> **m0:** m0 to d1\\#1" in markdown
    shown = [number for number in range(8) if f"m2 to d{number}#1" in page.text]
    assert shown == [1, 3, 5, 7]  # the middles of four equal parts
    assert all(f"m0 to d{number}#1" in page.text and f"G d{number}#1" in page.text for number in shown)


def test_a_sample_that_no_context_fits_says_so(tmp_path: Path):
    publish_json(tmp_path / "metrics/sample.json", {"matching": 0, "contexts": 8, "reason": "no profiles"})
    assert (
        "No dialogue picked by its rule. The rule fits 0 of 8 contexts. no profiles"
        in Page(make_report()[0]).text
    )


def test_a_broken_lock_and_broken_lines_are_named(tmp_path: Path):
    (tmp_path / "metrics/runs.jsonl").write_text(json.dumps({"stage": "x"}) + "\n")
    with pytest.raises(InputError, match=r"^metrics/runs\.jsonl: record line 1: is not a run record"):
        make_report()
    (tmp_path / "metrics/runs.jsonl").unlink()
    (tmp_path / "dvc.lock").write_text("stages: {score@m2: [1]}\n")
    with pytest.raises(InputError, match=r"^dvc\.lock: field stages\.score@m2: is not an object"):
        make_report()
