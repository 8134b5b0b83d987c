"""Every act of a rater: allowed now, theirs, and done once however often it is sent."""

import re

from sqlalchemy import select
from sqlalchemy.orm import Session

from stages.human_eval.clock import now
from stages.human_eval.errors import NotYours, Refused
from stages.human_eval.schema import ActRow, ChangeRow, RaterRow, StudyRow, TaskRow
from stages.human_eval.study import Study

_NONCE = re.compile(r"[A-Za-z0-9_-]{8,80}")


def enter(
    db: Session, rater_id: int, *, while_paused: bool = False, before_consent: bool = False
) -> RaterRow:
    """Return the rater, locked until the transaction ends: one act of a rater at a time.

    Raises:
        Refused: unknown_token, revoked, withdrawn, no_consent, paused.
    """
    query = select(RaterRow, StudyRow.paused).join(StudyRow, StudyRow.id == 1).where(RaterRow.id == rater_id)
    found = db.execute(query.with_for_update(of=RaterRow)).one_or_none()
    if found is None:
        raise Refused("unknown_token")
    rater, paused = found
    if rater.withdrawn_at is not None:
        raise Refused("withdrawn")
    if rater.revoked_at is not None:
        raise Refused("revoked")
    if rater.consented_at is None and not before_consent:
        raise Refused("no_consent")
    if paused and not while_paused:
        raise Refused("paused")
    return rater


def replayed(db: Session, rater_id: int, nonce: str, act: str) -> ActRow | None:
    """Return the act that this nonce did before, or None when it is new.

    Raises:
        Refused: bad_nonce, it is no nonce or has done something else.
    """
    if not _NONCE.fullmatch(nonce):
        raise Refused("bad_nonce")
    before = db.get(ActRow, (rater_id, nonce))
    if before is not None and before.act != act:
        raise Refused("bad_nonce")
    return before


def note(db: Session, rater_id: int, nonce: str, act: str, target: object = None) -> None:
    """Write down that the act was done, in the transaction that does it."""
    shown = None if target is None else str(target)
    db.add(ActRow(rater_id=rater_id, nonce=nonce, act=act, target=shown, at=now()))


def own_task(db: Session, rater_id: int, task_id: str) -> TaskRow:
    """Return the rater's task. Raises NotYours: there is none of that name, or it is somebody else's."""
    task = db.get(TaskRow, task_id) if len(task_id) <= 32 and "\x00" not in task_id else None
    if task is None or task.rater_id != rater_id:
        raise NotYours()
    return task


def touch(study: Study, task: TaskRow) -> float:
    """Count the time since the last act as active, up to the study's idle seconds; return the time."""
    at = now()
    task.active_s += min(max(at - task.last_at, 0.0), study.idle_seconds)
    task.last_at = at
    return at


def audit(db: Session, task: TaskRow, field: str, old: object, new: object) -> None:
    """Write down that a value or choice was set."""
    before, after = (None if value is None else str(value) for value in (old, new))
    db.add(ChangeRow(task_id=task.id, field=field, old=before, new=after, state=task.state, at=now()))
