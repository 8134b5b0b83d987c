"""What a rater does one after another: sessions, overlap items and attention checks."""

import time
from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Row, select

from rating.app import assignment
from rating.app.assignment import Condition
from rating.app.conversation import AnswerView, TurnView, missing_of, turn_view
from rating.app.raters import Rater, Refused
from rating.app.schema import ItemRow, RatingRow, StudyRow, TaskRow
from rating.app.study import Study
from selfevolve.records.schema import Message

_COUNTED = ("draft", "submitted")  # what is discarded or ended leaves its condition to somebody else


@dataclass(frozen=True, slots=True)
class TaskView:
    """A session, an overlap item or an attention check, as its page shows it; no model is named.

    `slot` counts from 1 to `slots`, the length of the rater's plan. A session has `turns`, an item or check
    has `messages` and `answers`. `blocked` is the code of what still stands against submitting it, or None.
    """

    id: str
    kind: str
    state: str
    slot: int
    slots: int
    turns: tuple[TurnView, ...]
    messages: tuple[Message, ...]
    answers: tuple[AnswerView, ...]
    choice: str | None
    ratings: dict[str, int]
    blocked: str | None


def next_task(rater: Rater) -> TaskView | None:
    """Return the task that the rater is to do now, made if need be; None when all are done.

    The open task stays the next one. A discarded task's slot is given again, an ended session's is not.
    """
    rater.lock()
    newest = select(TaskRow).where(TaskRow.rater_id == rater.row.id)
    last = rater.db.scalar(newest.order_by(TaskRow.slot.desc(), TaskRow.attempt.desc()).limit(1))
    if last is not None and last.state == "draft":
        return task_view(rater.study, last)
    slot, attempt = (last.slot + 1, 1) if last else (1, 1)
    if last is not None and last.state == "discarded":
        slot, attempt = last.slot, last.attempt + 1
    kinds = assignment.plan(rater.study, rater.row.name)
    while slot <= len(kinds):
        task = _assign(rater, kinds[slot - 1], slot, attempt)
        if task is not None:
            rater.db.add(task)
            rater.db.flush()
            return task_view(rater.study, task)
        slot, attempt = slot + 1, 1
    return None


def read_task(rater: Rater, task_id: str) -> TaskView:
    """Return one of the rater's tasks as it stands. Raises Refused: not_yours."""
    return task_view(rater.study, rater.task(task_id))


def task_lines(rater: Rater) -> list[Row[Any]]:
    """Return id, kind, state and slot of the rater's tasks in order."""
    query = select(TaskRow.id, TaskRow.kind, TaskRow.state, TaskRow.slot)
    query = query.where(TaskRow.rater_id == rater.row.id).order_by(TaskRow.slot, TaskRow.attempt)
    return list(rater.db.execute(query))


def save_rating(rater: Rater, task_id: str, dimension: str, value: int, nonce: str) -> None:
    """Keep one rating (1 to 5) of a task that is open or submitted; the audit trail has the one before."""
    study = rater.study
    task, action = rater.begin(task_id, nonce, "rate", dimension)
    if dimension not in study.dimension_names or isinstance(value, bool) or value not in range(1, 6):
        raise Refused("bad_value")
    if action is None:
        return
    if study.mode != "pointwise" or task.state not in _COUNTED:
        raise Refused("wrong_state")
    if task.kind == "session" and task.state == "draft" and (early := _too_early(study, task)):
        raise early
    now = rater.touch(task) if task.state == "draft" else time.time()
    row = next((rating for rating in task.ratings if rating.dimension == dimension), None)
    if row is None:
        task.ratings.append(RatingRow(dimension=dimension, value=value, at=now, revisions=0))
        rater.record_change(task, dimension, None, value)
    elif row.value != value:
        rater.record_change(task, dimension, row.value, value)
        row.value, row.at, row.revisions = value, now, row.revisions + 1


def choose_item(rater: Rater, task_id: str, choice: str, nonce: str) -> None:
    """Keep which answer of a pair-wise item or check is better: a, b or tie; audited as ratings are."""
    task, action = rater.begin(task_id, nonce, "choice")
    if choice not in ("a", "b", "tie"):
        raise Refused("bad_value")
    if action is None:
        return
    if rater.study.mode != "pairwise" or task.kind == "session" or task.state not in _COUNTED:
        raise Refused("wrong_state")
    if task.state == "draft":
        now = rater.touch(task)
        task.chosen_at = now if task.choice != choice else task.chosen_at
    if task.choice != choice:
        rater.record_change(task, "choice", task.choice, choice)
        task.choice = choice


def submit(rater: Rater, task_id: str, nonce: str) -> None:
    """Submit a task. Raises Refused: what `TaskView.blocked` says."""
    task, action = rater.begin(task_id, nonce, "submit")
    if action is None:
        return
    if task.state != "draft":
        raise Refused("wrong_state")
    if (refused := _blocked(rater.study, task)) is not None:
        raise refused
    task.submitted_at = rater.touch(task)
    task.state = "submitted"


