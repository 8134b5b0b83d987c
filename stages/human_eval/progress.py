"""How far a study is: by rater and by model, in a handful of queries."""

from collections import Counter, defaultdict
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from stages.human_eval.raters import RaterState, state_of
from stages.human_eval.schema import RaterRow, RatingRow, TaskRow, TurnRow
from stages.human_eval.store import is_paused
from stages.human_eval.study import Study


@dataclass(frozen=True, slots=True)
class RaterProgress:
    """What one rater has done. `last_at` is seconds since the epoch."""

    id: int
    name: str
    state: RaterState
    sessions_submitted: int
    sessions_draft: int
    sessions_discarded: int
    sessions_ended: int
    items_done: int
    checks_passed: int
    checks_done: int
    last_at: float | None


@dataclass(frozen=True, slots=True)
class ModelProgress:
    """What was done with one model: sessions by state, items submitted, and what was submitted for it.

    `ratings` are values of questions, in pair-wise mode choices among answers of which one was this model's.
    """

    model: str
    submitted: int
    draft: int
    discarded: int
    ended: int
    items: int
    ratings: int


@dataclass(frozen=True, slots=True)
class Progress:
    """A whole study."""

    raters: list[RaterProgress]
    models: list[ModelProgress]
    withdrawn: int
    paused: bool


def progress(db: Session, study: Study) -> Progress:
    """Return how far the study is."""
    rows = list(db.scalars(select(RaterRow).order_by(RaterRow.id)))
    query = select(TaskRow.rater_id, TaskRow.kind, TaskRow.state, func.count(), func.max(TaskRow.last_at))
    done: dict[int, Counter[tuple[str, str]]] = defaultdict(Counter)
    last: dict[int, float] = {}
    for rater_id, kind, state, count, at in db.execute(query.group_by(*query.selected_columns[:3])):
        done[rater_id][kind, state] = count
        last[rater_id] = max(at, last.get(rater_id, at))
    passed = Counter(task.rater_id for task, given in checks(db, study) if given == task.expected)
    raters = [
        RaterProgress(
            row.id,
            row.name,
            state_of(row),
            *(done[row.id]["session", state] for state in ("submitted", "draft", "discarded", "ended")),
            items_done=done[row.id]["item", "submitted"],
            checks_passed=passed[row.id],
            checks_done=done[row.id]["attention", "submitted"],
            last_at=last.get(row.id),
        )
        for row in rows
    ]
    withdrawn = sum(row.withdrawn_at is not None for row in rows)
    return Progress(raters, _by_model(db, study), withdrawn, is_paused(db))


def checks(db: Session, study: Study) -> list[tuple[TaskRow, str]]:
    """Return the submitted attention checks, each with what was given: a side, a value, or several values."""
    tasks = list(
        db.scalars(
            select(TaskRow)
            .where(TaskRow.kind == "attention", TaskRow.state == "submitted")
            .order_by(TaskRow.rater_id, TaskRow.slot)
        )
    )
    if study.mode == "pairwise":
        return [(task, task.choice or "") for task in tasks]
    values: dict[str, set[int]] = defaultdict(set)
    query = select(RatingRow.task_id, RatingRow.value).join(TaskRow).where(TaskRow.kind == "attention")
    for task_id, value in db.execute(query):
        values[task_id].add(value)
    return [(task, ",".join(map(str, sorted(values[task.id])))) for task in tasks]


def _by_model(db: Session, study: Study) -> list[ModelProgress]:
    found: dict[str, Counter[str]] = {model: Counter() for model in study.models}
    query = select(TaskRow.first, TaskRow.second, TaskRow.kind, TaskRow.state, func.count())
    columns = (TaskRow.first, TaskRow.second, TaskRow.kind, TaskRow.state)
    for first, second, kind, state, count in db.execute(
        query.where(TaskRow.kind != "attention").group_by(*columns)
    ):
        for model in filter(None, (first, second)):
            if kind == "session":
                found[model][state] += count
            elif state == "submitted":
                found[model]["items"] += count
                found[model]["ratings"] += count if study.mode == "pairwise" else 0
    counted = RatingRow if study.mode == "pointwise" else TurnRow
    submitted = (
        select(TaskRow.first, TaskRow.second, func.count())
        .join(counted)
        .where(TaskRow.state == "submitted", TaskRow.kind != "attention")
    )
    for first, second, count in db.execute(submitted.group_by(TaskRow.first, TaskRow.second)):
        for model in filter(None, (first, second)):
            found[model]["ratings"] += count
    states = ("submitted", "draft", "discarded", "ended", "items", "ratings")
    return [ModelProgress(model, *(of_one[state] for state in states)) for model, of_one in found.items()]
