"""What a pilot measures before a run: learning rates on held-out samples, and how often reflections parse."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench import learning_rates, parse_rate
from selfevolve.records.jsonl import read_records, write_records
from selfevolve.records.schema import Context, Response
from selfevolve.runtime.errors import InputError
from tests.conftest import ROOT, write_prompts
from tests.support.answers import REFLECTION, UNDERSTANDING
from tests.support.servers import ChatServer, Reply, answers, completion
from tests.support.trainings import SMALL, write_samples


@pytest.fixture
def home(backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a policy, data of both phases, LLaMA-Factory's YAML and parameters of small trainings."""
    shutil.copytree(backbone, tmp_path / "backbone")
    shutil.copytree(ROOT / "llamafactory_configs", tmp_path / "llamafactory_configs")
    write_samples(tmp_path)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["train"] = {"sft": SMALL, "dpo": SMALL | {"pref_beta": 0.1, "pref_ftx": 1.0}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path


def test_every_rate_is_tried_on_the_same_samples_and_judged_on_those_held_back(home: Path):
    asked = ["--method", "sft", "--policy", "backbone", "--data", "sft", "--samples", "16"]
    learning_rates.main([*asked, "--rates", "1e-9", "3e-2", "--out", "rates.json"])
    found = json.loads((home / "rates.json").read_text())
    nothing, much = found["rows"]
    assert [nothing["learning_rate"], much["learning_rate"]] == [1e-9, 3e-2]
    assert nothing["steps"] == much["steps"] == 4  # two epochs of 16 samples, 8 a step
    assert much["kept"]["eval_loss"]["mean"] < nothing["kept"]["eval_loss"]["mean"] - 0.1
    assert "learning_rate" not in found["train"]
    assert not (home / "rates").exists()


def test_a_training_that_fails_is_named_with_its_rate(home: Path):
    (home / "sft" / "train.jsonl").write_text("not JSON\n")
    asked = ["--method", "sft", "--policy", "backbone", "--data", "sft", "--out", "rates.json"]
    with pytest.raises(InputError, match=r"0\.03.*stage train ended with exit code 1"):
        learning_rates.main([*asked, "--rates", "3e-2"])
    assert not (home / "rates.json").exists()


def test_data_that_is_not_there_is_named(home: Path):
    asked = ["--method", "sft", "--policy", "backbone", "--data", "none", "--out", "rates.json"]
    with pytest.raises(InputError, match=r"none/train\.jsonl: there is no such file"):
        learning_rates.main([*asked, "--rates", "3e-2"])


def reply(body: dict[str, Any], nth: int) -> Reply:
    """JSON where it is asked for by schema or the penalty is off; else JSON that lost a key."""
    whole = "response_format" in body or body["repetition_penalty"] == 1.0
    lost = {key: value for key, value in REFLECTION.items() if key != "refined_response"}
    return answers(completion(json.dumps(REFLECTION if whole else lost)))


@pytest.fixture
def rate(
    home: Path, contexts_file: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[dict[str, Any]]]:
    """Asks a server with six contexts, short prompts and these arguments; returns the rows."""
    monkeypatch.setenv("KEY", "any")
    contexts = read_records(contexts_file, Context)[:6]
    said = [Response(id=c.id, text="Oh.", finish_reason="stop", attempt=1, model="m") for c in contexts]
    write_records(home / "said.jsonl", said)
    params = yaml.safe_load((home / "params.yaml").read_text())
    short = {"refine": "Improve it.", "refine_request": "{{dialogue}}\n{{response}}", "reflect": "Think."}
    short["rewrite"] = "".join(f"{{{{{name}}}}}" for name in (*UNDERSTANDING, "feedback", "response"))
    params["prompts"]["dir"] = str(write_prompts(home / "prompts", **short))
    (home / "params.yaml").write_text(yaml.safe_dump(params))

    def run(reply: Callable[[dict[str, Any], int], Reply], *arguments: str) -> list[dict[str, Any]]:
        engine = yaml.safe_load((ROOT / "conf/engine/openai.yaml").read_text())
        with ChatServer(reply) as server:
            changes = {"base_url": server.url, "concurrency": 2, "retries": 0, "extensions": True}
            engine["engine"] |= {**changes, "guided": False, "key_variable": "KEY"}
            (home / "engine.yaml").write_text(yaml.safe_dump(engine))
            asked = ["--policy", "backbone", "--contexts", str(contexts_file), "--responses", "said.jsonl"]
            asked += ["--count", "6", "--engines", "engine.yaml", *arguments, "--out", "rate.json"]
            parse_rate.main(asked)
        rows: list[dict[str, Any]] = json.loads((home / "rate.json").read_text())["rows"]
        return rows

    return run


def test_free_and_guided_answers_are_counted_by_penalty(rate: Callable[..., list[dict[str, Any]]]):
    rows = rate(reply, "--guided", "false", "true", "--penalties", "1.0", "1.2")
    found = [(row["guided"], row["penalty"], row["parsed_at_attempt_1"], row["failed"]) for row in rows]
    assert found == [(False, 1.0, 6, 0), (False, 1.2, 0, 6), (True, 1.0, 6, 0), (True, 1.2, 6, 0)]
    assert rows[1]["parse_failures"] == {"missing_refined_response": 18}  # three attempts each
    assert rows[0]["over_length_rule"] == 6  # five words after one
    described = [rows[0][key] for key in ("words", "about_the_task", "to_the_seeker", "seekers_words")]
    assert described == [5.0, 0, 0, 11.1]  # two of six seekers have said "bakery", one of three words
    assert [rows[1]["words"], rows[1]["seekers_words"]] == [None, None]


def test_reflection_and_response_in_one_answer_and_in_two_are_compared(
    rate: Callable[..., list[dict[str, Any]]],
):
    def cannot_do_both(body: dict[str, Any], nth: int) -> Reply:
        """Write a response that describes one, unless a response alone is asked for."""
        told = {**REFLECTION, "refined_response": "The response should be kinder to the seeker."}
        asked = body["messages"][0]["content"]
        return answers(
            completion(json.dumps(told) if asked in ("Improve it.", "Think.") else "You poor thing.")
        )

    rows = rate(cannot_do_both, "--answers", "one", "two", "--penalties", "1.0")
    found = [(row["answers"], row["about_the_task"], row["to_the_seeker"]) for row in rows]
    assert found == [("one", 6, 0), ("two", 0, 6)]
