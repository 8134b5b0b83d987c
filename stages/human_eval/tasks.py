"""What a rater does one after another: sessions, overlap items and attention checks."""

from collections import Counter

from sqlalchemy import select
from sqlalchemy.orm import Session

from stages.human_eval import acts, assignment, turns
from stages.human_eval.assignment import Condition
from stages.human_eval.clock import now
from stages.human_eval.errors import Refused
from stages.human_eval.schema import ItemRow, RaterRow, RatingRow, StudyRow, TaskRow
from stages.human_eval.study import SCALE, Study
from stages.human_eval.turns import Whole
from stages.human_eval.views import AnswerView, TaskLine, TaskView
from stages.records.schema import Message

_COUNTED = ("draft", "submitted")  # what is discarded or ended leaves its condition to somebody else


def next_task(db: Session, study: Study, rater_id: int) -> TaskView | None:
    """Return what the rater is to do now, made if need be: the open task until it is over; None when done.

    A discarded task's slot is given again; an ended session's is not.

    Raises:
        Refused: as `acts.enter`.
    """
    rater = acts.enter(db, rater_id)
    last = db.scalar(
        select(TaskRow)
        .where(TaskRow.rater_id == rater_id)
        .order_by(TaskRow.slot.desc(), TaskRow.attempt.desc())
        .limit(1)
    )
    if last is not None and last.state == "draft":
        return _view(db, study, rater, last)
    slot, attempt = (last.slot + 1, 1) if last else (1, 1)
    if last is not None and last.state == "discarded":
        slot, attempt = last.slot, last.attempt + 1
    kinds = assignment.plan(study, rater.name)
    while slot <= len(kinds):
        task = _assign(db, study, rater, kinds[slot - 1], slot, attempt)
        if task is not None:
            db.add(task)
            db.flush()
            return _view(db, study, rater, task)
        slot, attempt = slot + 1, 1
    return None


def current_task_id(db: Session, rater_id: int) -> str | None:
    """Return the open task of a rater, if there is one."""
    return db.scalar(
        select(TaskRow.id).where(TaskRow.rater_id == rater_id, TaskRow.state == "draft").limit(1)
    )


def open_task(db: Session, study: Study, rater_id: int, task_id: str) -> TaskView:
    """Return one of the rater's tasks as it stands. Raises NotYours."""
    task = acts.own_task(db, rater_id, task_id)
    rater = db.get(RaterRow, rater_id)
    assert rater is not None
    return _view(db, study, rater, task)


def my_tasks(db: Session, rater_id: int) -> list[TaskLine]:
    """Return the rater's tasks in order, to go back to."""
    rows = db.scalars(
        select(TaskRow).where(TaskRow.rater_id == rater_id).order_by(TaskRow.slot, TaskRow.attempt)
    )
    return [TaskLine(row.id, row.kind, row.state, row.slot, row.submitted_at) for row in rows]  # type: ignore[arg-type]


def save_rating(
    db: Session, study: Study, rater_id: int, task_id: str, dimension: str, value: int, nonce: str
) -> None:
    """Keep one value (1 to 5) of a draft or of something submitted; what stood before stays in the trail.

    Raises:
        Refused: bad_value, wrong_state, too_early (a session shorter than the study asks for), bad_nonce,
            not_yours, and what `acts.enter` refuses.
    """
    acts.enter(db, rater_id)
    task = acts.own_task(db, rater_id, task_id)
    known = dimension in study.dimension_names and isinstance(value, int) and not isinstance(value, bool)
    if not known or not SCALE[0] <= value <= SCALE[1]:
        raise Refused("bad_value")
    act = f"rate {task_id} {dimension}"[:96]
    if acts.replayed(db, rater_id, nonce, act):
        return
    if study.mode != "pointwise" or task.state not in _COUNTED:
        raise Refused("wrong_state")
    if task.kind == "session" and task.state == "draft":
        past = turns.turns_of(db, [task_id])[task_id]
        if (early := _too_early(study, past)) is not None:
            raise early
    at = acts.touch(study, task) if task.state == "draft" else now()
    row = db.scalar(select(RatingRow).where(RatingRow.task_id == task_id, RatingRow.dimension == dimension))
    if row is None:
        db.add(RatingRow(task_id=task_id, dimension=dimension, value=value, at=at, revisions=0))
        acts.audit(db, task, dimension, None, value)
    elif row.value != value:
        acts.audit(db, task, dimension, row.value, value)
        row.value, row.at, row.revisions = value, at, row.revisions + 1
    acts.note(db, rater_id, nonce, act)


