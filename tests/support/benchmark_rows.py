"""Rows of the benchmarks, a few of each, for tests that never ask the Hub."""

import json
from pathlib import Path

from selfevolve.benchmarks.catalogue import BENCHMARKS
from selfevolve.benchmarks.measure import go_offline

SMOKE = ["smoke_arithmetic", "smoke_opposites", "smoke_instructions"]
PAPER = ["gsm8k", "ifeval", "truthfulqa_mc2", "openbookqa", "mmlu_pro"]
SUBJECTS = BENCHMARKS["mmlu_pro"].values["category"]

go_offline()  # before anything imports `datasets`


def write_jsonl(path: Path, items: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(item) + "\n" for item in items), encoding="utf-8")


def write_rows(folder: Path) -> Path:
    """Write a few rows of every benchmark in the Hub's field layout, the text our own; return the folder."""
    sums = [{"question": f"What is {i} and {i}?", "answer": f"Twice {i}.\n#### {2 * i}"} for i in range(8)]
    write_jsonl(folder / "gsm8k/train.jsonl", sums[:6])
    write_jsonl(folder / "gsm8k/test.jsonl", sums[6:])
    kinds = [["punctuation:no_comma"], ["change_case:capital_word_frequency", "punctuation:no_comma"]]
    arguments = {"capital_frequency": None, "capital_relation": None}
    capitals = {"capital_frequency": 2, "capital_relation": "less than"}
    asked = [[arguments], [capitals, arguments]]
    ifeval = [
        {"key": i, "prompt": "Write.", "instruction_id_list": kinds[i], "kwargs": asked[i]} for i in (0, 1)
    ]
    write_jsonl(folder / "ifeval/train.jsonl", ifeval)
    answers = {"choices": ["It rains.", "It snows.", "Nothing falls."], "labels": [1, 0, 0]}
    truth = {"question": "What falls in May?", "mc1_targets": answers, "mc2_targets": answers}
    write_jsonl(folder / "truthfulqa/validation.jsonl", [truth] * 3)
    choices = {"text": ["wood", "rain", "glass", "tin"], "label": ["A", "B", "C", "D"]}
    book = {"id": "1", "question_stem": "A plant needs", "choices": choices, "answerKey": "B"}
    for split in ("train", "validation", "test"):
        write_jsonl(folder / f"openbookqa/{split}.jsonl", [book] * 2)
    facts = [
        {
            "question": f"Which is {i}?",
            "options": [str(i), "none"],
            "answer": "A",
            "cot_content": "A: Let's think step by step. It is so. The answer is (A).",
            "category": subject,
        }
        for subject in SUBJECTS
        for i in range(5)
    ]
    write_jsonl(folder / "mmlu_pro/validation.jsonl", facts)
    numbered = [{"question_id": i, **fact, "src": "ours"} for i, fact in enumerate(facts) if i % 5 < 2]
    write_jsonl(folder / "mmlu_pro/test.jsonl", numbered)
    return folder
