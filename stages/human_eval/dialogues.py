"""The state machine of a session: message, answers, choice, and the next message."""

from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from stages.human_eval import acts, assignment, turns
from stages.human_eval.clock import now
from stages.human_eval.errors import Refused
from stages.human_eval.messages import clean, storable
from stages.human_eval.schema import AnswerRow, TaskRow, TurnRow
from stages.human_eval.study import Study
from stages.human_eval.turns import Whole
from stages.human_eval.views import AnswerJob, AnswerView, TurnView

_VALUES = {"choice": ("a", "b", "tie"), "continued": ("a", "b")}


def post_message(
    db: Session, study: Study, rater_id: int, task_id: str, text: str, nonce: str, seen: int | None = None
) -> TurnView:
    """Add a message to a session, with the answers that are to be generated; return the turn.

    Args:
        db: of `Store.writing`.
        study: the study.
        rater_id: who writes.
        task_id: the session.
        text: what was written; see `messages.clean`.
        nonce: of this act; sent again, it returns the turn that it made.
        seen: how many turns the page showed, so that nobody answers to what they have not read.

    Raises:
        Refused: wrong_state, stale, answer_pending, choose_first, continue_first, enough_turns, empty,
            too_long, bad_nonce, not_yours, and what `acts.enter` refuses.
    """
    acts.enter(db, rater_id)
    task = acts.own_task(db, rater_id, task_id)
    act = f"message {task_id}"
    before = acts.replayed(db, rater_id, nonce, act)
    past = turns.turns_of(db, [task_id])[task_id]
    if before is not None:
        return turns.view(study, next(whole for whole in past if str(whole.turn.id) == before.target))
    _must_be_open(task)
    if seen is not None and seen != len(past):
        raise Refused("stale")
    if past and (missing := past[-1].missing):
        raise Refused(missing)  # type: ignore[arg-type]
    if study.maximum_turns is not None and len(past) >= study.maximum_turns:
        raise Refused("enough_turns", limit=study.maximum_turns)
    whole = _add_turn(db, study, task, len(past) + 1, clean(text, study.message_limit))
    acts.note(db, rater_id, nonce, act, whole.turn.id)
    return turns.view(study, whole)


def choose(
    db: Session, study: Study, rater_id: int, task_id: str, turn_index: int, choice: str, nonce: str
) -> TurnView:
    """Take which answer of the last turn is better: a, b or tie; another choice replaces it (audited).

    Raises:
        Refused: bad_value, wrong_state, stale (the dialogue has gone on), answer_pending, bad_nonce,
            not_yours, and what `acts.enter` refuses.
    """
    return _decide(db, study, rater_id, task_id, turn_index, choice, nonce, "choice")


def continue_with(
    db: Session, study: Study, rater_id: int, task_id: str, turn_index: int, side: str, nonce: str
) -> TurnView:
    """Take with which answer to go on after a tie. Raises as `choose`; choose_first where there is no tie."""
    return _decide(db, study, rater_id, task_id, turn_index, side, nonce, "continued")


def answer_jobs(db: Session, study: Study, task_id: str) -> list[AnswerJob]:
    """Return the answers that the last turn of an open session lacks. They name models: no page gets them."""
    task = db.get(TaskRow, task_id)
    if task is None or task.state != "draft" or task.kind != "session":
        return []
    return _jobs(study, task_id, turns.turns_of(db, [task_id])[task_id], ("waiting", "running", "failed"))


def unfinished(db: Session, study: Study) -> list[AnswerJob]:
    """Return the answers that were asked for and are neither there nor failed, oldest first."""
    waiting = db.scalars(
        select(TurnRow.task_id)
        .join(AnswerRow, AnswerRow.turn_id == TurnRow.id)
        .join(TaskRow, TaskRow.id == TurnRow.task_id)
        .where(AnswerRow.status.in_(("waiting", "running")), TaskRow.state == "draft")
        .order_by(TurnRow.posted_at)
    )
    ids = list(dict.fromkeys(waiting))
    found = turns.turns_of(db, ids)
    return [job for task_id in ids for job in _jobs(study, task_id, found[task_id], ("waiting", "running"))]


def begin_answer(db: Session, answer_id: int) -> bool:
    """Note that an answer is being generated. False: it is there already, or its rater withdrew."""
    values = {"status": "running", "started_at": now(), "reason": None}
    return _change(db, answer_id, ("waiting", "running", "failed"), values)


