"""The database's tables. Times are seconds since the epoch (UTC).

A task is a session, an overlap item or an attention check. Whatever a rater did hangs on `tasks` and `acts`,
so that a withdrawal deletes it by cascade.
"""

from typing import Any, Literal

from sqlalchemy import JSON, Double, ForeignKey, Index, MetaData, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

_NAMES = {  # of constraints, which databases would name in different ways
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Base of all tables."""

    metadata = MetaData(naming_convention=_NAMES)
    type_annotation_map = {float: Double, dict[str, Any]: JSON, list[Any]: JSON}  # noqa: RUF012


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
    """A rater. After a withdrawal only the pseudonym, the link's hash and that time are left."""

    __tablename__ = "raters"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(16), unique=True)
    token_hash: Mapped[str | None] = mapped_column(String(64), unique=True)
    language: Mapped[str | None] = mapped_column(String(16))
    invited_at: Mapped[float | None]
    consented_at: Mapped[float | None]
    revoked_at: Mapped[float | None]
    withdrawn_at: Mapped[float | None]

    @property
    def state(self) -> Literal["invited", "consented", "revoked", "withdrawn"]:
        """How far the rater has come."""
        if self.withdrawn_at is not None:
            return "withdrawn"
        if self.revoked_at is not None:
            return "revoked"
        return "invited" if self.consented_at is None else "consented"


class ItemRow(Base):
    """A fixed context with every model's response; `id` is the context's, `place` its seeded order."""

    __tablename__ = "items"
    id: Mapped[str] = mapped_column(String(200), primary_key=True)
    place: Mapped[int]
    messages: Mapped[list[Any]]
    responses: Mapped[dict[str, Any]]


class TaskRow(Base):
    """One task of a rater.

    `slot` counts from 1 in the rater's plan; the task that replaces a discarded one has the next `attempt`.
    `first` and `second` are an item's models on side a and side b, of a session its models in any order.
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
    rater: Mapped[RaterRow] = relationship()
    item: Mapped[ItemRow | None] = relationship()
    turns: Mapped[list["TurnRow"]] = relationship(order_by="TurnRow.number")
    ratings: Mapped[list["RatingRow"]] = relationship(order_by="RatingRow.id")
    __table_args__ = (UniqueConstraint("rater_id", "slot", "attempt"), Index(None, "kind", "state"))

    @property
    def models(self) -> tuple[str, ...]:
        """The models of a session or item: one, two, or none of an attention check."""
        return tuple(model for model in (self.first, self.second) if model is not None)


class TurnRow(Base):
    """A message of the rater with its answers, and which of them the rater chose."""

    __tablename__ = "turns"
    id: Mapped[int] = mapped_column(primary_key=True)
    task_id: Mapped[str] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"))
    number: Mapped[int]
    seeker: Mapped[str] = mapped_column(Text)
    posted_at: Mapped[float]
    choice: Mapped[str | None] = mapped_column(String(8))
    continued: Mapped[str | None] = mapped_column(String(8))
    chosen_at: Mapped[float | None]
    answers: Mapped[list["AnswerRow"]] = relationship(order_by="AnswerRow.side", lazy="selectin")
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
    """A rating as it stands now; `changes` has the values before it."""

    __tablename__ = "ratings"
    id: Mapped[int] = mapped_column(primary_key=True)
    task_id: Mapped[str] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"))
    dimension: Mapped[str] = mapped_column(String(64))
    value: Mapped[int]
    at: Mapped[float]
    revisions: Mapped[int]
    __table_args__ = (UniqueConstraint("task_id", "dimension"),)


class ChangeRow(Base):
    """The audit trail: every rating and choice ever set, with the value before it; no texts."""

    __tablename__ = "changes"
    id: Mapped[int] = mapped_column(primary_key=True)
    task_id: Mapped[str] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"), index=True)
    field: Mapped[str] = mapped_column(String(80))
    old: Mapped[str | None] = mapped_column(String(16))
    new: Mapped[str | None] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16))
    at: Mapped[float]


class ActionRow(Base):
    """An action that was done, by its nonce, so that it is not done again."""

    __tablename__ = "acts"
    rater_id: Mapped[int] = mapped_column(ForeignKey("raters.id", ondelete="CASCADE"), primary_key=True)
    nonce: Mapped[str] = mapped_column(String(80), primary_key=True)
    act: Mapped[str] = mapped_column(String(96))
    target: Mapped[str | None] = mapped_column(String(32))
    at: Mapped[float]
