"""Trainings small enough for tests: their data, parameters and arguments, and what a policy thinks likely."""

import json
from pathlib import Path
from statistics import fmean
from typing import Any

from selfevolve.policies.policy import load_policy
from selfevolve.records.jsonl import write_records
from selfevolve.records.schema import Conversation, Preference, ShareGptMessage
from selfevolve.runtime.files import read_yaml
from tests.conftest import ROOT, SYSTEM, TEXTS

LOSSES = {file.stem: read_yaml(file)["train"]["dpo"] for file in (ROOT / "conf/loss").glob("*.yaml")}
REJECTED = "I am sorry to hear that."
SMALL = {
    "learning_rate": 3e-2,
    "cutoff_len": 512,
    "num_train_epochs": 2.0,
    "logging_steps": 1,
    "eval_steps": 8,
    "save_steps": 8,
}


def human(text: str) -> ShareGptMessage:
    return ShareGptMessage(from_="human", value=text)


def gpt(text: str) -> ShareGptMessage:
    return ShareGptMessage(from_="gpt", value=text)


def write_samples(folder: Path) -> None:
    """Write the data of both phases: 32 samples, and five held back."""
    samples, pairs = [], []
    for n in range(37):
        question, good = TEXTS[n % 4][n % 9 :], f"{TEXTS[(n + 1) % 4]} {n}"
        samples.append(Conversation(id=f"s{n}", system=SYSTEM, conversations=[human(question), gpt(good)]))
        pairs.append(
            Preference(
                id=f"s{n}",
                system=SYSTEM,
                conversations=[human(question)],
                chosen=gpt(good),
                rejected=gpt(REJECTED),
                chosen_source="refined",
            )
        )
    for name, records in (("sft", samples), ("pairs", pairs)):
        (folder / name).mkdir()
        write_records(folder / name / "train.jsonl", records[:32])
        write_records(folder / name / "valid.jsonl", records[32:])


def small_config(folder: Path, method: str) -> Path:
    """The method's YAML with four samples a step, and all checkpoints kept."""
    text = (ROOT / "llamafactory_configs" / f"{method}.yaml").read_text()
    text = text.replace("gradient_accumulation_steps: 8", "gradient_accumulation_steps: 4")
    file = folder / f"{method}.yaml"
    file.write_text(text.replace("save_total_limit: 2", "save_total_limit: 9"))
    return file


def arguments(method: str, policy: str, out: str, params: Path) -> list[object]:
    data = "sft" if method == "sft" else "pairs"
    config = small_config(params.parent, method)
    return [
        *("--method", method, "--config", config, "--policy", policy, "--data", data, "--out", out),
        *("--curves", f"{out}.csv", "--metrics", f"{out}.json", "--params", params),
    ]


def metrics(folder: Path, model: str) -> dict[str, Any]:
    return json.loads((folder / f"{model}.json").read_text())


def nll(folder: Path, policy: str, text: str) -> float:
    """Mean negative log-likelihood of an answer under a policy loaded by us."""
    asked = Conversation(id="s", system=SYSTEM, conversations=[human(TEXTS[0]), gpt(text)])
    return -fmean(answer_log_probs(folder, policy, asked, text))


def answer_log_probs(folder: Path, policy: str, asked: Conversation | Preference, answer: str) -> list[float]:
    """The log-probability of each token of an answer to a sample's first message, under a policy."""
    import torch

    from selfevolve.policies.window import ChatTemplate
    from selfevolve.records.schema import Message

    loaded = load_policy(folder / policy)
    template = ChatTemplate(loaded.tokenizer, loaded.template)
    question = asked.conversations[0].value
    prompt = [Message(role="system", content=asked.system), Message(role="user", content=question)]
    start, ids = len(template.encode(prompt)), template.encode(prompt, answer=answer)
    with torch.no_grad():
        logits = loaded.model(torch.tensor([ids])).logits[0, start - 1 : -1].log_softmax(-1)
    return logits.gather(1, torch.tensor(ids[start:])[:, None])[:, 0].tolist()
