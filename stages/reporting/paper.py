"""The paper's numbers, read from paper.yaml and checked."""

from functools import cache
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, model_validator

FILE = Path(__file__).with_name("paper.yaml")


class Printed(BaseModel):
    """A row as printed: values by metric, and the gains (percent) printed beside some."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    row: str
    model: str
    block: str = ""
    values: dict[str, int | float]
    gains: dict[str, float] = {}


class PaperTable(BaseModel):
    """One table. Every row has a value in every column."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    caption: str
    columns: dict[str, str]
    rows: list[Printed]
    doubts: list[str] = []
    held_against: str = ""

    @model_validator(mode="after")
    def _complete(self) -> "PaperTable":
        for row in self.rows:
            if row.values.keys() != self.columns.keys() or not row.gains.keys() <= self.columns.keys():
                raise ValueError(f"row {row.row} does not have the table's columns")
        return self

    @property
    def blocks(self) -> list[str]:
        """The backbones in their order."""
        return list(dict.fromkeys(row.block for row in self.rows))


class Paper(BaseModel):
    """All tables by number, and the backbones' printed names by this project's."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    title: str
    url: str
    backbones: dict[str, str]
    tables: dict[int, PaperTable]


@cache
def paper() -> Paper:
    """Return the paper's numbers."""
    return Paper.model_validate(yaml.safe_load(FILE.read_text(encoding="utf-8")))
