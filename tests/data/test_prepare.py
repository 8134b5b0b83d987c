"""The stage `prepare` as it is run: what it publishes, and what it says of bad input."""

import gzip
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from selfevolve.records.jsonl import read_records
from selfevolve.records.schema import Dialogue
from tests.conftest import run_stage
from tests.support.raw_corpora import esconv, prepare, published, set_params

REPOSITORY = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("ESC_SHARED", REPOSITORY.parent / "shared"))


def test_publishes_dialogues_and_metrics(corpora: Path) -> None:
    result = prepare(corpora)
    assert (result.returncode, result.stderr) == (0, "")
    out = corpora / "data" / "dialogues"
    assert sorted(file.name for file in out.iterdir()) == [
        "esconv_test.jsonl",
        "esconv_train.jsonl",
        "facts.json",
        "synesc.jsonl",
    ]
    assert json.loads((out / "facts.json").read_text(encoding="utf-8")) == {
        "phrases": {},
        "words": [],
    }  # nobody has a gold profile
    train = read_records(out / "esconv_train.jsonl", Dialogue)
    test = read_records(out / "esconv_test.jsonl", Dialogue)
    synesc = read_records(out / "synesc.jsonl", Dialogue)
    assert sorted(d.id for d in [*train, *test]) == [f"esconv-{number:04d}" for number in range(20)]
    assert (len(train), len(test)) == (18, 2)
    assert [d.id for d in synesc] == [f"extes-{number:05d}" for number in range(5)]
    assert synesc[0].meta == {"scene": "Work", "description": "d"}
    assert synesc[0].turns[1].strategies == ["Affirmation"]

    metrics = json.loads((corpora / "metrics" / "corpora.json").read_text(encoding="utf-8"))
    assert metrics["esconv"]["table_1"] == {
        "sessions": 20,
        "seeker_turns": 100,
        "supporter_turns": 100,
        "turns_per_session": 10.0,
        "words_per_utterance": 2.5,
        "words_per_seeker_utterance": 3.0,
        "words_per_supporter_utterance": 2.0,
    }
    assert metrics["esconv"]["skipped"] == {"no_exchange": 0, "too_short": 1}
    assert metrics["esconv"]["cleaning"]["in_skipped_sessions"] == 8
    assert metrics["serveforemo"]["table_1"]["sessions"] == 0
    assert metrics["serveforemo"]["table_1"]["turns_per_session"] is None
    assert metrics["splits"] == {
        "rule": "seeded share",
        "esconv_train": 18,
        "esconv_test": 2,
        "synesc": 5,
        "esconv_test_duplicates_kept": {"exact": 0, "near": 0},
    }


def test_a_second_run_publishes_the_same_bytes(corpora: Path) -> None:
    prepare(corpora, run_stage)  # a process of its own, whose sets have an order of their own
    first = published(corpora)
    stale = corpora / "data" / "dialogues" / "stale.jsonl"
    stale.write_text("{}", encoding="utf-8")
    prepare(corpora)
    assert published(corpora) == first
    assert len(first) == 4


def test_a_copy_of_a_test_dialogue_leaves_training_and_table_1_still_counts_it(corpora: Path) -> None:
    prepare(corpora)
    test = read_records(corpora / "data" / "dialogues" / "esconv_test.jsonl", Dialogue)[0]
    leaked = [
        {"role": "user" if turn.role == "seeker" else "assistant", "content": turn.text}
        for turn in test.turns
    ]
    (corpora / "serveforemo.jsonl").write_text(json.dumps({"dialogue": leaked}), encoding="utf-8")
    assert prepare(corpora).returncode == 0
    synesc = read_records(corpora / "data" / "dialogues" / "synesc.jsonl", Dialogue)
    assert {d.source for d in synesc} == {"extes"}
    metrics = json.loads((corpora / "metrics" / "corpora.json").read_text(encoding="utf-8"))
    assert metrics["serveforemo"]["table_1"]["sessions"] == 1
    assert metrics["serveforemo"]["duplicates_removed"] == {
        "exact_of_test": 1,
        "near_of_test": 0,
        "exact_in_training": 0,
        "near_in_training": 0,
    }
    assert metrics["splits"]["synesc"] == 5


def test_a_folder_with_the_user_s_own_roles_is_read_and_what_is_passed_over_is_counted(corpora: Path) -> None:
    folder = corpora / "calls"
    (folder / "more").mkdir(parents=True)
    said = [
        [{"role": role, "content": f"{role} {n} {t}"} for t in range(3) for role in ("Caller", "AGENT")]
        for n in range(4)
    ]
    (folder / "a.NDJSON").write_text(
        json.dumps({"messages": said[0]}) + "\n" + json.dumps({"messages": said[1]})
    )
    (folder / "more" / "b.json.gz").write_bytes(gzip.compress(json.dumps([{"messages": said[2]}]).encode()))
    (folder / "LICENSE").write_text("free")
    set_params(roles={"agent": "supporter", "caller": "seeker"})(corpora)
    result = prepare(corpora, serveforemo=folder)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == f"{folder}: files read: 2; passed over: LICENSE\n"
    metrics = json.loads((corpora / "metrics" / "corpora.json").read_text(encoding="utf-8"))
    assert metrics["serveforemo"]["files"] == {"read": 2, "passed_over": 1}
    assert metrics["serveforemo"]["table_1"]["sessions"] == 3
    assert metrics["esconv"]["files"] == {"read": 1, "passed_over": 0}


