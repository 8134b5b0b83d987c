"""The sentences and tables of the mini world: the YAML files beside this one, read once and checked.

An unknown key, an empty list, a choice that is not closed and a slot that nobody fills are errors that name
the file and the field.
"""

from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from selfevolve.metrics.facts import FACTS
from selfevolve.runtime.files import read_yaml
from selfevolve.runtime.parameters import Params, validate
from testbed.world.grammar import slots


def _lines(*allowed: str) -> Any:
    """Return the type of a list of paraphrase templates that may have these slots alone."""

    def check(text: str) -> str:
        if text.count("[") != text.count("]"):
            raise ValueError(f"a choice is not closed in: {text}")
        if unknown := sorted(slots(text) - set(allowed)):
            raise ValueError(f"no such slot: {unknown[0]}")
        return text

    return Annotated[list[Annotated[str, AfterValidator(check)]], Field(min_length=1)]


Phrases = Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)]
Lines = _lines()
FactLines = _lines(*FACTS)
PersonalLines = _lines(*FACTS, "advice", "offer")


class Vocabulary(Params):
    """vocabulary.yaml: the facts a seeker can have, but for problems and causes."""

    names: Phrases
    workers: Phrases
    students: Phrases
    traits: Phrases
    emotions: dict[str, str]
    supports: dict[str, Phrases]
    survey: dict[str, dict[str, list[int]]]

    def occupations(self, who: Literal["worker", "student", "any"]) -> list[str]:
        """Return the occupations of those who can have a problem."""
        return {"worker": self.workers, "student": self.students, "any": self.workers + self.students}[who]


class Problem(Params):
    """One entry of problems.yaml, which says what the fields are."""

    problem_type: str
    scene: str
    who: Literal["worker", "student", "any"]
    persons: Phrases
    heads: Phrases
    tails: Phrases
    details: Lines
    advice: Phrases
    unfitting: list[str] = Field(default_factory=list)

    @property
    def causes(self) -> list[str]:
        """Every head with every tail."""
        return [f"{head} {tail}" for head in self.heads for tail in self.tails]


class SeekerLines(Params):
    """seeker.yaml: what seekers say. `reveal`: fact -> lines that tell it."""

    greeting: Lines
    greeting_with_name: FactLines
    reveal: dict[str, FactLines]
    feeling: Lines
    take_up: Lines
    take_in: Lines
    thanks: Lines
    goodbye: Lines
    situation: FactLines


class SupporterLines(Params):
    """supporter.yaml: what supporters say, and how often. `generic` and `personal`: strategy -> lines."""

    ask: dict[str, Lines]
    acknowledge: Lines
    leads: PersonalLines
    generic: dict[str, Lines]
    personal: dict[str, PersonalLines]
    greeting: Lines
    farewell: Lines
    personal_farewell: PersonalLines
    exploring: dict[str, int]
    helping: dict[str, int]
    extes: dict[str, str]

    @property
    def strategies(self) -> list[str]:
        """ESConv's eight strategies."""
        return ["Question", *self.generic]


class Style(Params):
    """One entry of styles.yaml, which says what the fields are."""

    turns: Annotated[list[Annotated[int, Field(ge=3)]], Field(min_length=2, max_length=2)]
    personal: Annotated[list[float], Field(min_length=2, max_length=2)]
    split: float
    wordy: float
    leading: float
    trailing: float
    abrupt: float
    most_utterances: int


class LessonLines(Params):
    """lessons.yaml: words of the tiny backbone's lessons. `profile` and `recall` are by fact."""

    next: Phrases
    profile: dict[str, str]
    recall: dict[str, Lines]
    personal: Lines
    copy_: Lines = Field(alias="copy")
    feedback_generic: _lines("fact")
    feedback_wrong: Lines
    feedback_good: Lines


class TaskTables(Params):
    """tasks.yaml: what the instruction items are made of. `wording`: family -> its instructions."""

    words: Phrases
    kinds: dict[str, Phrases]
    opposites: list[Annotated[list[str], Field(min_length=2, max_length=2)]]
    in_order: dict[str, Phrases]
    looked_up: dict[str, dict[str, str]]
    only_this: dict[str, str]
    changes: Phrases
    wording: dict[str, Phrases]


class World(Params):
    """All sentences and tables, each from the file of its name. `problems`: phrase -> problem."""

    vocabulary: Vocabulary
    problems: dict[str, Problem]
    seeker: SeekerLines
    supporter: SupporterLines
    styles: dict[str, Style]
    lessons: LessonLines
    tasks: TaskTables

    @model_validator(mode="after")
    def _emotions_are_known(self) -> "World":
        for phrase, problem in self.problems.items():
            if unknown := set(problem.unfitting) - self.vocabulary.emotions.keys():
                raise ValueError(f"problems: {phrase}: unfitting: {min(unknown)} is no emotion")
        return self


@cache
def world() -> World:
    """Return all sentences and tables, read at the first call; InputError names a file and a field."""
    folder = Path(__file__).parent
    tables = {name: read_yaml(folder / f"{name}.yaml") for name in World.model_fields}
    return validate(World, tables, file=folder)
