"""The state machine of a conversation: a message, its answers, the choice among them, the next message."""

import time
import unicodedata
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from rating.app import assignment
from rating.app.raters import Code, Rater, Refused
from rating.app.schema import ActionRow, AnswerRow, TaskRow, TurnRow
from selfevolve.records.schema import Message

# These reverse what follows them, beyond the message; marks (LRM, RLM, ALM) and joiners of emoji stay.
_REVERSING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True, slots=True)
class AnswerView:
    """One answer as a page may show it; `text` is None until `status` is done."""

    side: str
    status: str
    text: str | None


@dataclass(frozen=True, slots=True)
class TurnView:
    """One turn (`index` counts from 1) as a page may show it: no model is named, no unfinished answer shown.

    `complete`: the next message may follow.
    """

    id: int
    index: int
    seeker: str
    answers: tuple[AnswerView, ...]
    choice: str | None
    continued: str | None
    complete: bool


@dataclass(frozen=True, slots=True)
class AnswerJob:
    """An answer to be generated to these `messages`. It names the model, so no page gets it."""

    answer_id: int
    task_id: str
    turn_id: int
    side: str
    model: str
    seed: int
    status: str
    messages: tuple[Message, ...]


def post_message(rater: Rater, task_id: str, text: str, nonce: str, seen: int | None = None) -> TurnView:
    """Add a message to a session, with the answers that are to be generated; return the turn.

    A nonce that was sent before returns the turn that it made. `seen` is how many turns the page showed, so
    that nobody replies to what they have not read.
    """
    db, study = rater.db, rater.study
    task, action = rater.begin(task_id, nonce, "message")
    if action is None:
        made = db.get_one(ActionRow, (rater.row.id, nonce)).target
        return turn_view(db.get_one(TurnRow, int(made or 0)))
    if task.kind != "session" or task.state != "draft":
        raise Refused("wrong_state")
    if seen is not None and seen != len(task.turns):
        raise Refused("stale")
    if task.turns and (missing := missing_of(task.turns[-1])):
        raise Refused(missing)
    if study.maximum_turns is not None and len(task.turns) >= study.maximum_turns:
        raise Refused("enough_turns", limit=study.maximum_turns)
    number, text = len(task.turns) + 1, clean(text, study.message_limit)
    models = task.models
    if len(models) == 2 and assignment.swapped(study, task.id, number):
        models = models[::-1]
    turn = TurnRow(number=number, seeker=text, posted_at=rater.touch(task))
    for side, model in zip(study.sides, models, strict=True):
        seed = assignment.answer_seed(study, task.id, number, model)
        turn.answers.append(AnswerRow(side=side, model=model, seed=seed, status="waiting"))
    task.turns.append(turn)
    db.flush()
    action.target = str(turn.id)
    return turn_view(turn)


def choose(
    rater: Rater, task_id: str, turn_index: int, choice: str, nonce: str, after_tie: bool = False
) -> None:
    """Keep which answer of the last turn is better: a, b or tie; another choice replaces it (audited).

    With `after_tie` it is the answer, a or b, with which the conversation goes on after a tie.
    """
    field, study = "continued" if after_tie else "choice", rater.study
    task, action = rater.begin(task_id, nonce, field, turn_index)
    if choice not in ("a", "b") and (after_tie or choice != "tie"):
        raise Refused("bad_value")
    if action is None:
        return
    if task.kind != "session" or task.state != "draft" or study.mode != "pairwise":
        raise Refused("wrong_state")
    if not task.turns or turn_index != len(task.turns):
        raise Refused("stale")
    turn = task.turns[-1]
    if any(answer.status != "done" for answer in turn.answers):
        raise Refused("answer_pending")
    if after_tie and turn.choice != "tie":
        raise Refused("choose_first")
    if after_tie or turn.choice != choice:
        continued = choice if after_tie else None
        if not after_tie:
            rater.record_change(task, f"choice#{turn_index}", turn.choice, choice)
            turn.choice, turn.chosen_at = choice, time.time()
            if choice == "tie" and study.after_tie == "seed":
                continued = "ab"[assignment.seeded(study.seed, "tie", task_id, turn_index) % 2]
        if turn.continued != continued:
            rater.record_change(task, f"continued#{turn_index}", turn.continued, continued)
            turn.continued = continued
    rater.touch(task)