def test_duplicates_in_esconv_training_are_removed_and_counted_for_their_corpus(corpora: Path) -> None:
    prepare(corpora)
    test_ids = {d.id for d in read_records(corpora / "data/dialogues/esconv_test.jsonl", Dialogue)}
    first, second = [n for n in range(20) if f"esconv-{n:04d}" not in test_ids][:2]
    sessions = [esconv(first if number == second else number) for number in range(20)]
    (corpora / "esconv.json").write_text(json.dumps(sessions), encoding="utf-8")
    assert prepare(corpora).returncode == 0
    train = read_records(corpora / "data/dialogues/esconv_train.jsonl", Dialogue)
    assert len(train) == 17
    assert f"esconv-{second:04d}" not in {d.id for d in train}
    metrics = json.loads((corpora / "metrics" / "corpora.json").read_text(encoding="utf-8"))
    removed = {corpus: sum(metrics[corpus]["duplicates_removed"].values()) for corpus in ("esconv", "extes")}
    assert removed == {"esconv": 1, "extes": 0}
    assert metrics["esconv"]["duplicates_removed"]["exact_in_training"] == 1
    assert metrics["esconv"]["table_1"]["sessions"] == 20
    assert metrics["splits"]["esconv_train"] == 17


def test_sessions_of_held_out_profiles_are_the_test_set_and_their_near_copies_leave_training(
    corpora: Path,
) -> None:
    sessions = json.loads((corpora / "esconv.json").read_text(encoding="utf-8"))
    for number, session in enumerate(sessions):
        session["profile"] = {"emotion": "lost", "held_out": number % 3 == 0}
    sessions[4]["dialog"] = [*sessions[3]["dialog"][:-1], {"speaker": "supporter", "content": "bye"}]
    (corpora / "esconv.json").write_text(json.dumps(sessions), encoding="utf-8")
    assert prepare(corpora).returncode == 0
    sides = {
        side: read_records(corpora / "data" / "dialogues" / f"esconv_{side}.jsonl", Dialogue)
        for side in ("train", "test")
    }
    held_out = [f"esconv-{number:04d}" for number in range(0, 20, 3)]
    assert [d.id for d in sides["test"]] == held_out
    assert {d.id for d in sides["train"]} == {f"esconv-{n:04d}" for n in range(20)} - {
        *held_out,
        "esconv-0004",
    }
    assert sides["test"][1].meta["profile"] == {"emotion": "lost", "held_out": True}
    metrics = json.loads((corpora / "metrics" / "corpora.json").read_text(encoding="utf-8"))
    assert metrics["splits"]["rule"] == "held-out profiles"
    removed = metrics["esconv"]["duplicates_removed"]
    assert (removed["exact_of_test"], removed["near_of_test"]) == (0, 1)


def test_another_seed_draws_another_test_split(corpora: Path) -> None:
    drawn = []
    for seed in (42, 43):
        set_params(seed=seed)(corpora)
        prepare(corpora)
        drawn.append((corpora / "data" / "dialogues" / "esconv_test.jsonl").read_bytes())
    assert drawn[0] != drawn[1]


def test_starts_in_under_a_second_without_torch() -> None:
    code = "import sys, stages.prepare; print('torch' in sys.modules or 'transformers' in sys.modules)"
    before = cpu_seconds_of_children()  # wall-clock time would depend on what else the machine does
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "False"
    assert cpu_seconds_of_children() - before < 1


def cpu_seconds_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.skipif(not (SHARED / "data").is_dir(), reason="the shared data folder is not here")
def test_real_corpora(corpora: Path) -> None:
    result = prepare(corpora, esconv=SHARED / "data" / "esconv", extes=SHARED / "data" / "extes")
    assert (result.returncode, result.stderr) == (0, "")
    metrics = json.loads((corpora / "metrics" / "corpora.json").read_text(encoding="utf-8"))
    assert metrics["splits"] == {
        "rule": "seeded share",
        "esconv_train": 1165,
        "esconv_test": 130,
        "synesc": 11,
        "esconv_test_duplicates_kept": {"exact": 0, "near": 0},
    }
    for corpus in ("esconv", "extes", "serveforemo"):
        assert set(metrics[corpus]["duplicates_removed"].values()) == {0}
    assert metrics["esconv"]["table_1"]["sessions"] == 1295