def close(rater: Rater, task_id: str, state: Literal["discarded", "ended"], nonce: str) -> None:
    """Discard an open task, or end it at once as the rater asks for it, also while the study is paused."""
    task, action = rater.begin(task_id, nonce, state, while_paused=state == "ended")
    if action is None:
        return
    if task.state != "draft":
        raise Refused("wrong_state")
    rater.touch(task)
    task.state = state


def _assign(rater: Rater, kind: str, slot: int, attempt: int) -> TaskRow | None:
    """Return a new task; None of an item when there is none left for this rater."""
    study = rater.study
    rater.db.execute(select(StudyRow.id).with_for_update())  # one at a time, so that counts are true
    now = time.time()
    task = TaskRow(
        id=f"{rater.row.name}-{slot:02d}" + (f".{attempt}" if attempt > 1 else ""),
        rater=rater.row,
        language=rater.row.language or study.languages[0],
        **{"slot": slot, "attempt": attempt, "kind": kind, "state": "draft"},
        **{"started_at": now, "last_at": now, "active_s": 0.0},
    )
    if kind == "attention":
        drawn = assignment.seeded(study.seed, "expected", task.id)
        task.expected = str(drawn % 5 + 1) if study.mode == "pointwise" else "ab"[drawn % 2]
        return task
    if kind == "session":
        condition = _session_condition(rater, slot, task.id)
    else:
        unit = _item_unit(rater)
        if unit is None:
            return None
        task.item_id, condition = unit
        if len(condition) == 2 and assignment.swapped(study, task.id):
            condition = condition[::-1]
    task.first, task.second = (*condition, None)[:2]
    return task


def _session_condition(rater: Rater, slot: int, task_id: str) -> Condition:
    query = select(TaskRow).where(TaskRow.kind == "session", TaskRow.state.in_(_COUNTED))
    sessions = list(rater.db.scalars(query))
    total = Counter(task.models for task in sessions)
    placed = Counter(task.models for task in sessions if task.slot == slot)
    own = Counter(task.models for task in sessions if task.rater_id == rater.row.id)
    study = rater.study
    return assignment.least_used(study.conditions, own, placed, total, study.seed, task_id)


def _item_unit(rater: Rater) -> tuple[str, Condition] | None:
    study = rater.study
    assert study.overlap is not None
    tasks = list(rater.db.scalars(select(TaskRow).where(TaskRow.kind == "item")))

    def unit(task: TaskRow) -> tuple[str, Condition]:  # whichever side its models are on
        return task.item_id or "", tuple(model for model in study.models if model in task.models)

    taken = Counter(unit(task) for task in tasks if task.state in _COUNTED)
    own = {unit(task) for task in tasks if task.rater_id == rater.row.id}
    items = list(rater.db.scalars(select(ItemRow.id).order_by(ItemRow.place)))
    order = assignment.item_order(items, study.conditions)
    return assignment.next_item(order, taken, own, study.overlap.raters_per_item)


def task_view(study: Study, task: TaskRow) -> TaskView:
    """Return a task as its page shows it."""
    messages: list[Message] = []
    answers: list[str] = []
    if task.kind == "attention":
        texts = study.attention(task.language)
        messages = [Message(role="user", content=texts["seeker"])]
        said = texts[study.mode].format(value=task.expected, side=(task.expected or "").upper())
        answers = [said for _ in study.sides]
    elif task.item is not None:
        messages = [Message(**message) for message in task.item.messages]
        answers = [task.item.responses[model] for model in task.models]
    refused = _blocked(study, task)
    return TaskView(
        id=task.id,
        kind=task.kind,
        state=task.state,
        slot=task.slot,
        slots=len(assignment.plan(study, task.rater.name)),
        turns=tuple(turn_view(turn) for turn in task.turns),
        messages=tuple(messages),
        answers=tuple(AnswerView(side, "done", text) for side, text in zip("ab", answers, strict=False)),
        choice=task.choice,
        ratings={rating.dimension: rating.value for rating in task.ratings},
        blocked=refused.code if refused else None,
    )


def _blocked(study: Study, task: TaskRow) -> Refused | None:
    """Return what stands against submitting a task."""
    if task.kind == "session":
        if (early := _too_early(study, task)) is not None:
            return early
        if missing := missing_of(task.turns[-1]):
            return Refused(missing)
    elif study.mode == "pairwise":
        return None if task.choice else Refused("choose_first")
    if study.mode == "pointwise":
        rated = {rating.dimension for rating in task.ratings}
        missing_names = [name for name in study.dimension_names if name not in rated]
        return Refused("unrated", missing=missing_names) if missing_names else None
    return None


def _too_early(study: Study, task: TaskRow) -> Refused | None:
    done = sum(missing_of(turn) is None for turn in task.turns)
    return Refused("too_early", needed=study.minimum_turns, done=done) if done < study.minimum_turns else None