def choose_item(db: Session, study: Study, rater_id: int, task_id: str, choice: str, nonce: str) -> None:
    """Take which answer of a pair-wise item or check is better: a, b or tie; audited as ratings are.

    Raises:
        Refused: bad_value, wrong_state, bad_nonce, not_yours, and what `acts.enter` refuses.
    """
    acts.enter(db, rater_id)
    task = acts.own_task(db, rater_id, task_id)
    if choice not in ("a", "b", "tie"):
        raise Refused("bad_value")
    act = f"choice {task_id}"
    if acts.replayed(db, rater_id, nonce, act):
        return
    if study.mode != "pairwise" or task.kind == "session" or task.state not in _COUNTED:
        raise Refused("wrong_state")
    at = acts.touch(study, task) if task.state == "draft" else now()
    if task.choice != choice:
        acts.audit(db, task, "choice", task.choice, choice)
        if task.state == "draft":
            task.chosen_at = at
        task.choice = choice
    acts.note(db, rater_id, nonce, act)


def submit(db: Session, study: Study, rater_id: int, task_id: str, nonce: str) -> None:
    """Hand a task in.

    Raises:
        Refused: too_early, answer_pending, choose_first, continue_first, unrated, wrong_state, bad_nonce,
            not_yours, and what `acts.enter` refuses.
    """
    acts.enter(db, rater_id)
    task = acts.own_task(db, rater_id, task_id)
    act = f"submit {task_id}"
    if acts.replayed(db, rater_id, nonce, act):
        return
    if task.state != "draft":
        raise Refused("wrong_state")
    past = turns.turns_of(db, [task_id])[task_id] if task.kind == "session" else []
    given = set(db.scalars(select(RatingRow.dimension).where(RatingRow.task_id == task_id)))
    if (refused := _blocked(study, task, past, given)) is not None:
        raise refused
    task.submitted_at = acts.touch(study, task)
    task.state = "submitted"
    acts.note(db, rater_id, nonce, act)


def discard(db: Session, study: Study, rater_id: int, task_id: str, nonce: str) -> None:
    """Throw an open task away; its slot is given again, and it is counted. Raises as `end_for_crisis`."""
    acts.enter(db, rater_id)
    _close(db, study, rater_id, task_id, nonce, "discarded")


def end_for_crisis(db: Session, study: Study, rater_id: int, task_id: str, nonce: str) -> None:
    """End an open task at once because the rater asks for it; works while the study is paused.

    Raises:
        Refused: wrong_state (it is over), bad_nonce, not_yours, and what `acts.enter` refuses.
    """
    acts.enter(db, rater_id, while_paused=True)
    _close(db, study, rater_id, task_id, nonce, "ended")


def _close(db: Session, study: Study, rater_id: int, task_id: str, nonce: str, state: str) -> None:
    task = acts.own_task(db, rater_id, task_id)
    act = f"{state} {task_id}"
    if acts.replayed(db, rater_id, nonce, act):
        return
    if task.state != "draft":
        raise Refused("wrong_state")
    acts.touch(study, task)
    task.state = state
    acts.note(db, rater_id, nonce, act)


def _assign(db: Session, study: Study, rater: RaterRow, kind: str, slot: int, attempt: int) -> TaskRow | None:
    """Return a new task; None of an item when there is none left for this rater."""
    db.execute(select(StudyRow.id).with_for_update())  # one at a time, so that counts are true
    task_id = f"{rater.name}-{slot:02d}" + (f".{attempt}" if attempt > 1 else "")
    at = now()
    task = TaskRow(id=task_id, rater_id=rater.id, slot=slot, attempt=attempt, kind=kind, state="draft")
    task.language = rater.language or study.languages[0]
    task.started_at = task.last_at = at
    task.active_s = 0.0
    if kind == "attention":
        drawn = assignment.seeded(study.seed, "expected", task_id)
        task.expected = str(drawn % 5 + 1) if study.mode == "pointwise" else "ab"[drawn % 2]
        return task
    if kind == "session":
        condition = _session_condition(db, study, rater, slot, task_id)
    else:
        unit = _item_unit(db, study, rater)
        if unit is None:
            return None
        task.item_id, condition = unit
        if len(condition) == 2 and assignment.swapped(study, task_id):
            condition = condition[::-1]
    task.first, task.second = (*condition, None)[:2]
    return task


