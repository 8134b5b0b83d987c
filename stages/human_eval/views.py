"""What a page is given: frozen, whole, and blind. No view that a rater's page gets names a model."""

from dataclasses import dataclass
from typing import Literal

from stages.records.schema import Message

Kind = Literal["session", "item", "attention"]
State = Literal["draft", "submitted", "discarded", "ended"]
Side = Literal["a", "b"]
Choice = Literal["a", "b", "tie"]
Status = Literal["waiting", "running", "done", "failed"]


@dataclass(frozen=True, slots=True)
class RaterView:
    """A rater whose link is good. `name` is the pseudonym (r001); `language` is None before consent."""

    id: int
    name: str
    language: str | None
    consented: bool


@dataclass(frozen=True, slots=True)
class AnswerView:
    """One answer as it may be shown; `text` is None until `status` is done. `side`: a in point-wise mode."""

    side: Side
    status: Status
    text: str | None


@dataclass(frozen=True, slots=True)
class TurnView:
    """One turn of a session: what the rater wrote, the answers (a, or a and b), and what was chosen.

    `index` counts from 1. `complete`: the next message may follow. `offer_end`: the rater's words contain
    one of those at which the page offers to end the session.
    """

    id: int
    index: int
    seeker: str
    answers: tuple[AnswerView, ...]
    choice: Choice | None
    continued: Side | None
    complete: bool
    offer_end: bool


@dataclass(frozen=True, slots=True)
class TaskView:
    """A session, an overlap item or an attention check, with everything its page shows.

    `id` (r003-02) goes into addresses. `slot` counts from 1 to `slots`, the rater's own plan. A session has
    `turns`; an item or check has `messages` (the dialogue so far) and `answers` (a, or a and b), and in
    pair-wise mode a `choice`. `ratings` are the values given so far by dimension. `blocked` is the code of
    what still stands against submitting it ("too_early", "unrated", ...), None when nothing does.
    """

    id: str
    kind: Kind
    mode: Literal["pointwise", "pairwise"]
    state: State
    slot: int
    slots: int
    turns: tuple[TurnView, ...]
    messages: tuple[Message, ...]
    answers: tuple[AnswerView, ...]
    choice: Choice | None
    ratings: dict[str, int]
    blocked: str | None


@dataclass(frozen=True, slots=True)
class TaskLine:
    """One line of the rater's own list, to go back to: no texts."""

    id: str
    kind: Kind
    state: State
    slot: int
    submitted_at: float | None


@dataclass(frozen=True, slots=True)
class AnswerJob:
    """An answer to be generated. For the answering part alone: it names the model, so it is never shown.

    `messages` are the dialogue up to the rater's last message, without a system prompt; `seed` is fixed by
    study, session, turn and model, so that a repeated generation gives the same text.
    """

    answer_id: int
    task_id: str
    turn_id: int
    side: Side
    model: str
    seed: int
    status: Status
    messages: tuple[Message, ...]
