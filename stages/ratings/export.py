"""The files of an exported rating study, read and held against each other.

A line that contradicts another one, or names a model or session that is not there, is an error that names
file, line and field. Fields beyond those used here are passed over: an application may say more.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stages.records.errors import InputError
from stages.records.jsonl import read_json_lines, read_text
from stages.records.schema import NonEmpty

Mode = Literal["pointwise", "pairwise"]
State = Literal["submitted", "draft", "discarded", "ended", "withdrawn"]
SUBMITTED: State = "submitted"
ITEM = "item:"  # how the units of the fixed items begin, which several raters see
SCALE = (1, 5)
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
    turns: int | None = Field(default=None, ge=0)

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
    score: int = Field(ge=SCALE[0], le=SCALE[1])


class Comparison(Line):
    """One line of `comparisons.jsonl`: which of two answers a rater took; `first` was shown as A."""

    rater: NonEmpty
    unit: NonEmpty
    first: NonEmpty
    second: NonEmpty
    winner: Literal["first", "second", "tie"]
    seconds: Seconds | None = None


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


T = TypeVar("T", bound=Line)


def read_export(folder: Path) -> Export:
    """Read an export's folder.

    `study.json` must be there; a list of records that is not there is an error too, an empty one is none.

    Raises:
        InputError: a file is missing or not what it should be, a record occurs twice, names a model or
            dimension the study does not have, or a session that is not there, or contradicts its session.
    """
    study = _object(folder / "study.json", Study)
    if len(set(study.models)) < len(study.models):
        raise InputError("a model occurs twice", file=folder / "study.json", field="models")
    sessions = _lines(folder / "sessions.jsonl", Session, lambda one: one.session, "session", _session(study))
    by_name = {one.session: one for one in sessions}
    ratings = _lines(
        folder / "ratings.jsonl",
        Rating,
        lambda one: (one.rater, one.unit, one.model, one.dimension),
        "unit",
        _rating(study, by_name),
    )
    comparisons = _lines(
        folder / "comparisons.jsonl",
        Comparison,
        lambda one: (one.rater, one.unit, frozenset((one.first, one.second))),
        "unit",
        _comparison(study, by_name),
    )
    attention = _lines(
        folder / "attention.jsonl", Attention, lambda one: (one.rater, one.unit), "unit", lambda _: None
    )
    gone = _object(folder / "withdrawals.json", Withdrawals).count
    return Export(study, sessions, ratings, comparisons, attention, gone)


def session_of(unit: str) -> str | None:
    """Return the session of a unit, `session` or `session#turn`; None of a fixed item."""
    return None if unit.startswith(ITEM) else unit.partition("#")[0]


Problem = tuple[str, str] | None
"""What is wrong with a record: the field and the words."""


def _session(study: Study) -> Callable[[Session], Problem]:
    def problem(one: Session) -> Problem:
        if one.mode != study.mode:
            return "mode", f"is {one.mode} in a {study.mode} study"
        missing = {"pointwise": one.model, "pairwise": one.models}[study.mode] is None
        if missing and one.state == SUBMITTED:
            return "model" if study.mode == "pointwise" else "models", "is missing"
        return _unknown("model", one.shown, study)

    return problem


def _rating(study: Study, sessions: dict[str, Session]) -> Callable[[Rating], Problem]:
    def problem(one: Rating) -> Problem:
        if study.dimensions and one.dimension not in study.dimensions:
            return "dimension", f"{one.dimension!r} is not among the study's: {', '.join(study.dimensions)}"
        return _unknown("model", [one.model], study) or _misplaced(one, [one.model], "model", sessions)

    return problem


def _comparison(study: Study, sessions: dict[str, Session]) -> Callable[[Comparison], Problem]:
    def problem(one: Comparison) -> Problem:
        if one.first == one.second:
            return "second", f"{one.second!r} is compared with itself"
        both = [one.first, one.second]
        return _unknown("first or second", both, study) or _misplaced(one, both, "first or second", sessions)

    return problem


def _unknown(field: str, models: Sequence[str], study: Study) -> Problem:
    others = [model for model in models if model not in study.models]
    if others:
        return field, f"unknown model {others[0]!r}, the study has {', '.join(study.models)}"
    return None


def _misplaced(
    one: Rating | Comparison, models: Sequence[str], field: str, sessions: dict[str, Session]
) -> Problem:
    name = session_of(one.unit)
    if name is None:
        return None
    if name not in sessions:
        return "unit", f"there is no session {name!r} in sessions.jsonl"
    if sessions[name].rater != one.rater:
        return "rater", f"is {one.rater!r}, and the session's is {sessions[name].rater!r}"
    if not set(models) <= set(sessions[name].shown):
        return field, f"{' and '.join(models)}, and the session is of {' and '.join(sessions[name].shown)}"
    return None


def _object(path: Path, kind: type[T]) -> T:
    try:
        return kind.model_validate_json(read_text(path))
    except ValidationError as error:
        raise _invalid(error, path, None) from None


def _lines(
    path: Path,
    kind: type[T],
    key: Callable[[T], Hashable],
    field: str,
    problem: Callable[[T], Problem],
) -> list[T]:
    """Read a file of records, each of which occurs once (by `key`) and has no `problem`."""
    found: dict[Hashable, tuple[int, T]] = {}
    for number, value in read_json_lines(path):
        line = f"line {number}"
        try:
            record = kind.model_validate(value)
        except ValidationError as error:
            raise _invalid(error, path, line) from None
        if (earlier := found.get(key(record))) is not None:
            raise InputError(f"the same record as line {earlier[0]}", file=path, record=line, field=field)
        if (wrong := problem(record)) is not None:
            raise InputError(wrong[1], file=path, record=line, field=wrong[0])
        found[key(record)] = (number, record)
    return [record for _, record in found.values()]


def _invalid(error: ValidationError, path: Path, record: Any) -> InputError:
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(map(str, first["loc"])) or None
    return InputError(first["msg"], file=path, record=record, field=field)