def _session_condition(db: Session, study: Study, rater: RaterRow, slot: int, task_id: str) -> Condition:
    rows = db.execute(
        select(TaskRow.first, TaskRow.second, TaskRow.slot, TaskRow.rater_id).where(
            TaskRow.kind == "session", TaskRow.state.in_(_COUNTED)
        )
    )
    own: Counter[Condition] = Counter()
    placed: Counter[Condition] = Counter()
    total: Counter[Condition] = Counter()
    for first, second, at_slot, rater_id in rows:
        condition = (first,) if second is None else (first, second)
        total[condition] += 1
        placed[condition] += at_slot == slot
        own[condition] += rater_id == rater.id
    return assignment.least_used(study.conditions, own, placed, total, study.seed, task_id)


def _item_unit(db: Session, study: Study, rater: RaterRow) -> tuple[str, Condition] | None:
    assert study.overlap is not None
    items = list(db.scalars(select(ItemRow.id).order_by(ItemRow.place)))
    taken: Counter[tuple[str, Condition]] = Counter()
    own: set[tuple[str, Condition]] = set()
    rank = {model: number for number, model in enumerate(study.models)}
    rows = db.execute(
        select(TaskRow.item_id, TaskRow.first, TaskRow.second, TaskRow.state, TaskRow.rater_id).where(
            TaskRow.kind == "item"
        )
    )
    for item, first, second, state, rater_id in rows:
        unit = item, tuple(sorted((m for m in (first, second) if m is not None), key=rank.__getitem__))
        taken[unit] += state in _COUNTED
        if rater_id == rater.id:
            own.add(unit)
    order = assignment.item_order(items, study.conditions)
    return assignment.next_item(order, taken, own, study.overlap.raters_per_item)


def _view(db: Session, study: Study, rater: RaterRow, task: TaskRow) -> TaskView:
    past = turns.turns_of(db, [task.id])[task.id] if task.kind == "session" else []
    given = db.execute(select(RatingRow.dimension, RatingRow.value).where(RatingRow.task_id == task.id))
    ratings = dict(given.all())
    messages, answers = _shown(db, study, task)
    refused = _blocked(study, task, past, set(ratings))
    return TaskView(
        id=task.id,
        kind=task.kind,  # type: ignore[arg-type]
        mode=study.mode,
        state=task.state,  # type: ignore[arg-type]
        slot=task.slot,
        slots=len(assignment.plan(study, rater.name)),
        turns=tuple(turns.view(study, whole) for whole in past),
        messages=messages,
        answers=answers,
        choice=task.choice,  # type: ignore[arg-type]
        ratings=ratings,
        blocked=refused.code if refused else None,
    )


def _shown(db: Session, study: Study, task: TaskRow) -> tuple[tuple[Message, ...], tuple[AnswerView, ...]]:
    """Return the dialogue and the answers of an item or check."""
    if task.kind == "attention":
        texts = study.attention(task.language)
        said = texts[study.mode].format(value=task.expected, side=(task.expected or "").upper())
        messages = (Message(role="user", content=texts["seeker"]),)
        return messages, tuple(AnswerView(side, "done", said) for side in study.sides)  # type: ignore[arg-type]
    item = db.get(ItemRow, task.item_id) if task.item_id else None
    if item is None:
        return (), ()
    models = [model for model in (task.first, task.second) if model is not None]
    answers = tuple(
        AnswerView(side, "done", item.responses[model])  # type: ignore[arg-type]
        for side, model in zip(study.sides, models, strict=True)
    )
    return tuple(Message(**message) for message in item.messages), answers


def _blocked(study: Study, task: TaskRow, past: list[Whole], given: set[str]) -> Refused | None:
    """Return what stands against submitting a task."""
    if task.kind == "session":
        if (early := _too_early(study, past)) is not None:
            return early
        if past[-1].missing:
            return Refused(past[-1].missing)  # type: ignore[arg-type]
    elif study.mode == "pairwise":
        return None if task.choice else Refused("choose_first")
    if study.mode == "pointwise":
        missing = [name for name in study.dimension_names if name not in given]
        return Refused("unrated", missing=missing) if missing else None
    return None


def _too_early(study: Study, past: list[Whole]) -> Refused | None:
    done = sum(whole.missing is None for whole in past)
    return Refused("too_early", needed=study.minimum_turns, done=done) if done < study.minimum_turns else None
