"""What the pipeline around the models takes: `dvc repro` without a change, and scoring."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

MODEL_STAGES = ("sft", "train", "respond", "reject", "refine")
"""Stages whose time is generation or training; a share of it is Python's imports."""


def no_change(rounds: int, targets: Sequence[str]) -> dict[str, Any]:
    """Time `dvc repro` where all is up to date; a pipeline that is not, or not made, is not measured."""
    if _called("dvc", "status", "--quiet", *targets) != 0:
        return {"reason": "the pipeline in this folder is not up to date: make m2 first"}
    return _timed(rounds, lambda: _called("dvc", "repro", *targets))


def share(runs: Path) -> dict[str, Any]:
    """Return the share of the stages' seconds that was not spent in generation or training, in percent.

    Of every stage the last run counts.
    """
    if not runs.exists():
        return {"reason": f"{runs} is not there: make m2 first"}
    took = {row["stage"]: row["seconds"] for row in map(json.loads, runs.read_text().splitlines())}
    kinds: dict[str, float] = defaultdict(float)
    for stage, seconds in took.items():
        kinds[stage.split("@")[0].split(":")[-1]] += seconds
    whole = sum(kinds.values())
    others = sum(seconds for kind, seconds in kinds.items() if kind not in MODEL_STAGES)
    return {"percent": round(100 * others / whole, 1), "whole_s": round(whole, 1), "stages": len(took)}


def scoring(count: int, texts: Sequence[str], rounds: int, scratch: Path) -> dict[str, Any]:
    """Time `stages.score --no-semantic` on `count` responses drawn from `texts`, its start included."""
    draw = random.Random(42)
    pairs = [
        {"response": " ".join(draw.choices(texts, k=2)), "reference": draw.choice(texts)}
        for _ in range(count)
    ]
    file = scratch / f"pairs-{count}.jsonl"
    file.write_text("".join(json.dumps(pair) + "\n" for pair in pairs), encoding="utf-8")
    command = [sys.executable, "-m", "stages.score", "--pairs", str(file)]
    command += ["--out", str(scratch / "scores.json"), "--no-semantic"]
    return _timed(rounds, lambda: _called(*command)) | {"answered": count}


def _timed(rounds: int, work: Callable[[], int]) -> dict[str, Any]:
    seconds = []
    for _ in range(rounds):
        begin = time.perf_counter()
        if code := work():
            return {"failed": f"exit code {code}"}
        seconds.append(round(time.perf_counter() - begin, 3))
    return {"seconds": seconds, "median_s": median(seconds)}


def _called(*command: str) -> int:
    return subprocess.run(command, capture_output=True, check=False).returncode