def finish_answer(db: Session, answer_id: int, text: str) -> bool:
    """Keep a generated answer. False: another writer was first, or its rater withdrew."""
    values = {"status": "done", "text": storable(text), "finished_at": now(), "reason": None}
    return _change(db, answer_id, ("waiting", "running", "failed"), values)


def fail_answer(db: Session, answer_id: int, reason: str) -> bool:
    """Note that an answer failed, in a word; it may be begun again. False: it is there, or failed already."""
    values = {"status": "failed", "finished_at": now(), "reason": reason[:64]}
    return _change(db, answer_id, ("waiting", "running"), values)


def answer_text(db: Session, answer_id: int) -> AnswerView | None:
    """Return an answer as a page may show it; None where it is gone."""
    answer = db.get(AnswerRow, answer_id)
    return turns.answer_view(answer) if answer else None


def _add_turn(db: Session, study: Study, task: TaskRow, number: int, text: str) -> Whole:
    turn = TurnRow(task_id=task.id, number=number, seeker=text, posted_at=acts.touch(study, task))
    db.add(turn)
    db.flush()
    models = [model for model in (task.first, task.second) if model is not None]
    if len(models) == 2 and assignment.swapped(study, task.id, number):
        models.reverse()
    answers = tuple(
        AnswerRow(
            turn_id=turn.id,
            side=side,
            model=model,
            seed=assignment.answer_seed(study, task.id, number, model),
            status="waiting",
        )
        for side, model in zip(study.sides, models, strict=True)
    )
    db.add_all(answers)
    db.flush()
    return Whole(turn, answers)


def _decide(
    db: Session, study: Study, rater_id: int, task_id: str, index: int, value: str, nonce: str, field: str
) -> TurnView:
    acts.enter(db, rater_id)
    task = acts.own_task(db, rater_id, task_id)
    if value not in _VALUES[field]:
        raise Refused("bad_value")
    act = f"{field} {task_id} {index}"
    before = acts.replayed(db, rater_id, nonce, act)
    past = turns.turns_of(db, [task_id])[task_id]
    if before is not None:
        return turns.view(study, past[index - 1])
    _must_be_open(task)
    if study.mode != "pairwise":
        raise Refused("wrong_state")
    if not past or index != len(past):
        raise Refused("stale")
    whole = past[-1]
    if any(answer.status != "done" for answer in whole.answers):
        raise Refused("answer_pending")
    turn = whole.turn
    if field == "continued" and turn.choice != "tie":
        raise Refused("choose_first")
    if (old := getattr(turn, field)) != value:
        acts.audit(db, task, f"{field}#{index}", old, value)
        setattr(turn, field, value)
        if field == "choice":
            turn.chosen_at = now()
            of_seed = "ab"[assignment.seeded(study.seed, "tie", task_id, index) % 2]
            goes_on = of_seed if value == "tie" and study.after_tie == "seed" else None
            if turn.continued != goes_on:
                acts.audit(db, task, f"continued#{index}", turn.continued, goes_on)
            turn.continued = goes_on
    acts.touch(study, task)
    acts.note(db, rater_id, nonce, act)
    return turns.view(study, whole)


def _jobs(study: Study, task_id: str, past: list[Whole], statuses: tuple[str, ...]) -> list[AnswerJob]:
    if not past:
        return []
    turn = past[-1].turn
    messages = (*turns.history(past[:-1]), *turns.history(past[-1:])[:1])
    return [
        AnswerJob(
            answer.id,
            task_id,
            turn.id,
            answer.side,
            answer.model,
            answer.seed,
            answer.status,
            messages,  # type: ignore[arg-type]
        )
        for answer in past[-1].answers
        if answer.status in statuses
    ]


def _change(db: Session, answer_id: int, statuses: tuple[str, ...], values: dict[str, Any]) -> bool:
    change = update(AnswerRow).where(AnswerRow.id == answer_id, AnswerRow.status.in_(statuses))
    return db.execute(change.values(values)).rowcount == 1  # type: ignore[attr-defined,no-any-return]


def _must_be_open(task: TaskRow) -> None:
    if task.kind != "session" or task.state != "draft":
        raise Refused("wrong_state")
