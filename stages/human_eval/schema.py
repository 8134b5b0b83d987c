"""The tables. Times are seconds since the epoch (UTC); a task is a session, an overlap item or a check.

What belongs to a rater hangs on `tasks` and `acts`, so that a withdrawal deletes it by cascade. `items` are
the study's own and stay.
"""

from typing import Any

from sqlalchemy import JSON, Boolean, Double, ForeignKey, Index, MetaData, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

_NAMES = {  # so that migrations can name what databases would name in different ways
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Base of all tables."""

    metadata = MetaData(naming_convention=_NAMES)
    type_annotation_map = {float: Double, dict[str, Any]: JSON, list[Any]: JSON, bool: Boolean}  # noqa: RUF012


class StudyRow(Base):
    """The one study of this database, as it was when the database was made."""

    __tablename__ = "study"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    digest: Mapped[str] = mapped_column(String(64))
    content: Mapped[dict[str, Any]]
    model_digests: Mapped[dict[str, Any]]
    paused: Mapped[bool]
    created_at: Mapped[float]


class RaterRow(Base):
    """A rater. After a withdrawal nothing but the pseudonym and that time is left."""

    __tablename__ = "raters"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(16), unique=True)
    token_hash: Mapped[str | None] = mapped_column(String(64), unique=True)
    language: Mapped[str | None] = mapped_column(String(16))
    invited_at: Mapped[float | None]
    consented_at: Mapped[float | None]
    revoked_at: Mapped[float | None]
    withdrawn_at: Mapped[float | None]


class ItemRow(Base):
    """A fixed context with every model's response; `id` is the context's, `place` its seeded order."""

    __tablename__ = "items"
    id: Mapped[str] = mapped_column(String(200), primary_key=True)
    place: Mapped[int]
    messages: Mapped[list[Any]]
    responses: Mapped[dict[str, Any]]


class TaskRow(Base):
    """Something a rater does. `first` is the model on side a, `second` on side b; a session's are its pair.

    `slot` counts from 1 in the rater's plan; a discarded task is given again with `attempt` one higher.
    """

    __tablename__ = "tasks"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    rater_id: Mapped[int] = mapped_column(ForeignKey("raters.id", ondelete="CASCADE"))
    slot: Mapped[int]
    attempt: Mapped[int]
    kind: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16))
    item_id: Mapped[str | None] = mapped_column(ForeignKey("items.id"))
    first: Mapped[str | None] = mapped_column(String(64))
    second: Mapped[str | None] = mapped_column(String(64))
    expected: Mapped[str | None] = mapped_column(String(16))
    choice: Mapped[str | None] = mapped_column(String(8))
    chosen_at: Mapped[float | None]
    language: Mapped[str] = mapped_column(String(16))
    started_at: Mapped[float]
    last_at: Mapped[float]
    active_s: Mapped[float]
    submitted_at: Mapped[float | None]
    __table_args__ = (UniqueConstraint("rater_id", "slot", "attempt"), Index(None, "kind", "state"))


class TurnRow(Base):
    """A message of the rater, and what was chosen among its answers."""

    __tablename__ = "turns"
    id: Mapped[int] = mapped_column(primary_key=True)
    task_id: Mapped[str] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"))
    number: Mapped[int]
    seeker: Mapped[str] = mapped_column(Text)
    posted_at: Mapped[float]
    choice: Mapped[str | None] = mapped_column(String(8))
    continued: Mapped[str | None] = mapped_column(String(8))
    chosen_at: Mapped[float | None]
    __table_args__ = (UniqueConstraint("task_id", "number"),)


class AnswerRow(Base):
    """A model's answer to a turn; `seed` is fixed when the turn is made."""

    __tablename__ = "answers"
    id: Mapped[int] = mapped_column(primary_key=True)
    turn_id: Mapped[int] = mapped_column(ForeignKey("turns.id", ondelete="CASCADE"))
    side: Mapped[str] = mapped_column(String(1))
    model: Mapped[str] = mapped_column(String(64))
    seed: Mapped[int]
    status: Mapped[str] = mapped_column(String(8), index=True)
    text: Mapped[str | None] = mapped_column(Text)
    reason: Mapped[str | None] = mapped_column(String(64))
    started_at: Mapped[float | None]
    finished_at: Mapped[float | None]
    __table_args__ = (UniqueConstraint("turn_id", "side"),)


class RatingRow(Base):
    """The value that stands now; `changes` has those before it."""

    __tablename__ = "ratings"
    id: Mapped[int] = mapped_column(primary_key=True)
    task_id: Mapped[str] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"))
    dimension: Mapped[str] = mapped_column(String(64))
    value: Mapped[int]
    at: Mapped[float]
    revisions: Mapped[int]
    __table_args__ = (UniqueConstraint("task_id", "dimension"),)


class ChangeRow(Base):
    """The audit trail: every value and choice ever set, with the one before it; no texts."""

    __tablename__ = "changes"
    id: Mapped[int] = mapped_column(primary_key=True)
    task_id: Mapped[str] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"), index=True)
    field: Mapped[str] = mapped_column(String(80))
    old: Mapped[str | None] = mapped_column(String(16))
    new: Mapped[str | None] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16))
    at: Mapped[float]


class ActRow(Base):
    """An act that was done, by its nonce, so that it is not done again."""

    __tablename__ = "acts"
    rater_id: Mapped[int] = mapped_column(ForeignKey("raters.id", ondelete="CASCADE"), primary_key=True)
    nonce: Mapped[str] = mapped_column(String(80), primary_key=True)
    act: Mapped[str] = mapped_column(String(96))
    target: Mapped[str | None] = mapped_column(String(32))
    at: Mapped[float]
