"""What the runs of the evolution measured, by arm, seed and model; where a rule would have stopped each."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from selfevolve.runtime.files import read_yaml
from selfevolve.runtime.parameters import Params, validate
from testbed.study.run_file import RunFile

FILE = Path(__file__).with_name("measures.yaml")


class Measure(Params):
    """A number: what a table calls it, and where a run has it, `FILE.NAME` of a model."""

    label: str
    file: str


class Rule(Params):
    """A rule for when to stop; measures.yaml says what the fields are."""

    name: str
    of: str
    at_most: float | None = None
    at_least: float | None = None
    keeps: Literal["before", "this"]

    @model_validator(mode="after")
    def _has_one_bound(self) -> "Rule":
        if (self.at_most is None) == (self.at_least is None):
            raise ValueError("give one of at_most and at_least")
        return self

    def stops(self, value: float) -> bool:
        """Tell whether a number makes the rule stop."""
        return value <= self.at_most if self.at_most is not None else value >= (self.at_least or 0.0)


class Measures(Params):
    """All of measures.yaml."""

    models: dict[str, Measure]
    iterations: dict[str, Measure]
    tested: list[str]
    compared: list[str]
    rules: list[Rule] = Field(min_length=1)
    least: float


@cache
def measures() -> Measures:
    """Return measures.yaml."""
    return validate(Measures, read_yaml(FILE), file=FILE)


@dataclass(frozen=True)
class Evolved:
    """One run: what it measured of M0, M1 ..., and of single responses by their contexts."""

    made: RunFile

    @property
    def last(self) -> int:
        """The number of its last model."""
        return max(int(path.partition("/")[0][1:]) for path in self.made.metrics if path.endswith("/drift"))

    def number(self, model: int, name: str) -> float | None:
        """Return the number `FILE.NAME` of a model, None where it was not measured."""
        file, *path = name.split(".")
        found: Any = self.made.metrics.get(f"m{model}/{file}")
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None

    def numbers(self, model: int, wanted: Mapping[str, Measure]) -> dict[str, float]:
        """Return what was measured of a model, by the names of measures.yaml."""
        values = {name: self.number(model, one.file) for name, one in wanted.items()}
        return {name: value for name, value in values.items() if value is not None}

    def responses(self, model: int, metric: str) -> dict[str, float]:
        """Return a metric of facts of single responses by context; empty where it is none of facts."""
        place = f"m{model}"
        values = self.made.responses[place].get(metric, [])
        each = zip(self.made.contexts[place], values, strict=False)
        return {context: value for context, value in each if value is not None}

    def kept_by(self, rule: Rule) -> tuple[int, bool]:
        """Return the number of the model that a rule keeps, and whether the rule has stopped the run at all.

        What was not measured stops nothing. A run that nothing stops keeps its last model.
        """
        for model in range(1, self.last + 1):
            value = self.number(model, rule.of)
            if value is not None and rule.stops(value):
                return (model - 1 if rule.keeps == "before" else model), True
        return self.last, False


def best(run: Evolved) -> int:
    """Return the number of the model with the most own facts; of several that with the smallest number."""
    shares = [run.number(model, measures().models["own_share"].file) or 0.0 for model in range(run.last + 1)]
    return shares.index(max(shares))
