"""A study small enough to be run in a test: its parameters, and a clone with them."""

from pathlib import Path
from typing import Any

import yaml

from selfevolve.runtime.files import read_yaml
from tests.conftest import ROOT
from tests.pipeline.test_pipeline import Clone

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
    "converse.sessions": 2,
    "converse.turns": [2, 2],
    "refine.sampling.max_new_tokens": 8,
    "refine.attempts": 2,
    "train.sft": TRAINING,
    "train.dpo": TRAINING | {"pref_beta": 0.1, "pref_ftx": 1.0},
}
ARMS = {"self": {}, "swapped": {"pair.control": "swapped"}}
REFINED = {"contexts": "synesc", "pairs": "synesc", "chosen": "refined"}
STUDY = {
    "seeds": [1, 2],
    "set": {"score.semantic": False, "contexts.test_limit": 4, "capability.tasks": []},
    "arms": ARMS,
    "runs": {f"{arm}-{seed}": {"arm": arm, "seed": seed, **REFINED} for arm in ARMS for seed in (1, 2)},
}


def load(file: Path) -> dict[str, Any]:
    """The values of a YAML file."""
    return read_yaml(file)


def save(file: Path, values: dict[str, Any]) -> None:
    """Write these values as YAML."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.dump(values, Dumper=yaml.CSafeDumper, sort_keys=False), encoding="utf-8")


def small_params() -> dict[str, Any]:
    """The pipeline's parameters with `SMALL` in their places."""
    params = load(ROOT / "params.yaml")
    for name, value in SMALL.items():
        *path, last = name.split(".")
        section = params
        for part in path:
            section = section[part]
        section[last] = value
    return params


def study_clone(folder: Path) -> Clone:
    """A clone of this tree with this small study in it, committed."""
    clone = Clone(folder)
    save(folder / "params.yaml", small_params())
    save(folder / "testbed/params.yaml", load(folder / "testbed/params.yaml") | {"study": STUDY})
    clone.run("git", "commit", "-qam", "a small study")
    return clone
