"""How far a study is, and everything it has found as JSONL and CSV, with no link or token.

Ratings and comparisons are those of submitted tasks; turns and the audit trail are of every task. Of raters
who have withdrawn only their number is left.
"""

import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Select, case, func, select
from sqlalchemy.orm import Session, selectinload

from rating.app.raters import all_raters
from rating.app.schema import ChangeRow, ItemRow, RaterRow, RatingRow, StudyRow, TaskRow, TurnRow
from rating.app.study import Study
from selfevolve.runtime.files import publish_csv, publish_json, publishing

Line = dict[str, Any]
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # with which a spreadsheet would begin to calculate
_WINNER = {"a": "first", "b": "second", "tie": "tie", None: "tie"}
_UNIT = case((TaskRow.kind == "session", TaskRow.id), else_="item:" + TaskRow.item_id).label("unit")
_AT_ONCE = {"yield_per": 500}  # rows in memory
_COLUMNS = {  # of the files that are also written as CSV
    "sessions": (
        "session rater mode model model_1 model_2 state language started_at submitted_at active_s turns slot"
    ),
    "ratings": "rater unit model dimension score at revisions",
    "comparisons": "rater unit position first second winner at seconds",
}


@dataclass(frozen=True, slots=True)
class RaterProgress:
    """What one rater has done: `tasks` by kind and state, and how many attention checks were passed."""

    rater: RaterRow
    tasks: Counter[tuple[str, str]]
    passed: int
    last_at: float | None


@dataclass(frozen=True, slots=True)
class Progress:
    """A whole study. `models` counts sessions by state, submitted `items`, and `ratings` (or choices)."""

    raters: list[RaterProgress]
    models: dict[str, Counter[str]]
    withdrawn: int
    paused: bool


def progress(db: Session, study: Study) -> Progress:
    """Return how far the study is."""
    query = select(TaskRow.rater_id, TaskRow.kind, TaskRow.state, func.count(), func.max(TaskRow.last_at))
    done: dict[int, Counter[tuple[str, str]]] = defaultdict(Counter)
    last: dict[int, float] = {}
    for rater_id, kind, state, count, at in db.execute(query.group_by(*query.selected_columns[:3])):
        done[rater_id][kind, state] = count
        last[rater_id] = max(at, last.get(rater_id, at))
    passed = Counter(task.rater_id for task, given in attention_checks(db, study) if given == task.expected)
    rows = all_raters(db)
    return Progress(
        raters=[RaterProgress(row, done[row.id], passed[row.id], last.get(row.id)) for row in rows],
        models=_by_model(db, study),
        withdrawn=sum(row.state == "withdrawn" for row in rows),
        paused=bool(db.scalar(select(StudyRow.paused))),
    )


def attention_checks(db: Session, study: Study) -> list[tuple[TaskRow, str]]:
    """Return the submitted attention checks, each with what was given: a side, a value, or several values."""
    query = select(TaskRow).where(TaskRow.kind == "attention", TaskRow.state == "submitted")
    found = db.scalars(query.order_by(TaskRow.rater_id, TaskRow.slot).options(selectinload(TaskRow.ratings)))
    if study.mode == "pairwise":
        return [(task, task.choice or "") for task in found]
    return [(task, ",".join(sorted({str(rating.value) for rating in task.ratings}))) for task in found]


def _by_model(db: Session, study: Study) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {model: Counter() for model in study.models}
    given = RatingRow if study.mode == "pointwise" else TurnRow
    query = select(given.task_id, func.count()).group_by(given.task_id)
    rated = {row[0]: row[1] for row in db.execute(query)}
    for task in db.scalars(select(TaskRow).where(TaskRow.kind != "attention")):
        for counts in (found[model] for model in task.models):
            if task.kind == "session":
                counts[task.state] += 1
            if task.state == "submitted":
                counts["items"] += task.kind == "item"
                counts["ratings"] += rated.get(task.id, task.choice is not None)
    return found


def export(db: Session, study: Study, folder: Path, now: float | None = None) -> None:
    """Publish the study in a folder, whole or not at all; `now` is when (seconds since the epoch).

    `db` is of `Store.reading`, so that all files show the same moment.
    """
    with publishing(folder) as temporary:
        temporary.mkdir()
        publish_json(temporary / "study.json", _study(db, study, time.time() if now is None else now))
        count = select(func.count()).select_from(RaterRow).where(RaterRow.withdrawn_at.is_not(None))
        publish_json(temporary / "withdrawals.json", {"count": db.scalar(count)})
        _write(temporary, "sessions", _sessions(db, study))
        _write(temporary, "turns", _turns(db))
        _write(temporary, "ratings", _ratings(db))
        _write(temporary, "comparisons", _comparisons(db, study))
        _write(temporary, "attention", _attention(db, study))
        items = select(ItemRow.id, ItemRow.messages, ItemRow.responses).order_by(ItemRow.place)
        _write(temporary, "items", _rows(db, items))
        _write(temporary, "changes", _changes(db))


def _study(db: Session, study: Study, now: float) -> Line:
    row = db.scalars(select(StudyRow)).one()
    line = _fields(study, "name mode models digest") | {
        "model_digests": row.model_digests,
        "seed": study.seed,
    }
    line["dimensions"] = study.dimension_names if study.mode == "pointwise" else []
    return line | {"exported_at": _iso(now), "created_at": _iso(row.created_at), "design": row.content}


