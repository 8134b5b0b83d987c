"""The benchmarks by name, as benchmarks.yaml describes them."""

import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from selfevolve.runtime.files import read_yaml
from selfevolve.runtime.parameters import validate

FILE, SMOKE_FOLDER = Path(__file__).with_name("benchmarks.yaml"), Path(__file__).with_name("smoke")


class Benchmark(BaseModel):
    """One benchmark; benchmarks.yaml explains the keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    headline: str
    definition: str | None = None
    members: str | None = None
    folder: str | None = None
    splits: tuple[str, ...] = ()
    fields: dict[str, Literal["str", "int", "list"]] = Field(default_factory=dict)
    values: dict[str, list[str]] = Field(default_factory=dict)


BENCHMARKS = {name: validate(Benchmark, value, file=FILE) for name, value in read_yaml(FILE).items()}


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