def answer_jobs(db: Session, task_id: str) -> list[AnswerJob]:
    """Return the answers that the last turn of an open session lacks, also those that failed."""
    task = db.get(TaskRow, task_id)
    if task is None or task.state != "draft" or not task.turns:
        return []
    messages: list[Message] = []
    for turn in task.turns:
        messages.append(Message(role="user", content=turn.seeker))
        if turn is not task.turns[-1] and (winner := winner_of(turn)) is not None:
            messages.append(Message(role="assistant", content=winner.text or ""))
    return [
        AnswerJob(x.id, task_id, x.turn_id, x.side, x.model, x.seed, x.status, tuple(messages))
        for x in task.turns[-1].answers
        if x.status != "done"
    ]


def unfinished(db: Session) -> list[AnswerJob]:
    """Return the answers that were asked for and are neither there nor failed, oldest first."""
    query = select(TurnRow.task_id).join(AnswerRow).where(AnswerRow.status.in_(("waiting", "running")))
    task_ids = dict.fromkeys(db.scalars(query.order_by(TurnRow.posted_at)))
    jobs = [job for task_id in task_ids for job in answer_jobs(db, task_id)]
    return [job for job in jobs if job.status != "failed"]


def set_answer(
    db: Session, answer_id: int, status: Literal["running", "done", "failed"], text: str = ""
) -> bool:
    """Note that an answer is being generated, is done with this text, or failed for this reason, in a word.

    NUL and halves of characters, which no database can hold, are left out. Returns False where nothing was
    changed: the answer is there already, or its rater withdrew.
    """
    kept = "".join(c for c in text if c != "\x00" and not "\ud800" <= c <= "\udfff")
    values: dict[str, Any] = {"status": status, "reason": kept[:64] if status == "failed" else None}
    values["started_at" if status == "running" else "finished_at"] = time.time()
    if status == "done":
        values["text"] = kept
    before = ("waiting", "running") if status == "failed" else ("waiting", "running", "failed")
    change = update(AnswerRow).where(AnswerRow.id == answer_id, AnswerRow.status.in_(before))
    return db.execute(change.values(values)).rowcount == 1  # type: ignore[attr-defined,no-any-return]


def winner_of(turn: TurnRow) -> AnswerRow | None:
    """Return the answer with which the conversation goes on; None as long as there is none."""
    if len(turn.answers) == 1:
        return turn.answers[0] if turn.answers[0].status == "done" else None
    side = turn.continued if turn.choice == "tie" else turn.choice
    return next((answer for answer in turn.answers if answer.side == side), None)


def missing_of(turn: TurnRow) -> Code | None:
    """Return what a turn lacks before the next one may follow, or None."""
    if any(answer.status != "done" for answer in turn.answers):
        return "answer_pending"
    if winner_of(turn) is not None:
        return None
    return "continue_first" if turn.choice == "tie" else "choose_first"


def turn_view(turn: TurnRow) -> TurnView:
    """Return a turn as a page may show it."""
    return TurnView(
        id=turn.id,
        index=turn.number,
        seeker=turn.seeker,
        answers=tuple(
            AnswerView(x.side, x.status, x.text if x.status == "done" else None) for x in turn.answers
        ),
        choice=turn.choice,
        continued=turn.continued,
        complete=missing_of(turn) is None,
    )


def clean(text: str, limit: int) -> str:
    """Return a message that is safe for every database and screen and says the same.

    It is in NFC, has line ends of one kind, no control characters, no space around it, and at most `limit`
    code points.
    """
    if len(text) > 4 * limit + 1000:  # before any work is done on it
        raise Refused("too_long", limit=limit)
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\u2028", "\n").replace("\u2029", "\n")
    kept = "".join(
        c for c in text if c in "\n\t" or not (c in _REVERSING or unicodedata.category(c) in ("Cc", "Cs"))
    )
    kept = unicodedata.normalize("NFC", kept).strip()
    if all(unicodedata.category(c)[0] in "ZCM" for c in kept):
        raise Refused("empty")
    if len(kept) > limit:
        raise Refused("too_long", limit=limit)
    return kept