def _sessions(db: Session, study: Study) -> Iterator[Line]:
    query = select(TaskRow, RaterRow.name, func.count(TurnRow.id)).join(RaterRow).outerjoin(TurnRow)
    query = query.where(TaskRow.kind == "session").group_by(TaskRow.id, RaterRow.id).order_by(TaskRow.id)
    for task, rater, turns in db.execute(query.execution_options(**_AT_ONCE)):
        shown = {"model": task.first} if study.mode == "pointwise" else {"models": list(task.models)}
        line = {"session": task.id, "rater": rater, "mode": study.mode, **shown}
        line |= _fields(task, "state language started_at submitted_at")
        yield line | {"active_s": round(task.active_s, 3), "turns": turns, "slot": task.slot}


def _turns(db: Session) -> Iterator[Line]:
    for turn, rater in db.execute(_turn_query()):
        line = {"session": turn.task_id, "rater": rater, "index": turn.number}
        line |= _fields(turn, "seeker posted_at")
        answered = "side model text seed started_at finished_at status"
        line["answers"] = [_fields(answer, answered) for answer in turn.answers]
        yield line | _fields(turn, "choice continued chosen_at")


def _turn_query() -> Select[tuple[TurnRow, str]]:
    query = select(TurnRow, RaterRow.name).join(TaskRow, TaskRow.id == TurnRow.task_id).join(RaterRow)
    return query.order_by(TaskRow.id, TurnRow.number).execution_options(**_AT_ONCE)


def _ratings(db: Session) -> Iterator[Line]:
    rated = (RatingRow.dimension, RatingRow.value.label("score"), RatingRow.at, RatingRow.revisions)
    query = select(RaterRow.name.label("rater"), _UNIT, TaskRow.first.label("model"), *rated)
    query = query.join_from(RatingRow, TaskRow).join(RaterRow, RaterRow.id == TaskRow.rater_id)
    query = query.where(TaskRow.state == "submitted", TaskRow.kind != "attention")
    return _rows(db, query.order_by(TaskRow.id, RatingRow.id))


def _comparisons(db: Session, study: Study) -> Iterator[Line]:
    if study.mode != "pairwise":
        return
    for turn, rater in db.execute(_turn_query().where(TaskRow.state == "submitted")):
        models = [answer.model for answer in turn.answers]
        shown = max(answer.finished_at or turn.posted_at for answer in turn.answers)
        unit = f"{turn.task_id}#{turn.number}"
        yield {"rater": rater, "unit": unit, "position": turn.number, **_compared(turn, models, shown)}
    items = select(TaskRow, RaterRow.name).join(RaterRow).order_by(TaskRow.id)
    for task, rater in db.execute(items.where(TaskRow.kind == "item", TaskRow.state == "submitted")):
        compared = _compared(task, task.models, task.started_at)
        yield {"rater": rater, "unit": f"item:{task.item_id}", "position": task.slot, **compared}


def _compared(made: TurnRow | TaskRow, models: Sequence[str], shown: float) -> Line:
    seconds = None if made.chosen_at is None else round(max(made.chosen_at - shown, 0.0), 3)
    winner = {"first": models[0], "second": models[1], "winner": _WINNER[made.choice]}
    return {**winner, "at": _iso(made.chosen_at), "seconds": seconds}


def _attention(db: Session, study: Study) -> Iterator[Line]:
    for task, given in attention_checks(db, study):
        line = {"rater": task.rater.name, "unit": f"check:{task.id}", "expected": task.expected}
        yield line | {"given": given, "passed": given == task.expected}


def _changes(db: Session) -> Iterator[Line]:
    columns = (ChangeRow.task_id.label("task"), ChangeRow.field, ChangeRow.old, ChangeRow.new)
    query = select(RaterRow.name.label("rater"), *columns, ChangeRow.state, ChangeRow.at)
    query = query.join_from(ChangeRow, TaskRow).join(RaterRow, RaterRow.id == TaskRow.rater_id)
    return _rows(db, query.order_by(ChangeRow.id))


def _rows(db: Session, query: Select[Any]) -> Iterator[Line]:
    """Yield the rows of a query whose columns are named as in the file."""
    for row in db.execute(query.execution_options(**_AT_ONCE)):
        yield _fields(row, " ".join(row._fields))


def _fields(row: object, names: str) -> Line:
    """Return these fields of a row with the times written out."""
    line = {name: getattr(row, name) for name in names.split()}
    return {name: _iso(value) if name.split("_")[-1] == "at" else value for name, value in line.items()}


def _iso(at: float | None) -> str | None:
    """Return a time in ISO 8601 (UTC, milliseconds)."""
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def _write(folder: Path, name: str, lines: Iterable[Line]) -> None:
    """Write a JSONL file, and a CSV beside it where there are columns."""
    path = folder / f"{name}.jsonl"
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for line in lines:
            file.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
    if name in _COLUMNS:
        columns = _COLUMNS[name].split()
        publish_csv(folder / f"{name}.csv", columns, _csv_rows(path, columns))


def _csv_rows(path: Path, columns: list[str]) -> Iterator[list[Any]]:
    with path.open(encoding="utf-8") as file:
        for text in file:
            line = json.loads(text)
            line |= {f"model_{number}": model for number, model in enumerate(line.get("models", ()), start=1)}
            yield [_cell(line.get(column)) for column in columns]


def _cell(value: Any) -> Any:
    """Return a cell; a text that a spreadsheet would take for a formula gets an apostrophe before it."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
