"""Everything a study has found, as JSONL and CSV: what is needed to analyse it anew, and no link or token.

Ratings and comparisons are those of what was submitted; turns and the trail of changes are of every task.
Nothing is left of raters who have withdrawn but their number.
"""

import csv
import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from stages.human_eval.clock import iso, now
from stages.human_eval.progress import checks
from stages.human_eval.schema import ChangeRow, ItemRow, RaterRow, RatingRow, StudyRow, TaskRow, TurnRow
from stages.human_eval.study import Study
from stages.human_eval.turns import Whole, turns_of
from stages.records.publish import publish_json, publishing

Line = dict[str, Any]
_AT_ONCE = 50  # sessions whose turns are in memory together
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # with which a spreadsheet would begin to calculate
_WINNER = {"a": "first", "b": "second", "tie": "tie"}


def export(db: Session, study: Study, folder: Path, now: float | None = None) -> None:
    """Publish the study in a folder, whole or not at all.

    Args:
        db: of `Store.reading`, so that all files show the same moment.
        study: the study.
        folder: is replaced where it exists.
        now: when it is exported (seconds since the epoch), if not at this moment.
    """
    with publishing(folder) as temporary:
        temporary.mkdir()
        publish_json(temporary / "study.json", _study(db, study, now))
        count = select(func.count()).select_from(RaterRow).where(RaterRow.withdrawn_at.is_not(None))
        publish_json(temporary / "withdrawals.json", {"count": db.scalar(count)})
        _write(temporary, "sessions", _sessions(db, study), table=True)
        _write(temporary, "turns", _turns(db))
        _write(temporary, "ratings", _ratings(db), table=True)
        _write(temporary, "comparisons", _comparisons(db, study), table=True)
        _write(temporary, "attention", _attention(db, study))
        _write(temporary, "items", _items(db))
        _write(temporary, "changes", _changes(db))


def _study(db: Session, study: Study, at: float | None) -> Line:
    row = db.scalars(select(StudyRow)).one()
    return {
        "name": study.name,
        "mode": study.mode,
        "models": list(study.models),
        "digest": study.digest,
        "model_digests": row.model_digests,
        "seed": study.seed,
        "dimensions": list(study.dimension_names) if study.mode == "pointwise" else [],
        "exported_at": iso(now() if at is None else at),
        "created_at": iso(row.created_at),
        "design": row.content,
    }


def _sessions(db: Session, study: Study) -> Iterator[Line]:
    turns = select(TurnRow.task_id, func.count().label("turns")).group_by(TurnRow.task_id).subquery()
    query = (
        select(TaskRow, RaterRow.name, turns.c.turns)
        .join(RaterRow)
        .outerjoin(turns, turns.c.task_id == TaskRow.id)
        .where(TaskRow.kind == "session")
        .order_by(TaskRow.id)
    )
    for task, rater, count in db.execute(query.execution_options(yield_per=500)):
        shown = {"model": task.first} if study.mode == "pointwise" else {"models": [task.first, task.second]}
        yield {
            "session": task.id,
            "rater": rater,
            "mode": study.mode,
            **shown,
            "state": task.state,
            "language": task.language,
            "started_at": iso(task.started_at),
            "submitted_at": iso(task.submitted_at),
            "active_s": round(task.active_s, 3),
            "turns": count or 0,
            "slot": task.slot,
        }


def _turns(db: Session) -> Iterator[Line]:
    for task, rater, whole in _whole_turns(db):
        turn = whole.turn
        yield {
            "session": task.id,
            "rater": rater,
            "index": turn.number,
            "seeker": turn.seeker,
            "posted_at": iso(turn.posted_at),
            "answers": [
                {
                    "side": answer.side,
                    "model": answer.model,
                    "text": answer.text,
                    "seed": answer.seed,
                    "started_at": iso(answer.started_at),
                    "finished_at": iso(answer.finished_at),
                    "status": answer.status,
                }
                for answer in whole.answers
            ],
            "choice": turn.choice,
            "continued": turn.continued,
            "chosen_at": iso(turn.chosen_at),
        }


def _whole_turns(db: Session, state: str | None = None) -> Iterator[tuple[TaskRow, str, Whole]]:
    """Yield every turn of sessions (of one state), some sessions at a time."""
    query = select(TaskRow, RaterRow.name).join(RaterRow).where(TaskRow.kind == "session")
    query = query if state is None else query.where(TaskRow.state == state)
    tasks = db.execute(query.order_by(TaskRow.id)).all()
    for start in range(0, len(tasks), _AT_ONCE):
        some = tasks[start : start + _AT_ONCE]
        found = turns_of(db, [task.id for task, _ in some])
        for task, rater in some:
            for whole in found[task.id]:
                yield task, rater, whole
        for of_one in found.values():
            for whole in of_one:
                for row in (whole.turn, *whole.answers):
                    db.expunge(row)


