"""The registry: which models there are, how each is made, and which of them are compared and judged.

Every model is a line of params.yaml (`sft`, `iterations`, `models`), made by stages that all models share.
DVC would take a file that an earlier run left behind for a file of the user's, and score it for ever. So a
name that no line makes is an error before anything runs.
"""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import read_yaml
from selfevolve.runtime.parameters import Params, validate

PARAMS = Path("params.yaml")


class Sft(Params):
    """A model of phase 1: the dialogues it learns from, and whether Alpaca items are replayed."""

    dialogues: str
    replay: Literal["alpaca", "none"]


class OfPairs(Params):
    """Options of an iteration's pairs: the folders of earlier pairs, of which some may be replayed."""

    earlier: list[str] = Field(default_factory=list)


class Iteration(Params):
    """A model of phase 2: the model that it starts from, its contexts, and which responses are chosen."""

    prev: str
    dialogues: str
    part: int
    chosen: Literal["refined", "golden", "reward"]
    pair: OfPairs


class Model(Params):
    """A model that is measured: its policy folder, its prompt, and whether lm-evaluation-harness runs."""

    policy: str
    prompt: str
    capability: bool


class Pair(Params):
    """Two models that are compared."""

    first: str
    last: str


class Judged(Params):
    """The models and the pairs that a judge scores."""

    models: list[str]
    pairs: dict[str, Pair]


class Talker(Params):
    """A model that talks with seekers: its policy folder and its prompt."""

    policy: str
    prompt: str


class Talkers(Params):
    """The models that talk with one kind of seekers, and the pairs of them that are compared."""

    models: dict[str, Talker]
    pairs: dict[str, Pair]


class WorldTalkers(Talkers):
    """Those that talk with the mini world's seekers, and the one whose answers are given to others."""

    shuffled: str


class Conversed(Params):
    """Who talks with seekers whom a model plays, and who with those of the mini world."""

    played: Talkers
    world: WorldTalkers


class Asked(Params):
    """A model that answers the further test sets."""

    name: str
    policy: str
    prompt: str


class _Section(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class Unseen(_Section):
    """The further test sets and the models that answer them."""

    sets: list[dict[str, str]] = []
    asked: list[Asked] = []


class Contexts(_Section):
    """How many parts the training dialogues are cut into."""

    parts: int = Field(ge=1)


class Registry(_Section):
    """The sections of params.yaml that name models."""

    headline: str
    sft: dict[str, Sft]
    iterations: dict[str, Iteration]
    models: dict[str, Model]
    comparisons: dict[str, Pair]
    judged: Judged
    conversed: Conversed
    drifted: dict[str, str] = Field(default_factory=dict)
    unseen: Unseen
    contexts: Contexts

    @model_validator(mode="after")
    def _names_exist(self) -> "Registry":
        for field, name, known in self._references():
            if name not in known:
                names = ", ".join(sorted(map(str, known)))
                reason = PydanticCustomError("unknown_name", f"there is no {name}; there are {names}")
                error = InitErrorDetails(type=reason, loc=tuple(field.split(".")), input=name)
                raise ValidationError.from_exception_data("Registry", [error])
        return self

    def _references(self) -> Iterator[tuple[str, Any, Collection[Any]]]:
        """Yield every field that names something, the name, and the names that exist."""
        made = {"backbone", *self.sft, *self.iterations}
        yield "headline", self.headline, self.models
        for name, iteration in self.iterations.items():
            yield f"iterations.{name}.prev", iteration.prev, made
            yield f"iterations.{name}.part", iteration.part, range(1, self.contexts.parts + 1)
            before = {f"data/{one}/preferences" for one in self.before(name)}
            for folder in iteration.pair.earlier:  # DVC makes them first: they lead to the model before
                yield f"iterations.{name}.pair.earlier", folder, before
        policies = {f"models.{name}.policy": model.policy for name, model in self.models.items()}
        for kind, talkers in self._talkers().items():
            policies |= {f"{kind}.models.{name}.policy": one.policy for name, one in talkers.models.items()}
        if self.unseen.sets:
            policies |= {f"unseen.asked.{model.name}.policy": model.policy for model in self.unseen.asked}
        for field, policy in policies.items():
            if policy.startswith("models/"):  # a folder elsewhere is the user's own
                yield field, policy, {f"models/{name}" for name in made}
        for place, pairs in (("comparisons", self.comparisons), ("judged.pairs", self.judged.pairs)):
            for key, pair in pairs.items():
                yield f"{place}.{key}.first", pair.first, self.models
                yield f"{place}.{key}.last", pair.last, self.models
        for number, name in enumerate(self.judged.models):
            yield f"judged.models.{number}", name, self.models
        for last, first in self.drifted.items():
            for name in (last, first):  # of these a folder of models/ and responses are needed
                yield f"drifted.{last}", name, self.models.keys() & made
        for kind, talkers in self._talkers().items():
            for name in talkers.models:
                yield f"{kind}.models", name, self.models
            for key, pair in talkers.pairs.items():
                yield f"{kind}.pairs.{key}.first", pair.first, talkers.models
                yield f"{kind}.pairs.{key}.last", pair.last, talkers.models
        world = self.conversed.world
        yield "conversed.world.shuffled", world.shuffled, world.models

    def _talkers(self) -> dict[str, Talkers]:
        return {"conversed.played": self.conversed.played, "conversed.world": self.conversed.world}

    def before(self, name: str) -> list[str]:
        """Return the iterations on the way to one, without itself; a circle ends where it closes."""
        found: list[str] = []
        while (name := self.iterations[name].prev) in self.iterations and name not in found:
            found.append(name)
        return found

    def chain(self, model: str) -> list[str]:
        """Return the models to measure on the way to one: vanilla, M0 if it leads there, and each iteration.

        Raises:
            InputError: the model is not in `models`, or its iterations go in a circle.
        """
        if model not in self.models:
            message = f"there is no {model}; there are {', '.join(self.models)}"
            raise InputError(message, file=PARAMS, field="models")
        found = [model]
        while found[0] in self.iterations:
            previous = self.iterations[found[0]].prev
            if previous in found:
                raise InputError("goes in a circle", file=PARAMS, field=f"iterations.{found[0]}.prev")
            found.insert(0, previous)
        return [name for name in dict.fromkeys(["vanilla", *found]) if name in self.models]

    def targets(self, models: Collection[str]) -> list[str]:
        """Return the DVC stages that measure and compare these models, and the headline.

        `sample` compares the last model with M0, so it is a target only where M0 is among the models; a model
        has `reflections` only where it chose refined responses.
        """
        measured = [f"{stage}@{model}" for model in models for stage in ("score", "capability")]
        compared = [
            f"compare@{key}"
            for key, pair in self.comparisons.items()
            if {pair.first, pair.last} <= set(models)
        ]
        refined = [
            name for name in models if name in self.iterations and self.iterations[name].chosen != "golden"
        ]
        reflections = [f"reflections@{name}" for name in refined]
        return ["headline", *measured, *compared, *reflections, *(["sample"] if "m0" in models else [])]


def read_registry(path: Path = PARAMS) -> Registry:
    """Return the registry in a parameters file.

    Raises:
        InputError: the file is missing or no YAML, an entry is wrong, or it names a model that is not made.
    """
    return validate(Registry, read_yaml(path), file=path)
