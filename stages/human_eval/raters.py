"""Raters: their links, consent and language, and how they leave."""

import hashlib
import secrets
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from stages.human_eval import acts
from stages.human_eval.clock import now
from stages.human_eval.errors import Refused
from stages.human_eval.schema import ActRow, RaterRow, StudyRow, TaskRow
from stages.human_eval.study import Study
from stages.human_eval.views import RaterView
from stages.records.errors import InputError

TOKEN_BYTES = 32
MOST_RATERS = 99_999
RaterState = Literal["invited", "consented", "revoked", "withdrawn"]


@dataclass(frozen=True, slots=True)
class Invitation:
    """A new rater. The token is nowhere else: of it only the SHA-256 is kept."""

    id: int
    name: str
    token: str


@dataclass(frozen=True, slots=True)
class RaterLine:
    """A rater as the operator sees them. Times are seconds since the epoch."""

    id: int
    name: str
    state: RaterState
    language: str | None
    invited_at: float | None
    consented_at: float | None


def invite(db: Session, study: Study, count: int) -> list[Invitation]:
    """Make raters, named r001, r002 ... in the order of their invitation."""
    db.execute(select(StudyRow.id).with_for_update())  # one numbering at a time
    last = db.scalar(select(func.count()).select_from(RaterRow)) or 0
    if last + count > MOST_RATERS:
        raise InputError(f"more than {MOST_RATERS} raters")
    tokens = [secrets.token_urlsafe(TOKEN_BYTES) for _ in range(count)]
    rows = [
        RaterRow(name=f"r{last + number:03d}", token_hash=_hash(token), invited_at=now())
        for number, token in enumerate(tokens, start=1)
    ]
    db.add_all(rows)
    db.flush()
    return [Invitation(row.id, row.name, token) for row, token in zip(rows, tokens, strict=True)]


def rater_by_token(db: Session, token: str) -> RaterView:
    """Return the rater of a link. Raises Refused: unknown_token, revoked, withdrawn."""
    row = db.scalar(select(RaterRow).where(RaterRow.token_hash == _hash(token)))
    if row is None:
        raise Refused("unknown_token")
    if row.withdrawn_at is not None:
        raise Refused("withdrawn")
    if row.revoked_at is not None:
        raise Refused("revoked")
    return _view(row)


def consent(db: Session, study: Study, rater_id: int, language: str, nonce: str) -> RaterView:
    """Note that a rater has agreed, and in which language; agreeing again changes the language alone.

    Raises:
        Refused: bad_value (a language the study does not have), bad_nonce, and what `acts.enter` refuses.
    """
    return _speak(db, study, rater_id, language, nonce, "consent")


def set_language(db: Session, study: Study, rater_id: int, language: str, nonce: str) -> RaterView:
    """Change the language of a rater's pages, before or after consent. Raises as `consent`."""
    return _speak(db, study, rater_id, language, nonce, "language")


def _speak(db: Session, study: Study, rater_id: int, language: str, nonce: str, act: str) -> RaterView:
    if language not in study.languages:
        raise Refused("bad_value")
    rater = acts.enter(db, rater_id, while_paused=True, before_consent=True)
    if not acts.replayed(db, rater_id, nonce, act):
        rater.language = language
        if act == "consent" and rater.consented_at is None:
            rater.consented_at = now()
        acts.note(db, rater_id, nonce, act)
    return _view(rater)


def revoke(db: Session, rater_id: int) -> None:
    """Take a link back; the data stay. Of a rater who has withdrawn nothing is left to take back."""
    rater = _row(db, rater_id)
    if rater.withdrawn_at is None:
        rater.revoked_at = rater.revoked_at or now()


def renew(db: Session, rater_id: int) -> str:
    """Return a new token for a rater; the old link is void. Raises Refused: withdrawn."""
    rater = _row(db, rater_id)
    if rater.withdrawn_at is not None:
        raise Refused("withdrawn")
    token = secrets.token_urlsafe(TOKEN_BYTES)
    rater.token_hash, rater.revoked_at = _hash(token), None
    return token


def withdraw(db: Session, rater_id: int) -> None:
    """Delete all that a rater wrote, chose and rated, and all times; the pseudonym stays, to be counted.

    The link is kept as a hash, so that it says what happened. `Store.scrub` makes the texts unreadable in
    the database's files.
    """
    rater = _row(db, rater_id)
    if rater.withdrawn_at is not None:
        return
    db.execute(delete(TaskRow).where(TaskRow.rater_id == rater_id))  # and by cascade all that hangs on them
    db.execute(delete(ActRow).where(ActRow.rater_id == rater_id))
    rater.language = rater.invited_at = rater.consented_at = rater.revoked_at = None
    rater.withdrawn_at = now()


def raters(db: Session) -> list[RaterLine]:
    """Return all raters in the order of their names."""
    rows = db.scalars(select(RaterRow).order_by(RaterRow.id))
    return [
        RaterLine(row.id, row.name, state_of(row), row.language, row.invited_at, row.consented_at)
        for row in rows
    ]


def state_of(row: RaterRow) -> RaterState:
    """Return where a rater stands."""
    if row.withdrawn_at is not None:
        return "withdrawn"
    if row.revoked_at is not None:
        return "revoked"
    return "invited" if row.consented_at is None else "consented"


def _row(db: Session, rater_id: int) -> RaterRow:
    row = db.scalar(select(RaterRow).where(RaterRow.id == rater_id).with_for_update())
    if row is None:
        raise Refused("unknown_token")
    return row


def _view(row: RaterRow) -> RaterView:
    return RaterView(row.id, row.name, row.language, row.consented_at is not None)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