def _ratings(db: Session) -> Iterator[Line]:
    query = (
        select(RatingRow, TaskRow, RaterRow.name)
        .join(TaskRow, TaskRow.id == RatingRow.task_id)
        .join(RaterRow, RaterRow.id == TaskRow.rater_id)
        .where(TaskRow.state == "submitted", TaskRow.kind != "attention")
        .order_by(TaskRow.id, RatingRow.id)
    )
    for rating, task, rater in db.execute(query.execution_options(yield_per=500)):
        yield {
            "rater": rater,
            "unit": _unit(task),
            "model": task.first,
            "dimension": rating.dimension,
            "score": rating.value,
            "at": iso(rating.at),
            "revisions": rating.revisions,
        }


def _comparisons(db: Session, study: Study) -> Iterator[Line]:
    if study.mode != "pairwise":
        return
    for task, rater, whole in _whole_turns(db, "submitted"):
        turn, (first, second) = whole.turn, whole.answers
        shown_at = max(first.finished_at or turn.posted_at, second.finished_at or turn.posted_at)
        unit, models = f"{task.id}#{turn.number}", (first.model, second.model)
        yield _comparison(rater, unit, turn.number, models, turn.choice, turn.chosen_at, shown_at)
    query = select(TaskRow, RaterRow.name).join(RaterRow)
    query = query.where(TaskRow.kind == "item", TaskRow.state == "submitted").order_by(TaskRow.id)
    for task, rater in db.execute(query):
        models = (task.first or "", task.second or "")
        unit = _unit(task)
        yield _comparison(rater, unit, task.slot, models, task.choice, task.chosen_at, task.started_at)


def _comparison(
    rater: str,
    unit: str,
    position: int,
    models: tuple[str, str],
    choice: str | None,
    at: float | None,
    shown_at: float,
) -> Line:
    seconds = None if at is None else round(max(at - shown_at, 0.0), 3)
    shown = {"first": models[0], "second": models[1], "winner": _WINNER[choice or "tie"]}
    return {"rater": rater, "unit": unit, "position": position, **shown, "at": iso(at), "seconds": seconds}


def _attention(db: Session, study: Study) -> Iterator[Line]:
    names = {row.id: row.name for row in db.scalars(select(RaterRow))}
    for task, given in checks(db, study):
        yield {
            "rater": names[task.rater_id],
            "unit": f"check:{task.id}",
            "expected": task.expected,
            "given": given,
            "passed": given == task.expected,
        }


def _items(db: Session) -> Iterator[Line]:
    for item in db.scalars(select(ItemRow).order_by(ItemRow.place)):
        yield {"id": item.id, "messages": item.messages, "responses": item.responses}


def _changes(db: Session) -> Iterator[Line]:
    query = select(ChangeRow, RaterRow.name).join(TaskRow, TaskRow.id == ChangeRow.task_id).join(RaterRow)
    for change, rater in db.execute(query.order_by(ChangeRow.id).execution_options(yield_per=500)):
        fields = {"field": change.field, "old": change.old, "new": change.new, "state": change.state}
        yield {"rater": rater, "task": change.task_id, **fields, "at": iso(change.at)}


def _unit(task: TaskRow) -> str:
    return task.id if task.kind == "session" else f"item:{task.item_id}"


_COLUMNS = {
    "sessions": (
        "session rater mode model model_1 model_2 state language started_at submitted_at active_s turns slot"
    ),
    "ratings": "rater unit model dimension score at revisions",
    "comparisons": "rater unit position first second winner at seconds",
}


def _write(folder: Path, name: str, lines: Iterable[Line], table: bool = False) -> None:
    """Write a JSONL file, and with `table` a CSV beside it that no spreadsheet takes for formulas."""
    columns = _COLUMNS[name].split() if table else []
    with ExitStack() as files:
        records = files.enter_context((folder / f"{name}.jsonl").open("w", encoding="utf-8", newline="\n"))
        writer = None
        if table:
            rows = files.enter_context((folder / f"{name}.csv").open("w", encoding="utf-8", newline=""))
            writer = csv.writer(rows, lineterminator="\n")
            writer.writerow(columns)
        for line in lines:
            records.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
            if writer is not None:
                flat = {**line, **{f"model_{n}": m for n, m in enumerate(line.get("models", ()), start=1)}}
                writer.writerow([_cell(flat.get(column)) for column in columns])


def _cell(value: Any) -> Any:
    """Return a cell; a text that begins like a formula gets an apostrophe before it."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
