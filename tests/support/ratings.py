"""What the tests of ratings share: an export's folder, written as the rating application writes it."""

import json
from pathlib import Path
from typing import Any

from rating.analysis.analyse import analyse
from rating.analysis.export import read_export
from selfevolve.metrics.statistics import Resampling

HOW = Resampling(seed=1, resamples=300)
LISTS = ("sessions", "ratings", "comparisons", "attention")


def write_export(folder: Path, mode: str = "pointwise", **changes: Any) -> Path:
    """Write an export; `study` replaces fields of study.json, the names of lists their records."""
    study = {"name": "a study", "mode": mode, "models": ["m0", "m1", "m2"], "digest": "d", "seed": 1}
    study |= {"dimensions": ["overall"], "model_digests": {}, "exported_at": "2025-01-01T00:00:00Z"}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "study.json").write_text(json.dumps(study | changes.get("study", {})), encoding="utf-8")
    (folder / "withdrawals.json").write_text(json.dumps({"count": changes.get("withdrawals", 0)}))
    for name in LISTS:
        lines = "".join(json.dumps(line) + "\n" for line in changes.get(name, []))
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    return folder


def session(name: str, rater: str, *models: str, state: str = "submitted", at: int = 0) -> dict[str, Any]:
    """A session of one model, or of two."""
    shown: dict[str, Any] = {"mode": "pointwise", "model": models[0]}
    if len(models) == 2:
        shown = {"mode": "pairwise", "models": list(models)}
    times = {"started_at": f"2025-01-01T10:{at:02}:00Z", "submitted_at": None, "active_s": 60.0 + at}
    return {"session": name, "rater": rater, **shown, "state": state, "language": "en", **times, "turns": 8}


def rating(rater: str, unit: str, model: str, score: int, dimension: str = "overall") -> dict[str, Any]:
    """A rating."""
    more = {"at": "2025-01-01T10:00:00Z", "revisions": 0}
    return {"rater": rater, "unit": unit, "model": model, "dimension": dimension, "score": score, **more}


def comparison(rater: str, unit: str, first: str, second: str, winner: str) -> dict[str, Any]:
    """A comparison."""
    more = {"position": 0, "at": "2025-01-01T10:00:00Z", "seconds": 12.5}
    return {"rater": rater, "unit": unit, "first": first, "second": second, "winner": winner, **more}


def attention(rater: str, unit: str, passed: bool) -> dict[str, Any]:
    """An attention check."""
    return {"rater": rater, "unit": unit, "expected": "4", "given": "4" if passed else "1", "passed": passed}


def analysed(folder: Path, how: Resampling = HOW) -> dict[str, Any]:
    """The results of an export that nobody judged."""
    return analyse(read_export(folder), how, {}, {})
