"""What the stages of the last run took, from the lines that they left in metrics/runs.jsonl."""

import hashlib
from pathlib import Path

from stages.records.took import FILE, Took, read_took


def actual_seconds(metrics: Path) -> dict[str, float]:
    """Return the seconds of every stage's last run by DVC's name of it; empty where there is no file.

    A line is left out whose files are not those that lie there now: it is of another run.

    Raises:
        InputError: a line is no run of a stage.
    """
    file = metrics / FILE
    if not file.is_file():
        return {}
    lines = read_took(file.read_text(encoding="utf-8"), str(file))
    last = {took.stage: took for took in lines}
    return {stage: took.seconds for stage, took in last.items() if _lies_there(took, metrics.parent)}


def _lies_there(took: Took, root: Path) -> bool:
    return all(
        (root / path).is_file()
        and hashlib.md5((root / path).read_bytes(), usedforsecurity=False).hexdigest() == digest
        for path, digest in took.outputs.items()
    )
