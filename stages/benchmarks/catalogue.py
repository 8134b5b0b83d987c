"""The benchmarks by name: the number each is known by, and how its rows look in local files.

Another of lm-eval's tasks is one more line in BENCHMARKS (and needs `folder` only to be read locally).
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

SMOKE_FOLDER = Path(__file__).parent / "smoke"


@dataclass(frozen=True)
class Benchmark:
    """One benchmark.

    headline: the sub-metric that stands for it, as lm-eval names it: `metric,filter`.
    definition: lm-eval's YAML file, relative to `lm_eval/tasks`; None for the project's own tasks.
    members: for a group, a pattern for the YAML files of its members beside the definition.
    folder, splits, fields: where local rows lie (`<folder>/<split>.jsonl`) and what every row has, in
        the layout of the Hugging Face data set; `a.b` is a field within an object.
    """

    headline: str
    definition: str | None = None
    members: str | None = None
    folder: str | None = None
    splits: tuple[str, ...] = ()
    fields: dict[str, type] = field(default_factory=dict)
    values: dict[str, tuple[str, ...]] = field(default_factory=dict)


# What the sub-metrics in the paper's Table 4 are, as far as its numbers tell. A share of n items is a
# multiple of 1/n, rounded (or cut) to two decimals of a percent:
# - IFEval: 541 prompts, 834 instructions. The five values 60.91, 54.79, 58.03, 55.52, 55.52 are 508, 457,
#   484, 463, 463 of 834 (the second cut, not rounded) and no multiples of 1/541, so the accuracy is
#   that of instructions; strict or loose cannot be told, and strict is the usual one.
# - TruthfulQA: of 817 questions; 51.66 is no multiple of 1/817, so it is mc2 (a probability mass), not mc1.
# - GSM8K: all values are multiples of 1/1319 under both filters. Flexible, because it takes the last
#   number whatever its wording, where strict also tests for "####", which chat models do not write.
# - OpenBookQA: 500 items. The usual report is acc_norm (choices normalised by length).
# - MMLU-Pro: lm-eval has one metric for it.
_CHOICES_AND_LABELS = {
    "question": str,
    "mc1_targets.choices": list,
    "mc1_targets.labels": list,
    "mc2_targets.choices": list,
    "mc2_targets.labels": list,
}
BENCHMARKS = {
    "gsm8k": Benchmark(
        headline="exact_match,flexible-extract",
        definition="gsm8k/gsm8k.yaml",
        folder="gsm8k",
        splits=("train", "test"),
        fields={"question": str, "answer": str},
    ),
    "ifeval": Benchmark(
        headline="inst_level_strict_acc,none",
        definition="ifeval/ifeval.yaml",
        folder="ifeval",
        splits=("train",),
        fields={"key": int, "prompt": str, "instruction_id_list": list, "kwargs": list},
    ),
    "truthfulqa_mc1": Benchmark(
        headline="acc,none",
        definition="truthfulqa/truthfulqa_mc1.yaml",
        folder="truthfulqa",
        splits=("validation",),
        fields=_CHOICES_AND_LABELS,
    ),
    "truthfulqa_mc2": Benchmark(
        headline="acc,none",
        definition="truthfulqa/truthfulqa_mc2.yaml",
        folder="truthfulqa",
        splits=("validation",),
        fields=_CHOICES_AND_LABELS,
    ),
    "openbookqa": Benchmark(
        headline="acc_norm,none",
        definition="openbookqa/openbookqa.yaml",
        folder="openbookqa",
        splits=("train", "validation", "test"),
        fields={"question_stem": str, "choices.text": list, "choices.label": list, "answerKey": str},
    ),
    "mmlu_pro": Benchmark(
        headline="exact_match,custom-extract",
        definition="mmlu_pro/_mmlu_pro.yaml",
        members="mmlu_pro_*.yaml",
        folder="mmlu_pro",
        splits=("validation", "test"),
        fields={"question": str, "options": list, "answer": str, "cot_content": str, "category": str},
        values={
            "category": (
                "biology",
                "business",
                "chemistry",
                "computer science",
                "economics",
                "engineering",
                "health",
                "history",
                "law",
                "math",
                "other",
                "philosophy",
                "physics",
                "psychology",
            )
        },
    ),
    "smoke_arithmetic": Benchmark(headline="exact_match,first-number"),
    "smoke_opposites": Benchmark(headline="acc,none"),
    "smoke_instructions": Benchmark(headline="exact_match,none"),
}


def smoke_questions() -> set[str]:
    """Return the questions of the project's own benchmarks, as they are asked: nothing may train on them.

    `smoke_opposites` asks by word, in a wording that stands in its YAML file, and has none here.
    """
    rows = [
        json.loads(line)
        for path in sorted(SMOKE_FOLDER.glob("*.jsonl"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    return {row[key].strip() for row in rows for key in ("prompt", "question") if key in row}
