"""How likely a policy finds a text: beside the whole sequence's logits, and to tell whose response it is."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from selfevolve.policies.likelihood import IGNORED, log_probabilities, mean_log_probability
from selfevolve.policies.policy import load_policy
from selfevolve.policies.window import ChatTemplate
from selfevolve.records.jsonl import write_records
from selfevolve.records.schema import Dialogue, Message, Response, Turn
from stages.analyses import personalisation_likelihood as stage


def test_it_is_what_the_logits_of_the_whole_sequence_say(backbone: Path):
    loaded = load_policy(backbone)
    ids = list(range(40, 70))
    labels = [IGNORED] * 12 + ids[12:20] + [IGNORED] * 3 + ids[23:]
    with torch.no_grad():
        logits = loaded.model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
    asked = [at for at, label in enumerate(labels) if label != IGNORED]
    expected = [float(logits[at - 1, ids[at]]) for at in asked]
    assert log_probabilities(loaded.model, ids, labels) == pytest.approx(expected, abs=1e-5)


def test_a_word_that_was_said_is_likelier(backbone: Path):
    loaded = load_policy(backbone)
    template = ChatTemplate(loaded.tokenizer, loaded.template)

    def likely(said: str) -> float:
        asked = [Message(role="user", content=said)]
        return mean_log_probability(loaded.model, template, asked, "You said that you work as a nurse.")

    assert likely("I work as a nurse.") > likely("I work as a baker.")


def test_the_last_turns_are_read_and_one_at_least():
    said = ["one two three", "four five", "six"]
    turns = [
        Turn(role=role, text=text) for text in said for role, text in (("seeker", text), ("supporter", "x"))
    ]
    dialogue = Dialogue(id="d", source="s", turns=turns)
    assert stage.last_words(dialogue, stage.Said("d", 3), 3) == "four five\nsix"
    assert stage.last_words(dialogue, stage.Said("d", 2), 9) == "one two three\nfour five"
    assert stage.last_words(dialogue, stage.Said("d", 1), 1) == "one two three"


def test_the_stage_asks_nothing_twice(
    backbone: Path, tmp_path: Path, params_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    params = params_file({"personalisation.others": 2})
    jobs = ["nurse", "teacher", "baker", "driver"]
    dialogues = [
        Dialogue(
            id=job,
            source="s",
            turns=[Turn(role="seeker", text=f"I work as a {job}."), Turn(role="supporter", text="I see.")],
        )
        for job in jobs
    ]
    write_records("dialogues.jsonl", dialogues)
    texts = [f"You work as a {job}." for job in jobs[:3]] + [" "]
    records = [
        Response(id=f"{job}#1", text=text, finish_reason="stop", attempt=1, model="m")
        for job, text in zip(jobs, texts, strict=True)
    ]
    write_records("responses.jsonl", records)
    arguments = [
        "--policy",
        str(backbone),
        "--responses",
        "responses.jsonl",
        "--dialogues",
        "dialogues.jsonl",
    ]
    arguments += ["--out", "out.json", "--details", "details.jsonl", "--params", str(params)]
    stage.main(arguments)
    made = Path("out.json").read_bytes(), Path("details.jsonl").read_bytes()
    found = json.loads(made[0])
    assert (found["responses"], found["others"]) == (4, 2)
    blank = [json.loads(line) for line in made[1].decode().splitlines()][1]
    assert (blank["id"], blank["auc"], blank["reciprocal_rank"]) == ("driver#1", 50.0, 50.0)
    (journal,) = Path(".scratch/personalisation_likelihood").glob("*.jsonl")
    lines = journal.read_bytes().splitlines(keepends=True)
    assert len(lines) == len({json.loads(line)["id"] for line in lines})
    journal.write_bytes(b"".join(lines[:5]) + lines[5][:9])  # killed while it wrote
    stage.main(arguments)
    assert (Path("out.json").read_bytes(), Path("details.jsonl").read_bytes()) == made
    assert len(journal.read_bytes().splitlines()) == len(lines)
    monkeypatch.setattr(stage, "mean_log_probability", None)  # a third run computes nothing
    stage.main(arguments)
