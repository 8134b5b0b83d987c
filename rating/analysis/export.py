"""The files of an exported rating study, read and held against each other.

A line that contradicts another one, or names a model or session that is not there, is an error that names
file, line and field. Fields beyond those used here are passed over: an application may say more.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from selfevolve.records.jsonl import read_json_lines
from selfevolve.records.schema import NonEmpty
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import read_json
from selfevolve.runtime.parameters import validate

Mode = Literal["pointwise", "pairwise"]
State = Literal["submitted", "draft", "discarded", "ended", "withdrawn"]
SUBMITTED: State = "submitted"
ITEM = "item:"  # how the units of the fixed items begin, which several raters see
Moment = Annotated[datetime, Field(strict=False)]  # ISO 8601 in the files
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Line(BaseModel):
    """Base of an export's records: nothing is coerced but times, unknown fields are passed over."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class Study(Line):
    """`study.json`: what was studied. `models` are in the study's order."""

    name: NonEmpty
    mode: Mode
    models: list[NonEmpty] = Field(min_length=1)
    digest: str | None = None
    dimensions: list[NonEmpty] = []


class Session(Line):
    """One line of `sessions.jsonl`; a point-wise session has `model`, a pair-wise one `models`."""

    session: NonEmpty
    rater: NonEmpty
    mode: Mode
    model: NonEmpty | None = None
    models: list[NonEmpty] | None = Field(default=None, min_length=2, max_length=2)
    state: State
    started_at: Moment | None = None
    active_s: Seconds | None = None

    @property
    def shown(self) -> list[str]:
        """The models of the session."""
        return self.models or ([self.model] if self.model else [])


class Rating(Line):
    """One line of `ratings.jsonl`: a score in one dimension for a session or a fixed item."""

    rater: NonEmpty
    unit: NonEmpty
    model: NonEmpty
    dimension: NonEmpty
    score: int = Field(ge=1, le=5)

    @property
    def shown(self) -> list[str]:
        """The model that is rated."""
        return [self.model]


class Comparison(Line):
    """One line of `comparisons.jsonl`: which of two answers a rater took; `first` was shown as A."""

    rater: NonEmpty
    unit: NonEmpty
    first: NonEmpty
    second: NonEmpty
    winner: Literal["first", "second", "tie"]
    seconds: Seconds | None = None

    @property
    def shown(self) -> list[str]:
        """The models that are compared."""
        return [self.first, self.second]


class Attention(Line):
    """One line of `attention.jsonl`: a question with a known answer."""

    rater: NonEmpty
    unit: NonEmpty
    passed: bool


class Withdrawals(Line):
    """`withdrawals.json`: how many raters took their data back; nothing else is left of them."""

    count: int = Field(ge=0)


@dataclass(frozen=True)
class Export:
    """A whole export, checked."""

    study: Study
    sessions: Sequence[Session]
    ratings: Sequence[Rating]
    comparisons: Sequence[Comparison]
    attention: Sequence[Attention]
    withdrawals: int


T = TypeVar("T", Session, Rating, Comparison, Attention)


def read_export(folder: Path) -> Export:
    """Read an export's folder.

    `study.json` must be there; a list of records that is not there is an error too, an empty one is none.

    Raises:
        InputError: a file is missing or not what it should be, a record occurs twice, names a model or
            dimension the study does not have, or a session that is not there, or contradicts its session.
    """
    study = validate(Study, read_json(folder / "study.json"), file=folder / "study.json")
    if len(set(study.models)) < len(study.models):
        raise InputError("a model occurs twice", file=folder / "study.json", field="models")
    sessions = _lines(folder / "sessions.jsonl", Session, study, {})
    named = {one.session: one for one in sessions}
    ratings = _lines(folder / "ratings.jsonl", Rating, study, named)
    comparisons = _lines(folder / "comparisons.jsonl", Comparison, study, named)
    attention = _lines(folder / "attention.jsonl", Attention, study, named)
    path = folder / "withdrawals.json"
    gone = validate(Withdrawals, read_json(path), file=path).count
    return Export(study, sessions, ratings, comparisons, attention, gone)


def session_of(unit: str) -> str | None:
    """Return the session of a unit, `session` or `session#turn`; None of a fixed item."""
    return None if unit.startswith(ITEM) else unit.partition("#")[0]


def _lines(path: Path, kind: type[T], study: Study, sessions: Mapping[str, Session]) -> list[T]:
    """Return the records of a file, each of which occurs once and contradicts neither study nor session."""
    records: list[T] = []
    found: dict[Hashable, int] = {}
    for number, value in read_json_lines(path):
        where = f"line {number}"
        record = validate(kind, value, file=path, record=where)
        if (earlier := found.setdefault(_key(record), number)) != number:
            field = "session" if isinstance(record, Session) else "unit"
            raise InputError(f"the same record as line {earlier}", file=path, record=where, field=field)
        for field, message in _problems(record, study, sessions):
            raise InputError(message, file=path, record=where, field=field)
        records.append(record)
    return records


def _key(one: Session | Rating | Comparison | Attention) -> Hashable:
    """Return what no two records of a file have in common."""
    if isinstance(one, Session):
        return one.session
    models = () if isinstance(one, Attention) else frozenset(one.shown)
    return one.rater, one.unit, models, getattr(one, "dimension", None)


def _problems(
    one: Session | Rating | Comparison | Attention, study: Study, sessions: Mapping[str, Session]
) -> Iterator[tuple[str, str]]:
    """Yield every field in which a record contradicts its study or its session, with a message."""
    if isinstance(one, Attention):
        return
    if isinstance(one, Session):
        if one.mode != study.mode:
            yield "mode", f"is {one.mode} in a {study.mode} study"
        field = "model" if study.mode == "pointwise" else "models"
        if getattr(one, field) is None and one.state == SUBMITTED:
            yield field, "is missing"
    if isinstance(one, Rating) and study.dimensions and one.dimension not in study.dimensions:
        yield "dimension", f"{one.dimension!r} is not among the study's: {', '.join(study.dimensions)}"
    if isinstance(one, Comparison) and one.first == one.second:
        yield "second", f"{one.second!r} is compared with itself"
    field = "first or second" if isinstance(one, Comparison) else "model"
    for model in one.shown:
        if model not in study.models:
            yield field, f"unknown model {model!r}, the study has {', '.join(study.models)}"
    if isinstance(one, Session) or (name := session_of(one.unit)) is None:
        return
    if name not in sessions:
        yield "unit", f"there is no session {name!r} in sessions.jsonl"
    session = sessions[name]
    if session.rater != one.rater:
        yield "rater", f"is {one.rater!r}, and the session's is {session.rater!r}"
    if not set(one.shown) <= set(session.shown):
        yield field, f"{' and '.join(one.shown)}, and the session is of {' and '.join(session.shown)}"
