"""A study small enough to be run in a test: its parameters, and a folder to run it in."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from stages import mini, prepare
from tests.conftest import ROOT

TRAINING = {
    "learning_rate": 1e-3,
    "cutoff_len": 1024,
    "disable_gradient_checkpointing": True,
    "max_steps": 2,
    "logging_steps": 1,
    "eval_steps": 2,
    "save_steps": 2,
}
SMALL = {
    "mini": {
        "seed": 7,
        "esconv_sessions": 30,
        "esconv_test_sessions": 8,
        "synesc_sessions": 30,
        "alpaca_items": 8,
    },
    "sft_data.dialogue_limit": 6,
    "sft_data.alpaca_items": 2,
    "contexts.part_limit": 6,
    "contexts.answer_tokens": 16,
    "respond.sampling.max_new_tokens": 8,
    "refine.sampling.max_new_tokens": 8,
    "refine.attempts": 2,
    "train.sft": TRAINING,
    "train.dpo": TRAINING | {"pref_beta": 0.1, "pref_ftx": 1.0},
    "capability.tasks": ["smoke_opposites"],
    "capability.limit": 4,
    "study": {
        "seeds": [1, 2],
        "workers": 2,
        "set": {"score.semantic": False, "contexts.test_limit": 4},
        "arms": {"self": {}, "swapped": {"seeds": 2, "set": {"pair.control": "swapped"}}},
    },
}
Change = Callable[[dict[str, Any]], object]


def load(folder: Path) -> dict[str, Any]:
    return yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))


def save(folder: Path, params: dict[str, Any]) -> None:
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")


def edit(folder: Path, change: Change) -> None:
    """Change the folder's parameters in place."""
    params = load(folder)
    change(params)
    save(folder, params)


def make_world(folder: Path) -> Path:
    """Make all that a study starts from, but for the backbone, in a repository of its own; return it."""
    params = load(ROOT)
    params["prompts"]["dir"] = str(ROOT / params["prompts"]["dir"])
    for name, value in SMALL.items():
        *path, last = name.split(".")
        section = params
        for part in path:
            section = section[part]
        section[last] = value
    save(folder, params)
    file = ("--params", str(folder / "params.yaml"))
    mini.main(["--out", str(folder / "data/mini"), *file])
    corpora = [
        part for name in prepare.CORPORA for part in (f"--{name}", str(folder / f"data/mini/{name}.json"))
    ]
    out = ("--out", str(folder / "data/dialogues"), "--metrics", str(folder / "corpora.json"))
    prepare.main([*corpora, *out, *file])
    shutil.copytree(ROOT / "llamafactory_configs", folder / "llamafactory_configs")
    identity = ("-c", "user.name=t", "-c", "user.email=t@localhost")
    for command in (["init", "-q"], ["add", "params.yaml"], ["commit", "-qm", "start"]):
        subprocess.run(["git", *identity, *command], cwd=folder, check=True)
    return folder
