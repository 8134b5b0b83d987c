"""Small corpora as they are published, and the stage that prepares them."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import yaml

from tests.conftest import run_here

Start = Callable[..., "subprocess.CompletedProcess[str]"]


PARAMS = {
    "seed": 42,
    "test_share": 0.1,
    "min_turns": {"esconv": 10, "extes": 6, "serveforemo": 6},
    "near_duplicate": 0.5,
}


def esconv(number: int, exchanges: int = 5) -> dict:
    dialog = []
    for turn in range(exchanges):
        dialog.append({"speaker": "seeker", "annotation": {}, "content": f"s{number}t{turn} word again"})
        dialog.append(
            {
                "speaker": "supporter",
                "annotation": {"strategy": "Question"},
                "content": f"a{number}t{turn} ok",
            }
        )
    return {"emotion_type": "fear", "problem_type": "job crisis", "situation": "x", "dialog": dialog}


def extes(number: int) -> dict:
    content = []
    for turn in range(4):
        content.append({"User": f"u{number}t{turn} tell me"})
        content.append({"AI Strategy": "Affirmation", "AI": f"b{number}t{turn} go on"})
    return {"scene": "Work", "description": "d", "content": content}


def prepare(folder: Path, start: Start = run_here, **changed: Path) -> subprocess.CompletedProcess[str]:
    paths = {
        "esconv": folder / "esconv.json",
        "extes": folder / "extes.json",
        "serveforemo": folder / "serveforemo.jsonl",
        "out": folder / "data" / "dialogues",
        "metrics": folder / "metrics" / "corpora.json",
        "params": folder / "params.yaml",
        **changed,
    }
    options = [part for name, path in paths.items() for part in (f"--{name}", str(path))]
    return start("prepare", *options, cwd=folder)


def published(folder: Path) -> dict[str, bytes]:
    files = [*(folder / "data").rglob("*.jsonl"), *(folder / "metrics").rglob("*.json")]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def set_params(**changed: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        text = yaml.safe_dump({"prepare": {**PARAMS, **changed}})
        (folder / "params.yaml").write_text(text, encoding="utf-8")

    return change
