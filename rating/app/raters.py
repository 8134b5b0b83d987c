"""Raters: their links, consent and language, what they may do now, and how they leave."""

import hashlib
import re
import secrets
import time
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from rating.app.schema import ActionRow, ChangeRow, RaterRow, StudyRow, TaskRow
from rating.app.study import Study

_NONCE = re.compile(r"[A-Za-z0-9_-]{8,80}")

# translations/en.yaml has the sentence for each.
Code = Literal[
    "unknown_token", "revoked", "withdrawn", "no_consent", "paused", "not_yours", "wrong_state", "empty",
    "too_long", "bad_value", "bad_nonce", "stale", "answer_pending", "choose_first", "continue_first",
    "too_early", "enough_turns", "unrated", "busy",
]  # fmt: skip


class Refused(Exception):  # noqa: N818 - an answer to a rater, not an error of the program
    """Something a rater cannot do now; the transaction is undone. The message holds no text of a rater.

    `code` names the sentence of the page, `facts` fill it in; `back` is the page, if not the task's own.
    """

    def __init__(self, code: Code, **facts: Any):
        self.code = code
        self.facts = facts
        self.back: str | None = None
        super().__init__(code + "".join(f" {name}={value}" for name, value in facts.items()))


@dataclass(frozen=True, slots=True)
class Rater:
    """A rater in one transaction of `Store.writing` or `Store.reading`."""

    db: Session
    study: Study
    row: RaterRow

    @classmethod
    def of(cls, db: Session, study: Study, token: str) -> "Rater":
        """Return the rater of a link. Raises Refused: unknown_token, revoked, withdrawn."""
        row = db.scalar(select(RaterRow).where(RaterRow.token_hash == _hash(token)))
        if row is None:
            raise Refused("unknown_token")
        return cls(db, study, row).admitted()

    def admitted(self) -> "Rater":
        """Return this rater. Raises Refused: revoked, withdrawn."""
        if self.row.state in ("withdrawn", "revoked"):
            raise Refused(self.row.state)
        return self

    def lock(self, *, while_paused: bool = False, before_consent: bool = False) -> None:
        """Lock the rater until the transaction ends, so that one action of a rater is done at a time.

        Raises Refused: revoked, withdrawn, and unless the action allows it no_consent, paused.
        """
        self.db.refresh(self.row, with_for_update=True)
        self.admitted()
        if self.row.consented_at is None and not before_consent:
            raise Refused("no_consent")
        if not while_paused and self.db.scalar(select(StudyRow.paused)):
            raise Refused("paused")

    def task(self, task_id: str) -> TaskRow:
        """Return a task of this rater. Raises Refused: not_yours, also where there is no such task."""
        task = self.db.get(TaskRow, task_id) if len(task_id) <= 32 and "\x00" not in task_id else None
        if task is None or task.rater_id != self.row.id:
            raise Refused("not_yours")
        return task

    def note_action(self, nonce: str, name: str) -> ActionRow | None:
        """Note that this transaction does an action; return None if one with this nonce has been done."""
        if not _NONCE.fullmatch(nonce):
            raise Refused("bad_nonce")
        before = self.db.get(ActionRow, (self.row.id, nonce))
        if before is not None:
            if before.act != name:
                raise Refused("bad_nonce")
            return None
        action = ActionRow(rater_id=self.row.id, nonce=nonce, act=name, at=time.time())
        self.db.add(action)
        return action

    def begin(
        self, task_id: str, nonce: str, name: str, of: object = "", *, while_paused: bool = False
    ) -> tuple[TaskRow, ActionRow | None]:
        """Begin an action on a task (on the part `of` it): lock the rater, find the task, note the action.

        Returns the task, and None in place of the note if the nonce says that the action was done before.
        """
        self.lock(while_paused=while_paused)
        task = self.task(task_id)
        return task, self.note_action(nonce, f"{name} {task_id} {of}".rstrip()[:96])

    def touch(self, task: TaskRow) -> float:
        """Count the time since the last action as active, up to `idle_seconds`; return the time now."""
        now = time.time()
        task.active_s += min(max(now - task.last_at, 0.0), self.study.idle_seconds)
        task.last_at = now
        return now

    def record_change(self, task: TaskRow, field: str, old: object, new: object) -> None:
        """Add to the audit trail that a rating or choice was set."""
        before, after = (None if value is None else str(value) for value in (old, new))
        values = {"field": field, "old": before, "new": after, "state": task.state, "at": time.time()}
        self.db.add(ChangeRow(task_id=task.id, **values))

    def set_language(self, language: str, nonce: str, consent: bool = False) -> None:
        """Change the language of the rater's pages; with `consent` note the consent, too."""
        if language not in self.study.languages:
            raise Refused("bad_value")
        self.lock(while_paused=True, before_consent=True)
        if self.note_action(nonce, "consent" if consent else "language"):
            self.row.language = language
            if consent and self.row.consented_at is None:
                self.row.consented_at = time.time()


def invite(db: Session, count: int) -> dict[str, str]:
    """Make raters r001, r002 ...; return their tokens by name. The database keeps only their SHA-256."""
    db.execute(select(StudyRow.id).with_for_update())  # one numbering at a time
    last = db.scalar(select(func.count()).select_from(RaterRow)) or 0
    made = {f"r{last + number:03d}": secrets.token_urlsafe(32) for number in range(1, count + 1)}
    for name, token in made.items():
        db.add(RaterRow(name=name, token_hash=_hash(token), invited_at=time.time()))
        db.flush()
    return made


def all_raters(db: Session) -> list[RaterRow]:
    """Return all raters in the order of their invitation."""
    return list(db.scalars(select(RaterRow).order_by(RaterRow.id)))


def revoke(db: Session, rater_id: int) -> None:
    """Revoke a link; the data stay. After a withdrawal there is nothing to revoke."""
    rater = db.get_one(RaterRow, rater_id, with_for_update=True)
    if rater.withdrawn_at is None:
        rater.revoked_at = rater.revoked_at or time.time()


def renew(db: Session, rater_id: int) -> str:
    """Return the token of a rater's new link; the old link is void. Raises Refused: withdrawn."""
    rater = db.get_one(RaterRow, rater_id, with_for_update=True)
    if rater.withdrawn_at is not None:
        raise Refused("withdrawn")
    token = secrets.token_urlsafe(32)
    rater.token_hash, rater.revoked_at = _hash(token), None
    return token


def withdraw(db: Session, rater_id: int) -> None:
    """Delete all that a rater wrote, chose and rated, and all times.

    The pseudonym stays, to be counted, and the link's hash, so that the link says what happened.
    """
    rater = db.get_one(RaterRow, rater_id, with_for_update=True)
    if rater.withdrawn_at is not None:
        return
    db.execute(delete(TaskRow).where(TaskRow.rater_id == rater_id))  # and by cascade all that hangs on them
    db.execute(delete(ActionRow).where(ActionRow.rater_id == rater_id))
    rater.language = rater.invited_at = rater.consented_at = rater.revoked_at = None
    rater.withdrawn_at = time.time()


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
