"""The turns of sessions as they stand in the database: read with their answers in one query."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from stages.human_eval.schema import AnswerRow, TurnRow
from stages.human_eval.study import Study
from stages.human_eval.views import AnswerView, TurnView
from stages.records.schema import Message


@dataclass(frozen=True, slots=True)
class Whole:
    """A turn with its answers, a before b."""

    turn: TurnRow
    answers: tuple[AnswerRow, ...]

    @property
    def winner(self) -> AnswerRow | None:
        """The answer that goes into the history; None as long as there is none."""
        if len(self.answers) == 1:
            return self.answers[0] if self.answers[0].status == "done" else None
        side = self.turn.continued if self.turn.choice == "tie" else self.turn.choice
        return next((answer for answer in self.answers if answer.side == side), None)

    @property
    def missing(self) -> str | None:
        """What this turn lacks before the next one: a code of Refused, or None."""
        if any(answer.status != "done" for answer in self.answers):
            return "answer_pending"
        if self.winner is not None:
            return None
        return "continue_first" if self.turn.choice == "tie" else "choose_first"


def turns_of(db: Session, task_ids: Iterable[str]) -> dict[str, list[Whole]]:
    """Return the turns of sessions in order, by session."""
    wanted = list(task_ids)
    rows = db.execute(
        select(TurnRow, AnswerRow)
        .join(AnswerRow, AnswerRow.turn_id == TurnRow.id)
        .where(TurnRow.task_id.in_(wanted))
        .order_by(TurnRow.task_id, TurnRow.number, AnswerRow.side)
    )
    found: dict[str, dict[int, tuple[TurnRow, list[AnswerRow]]]] = {task_id: {} for task_id in wanted}
    for turn, answer in rows:
        found[turn.task_id].setdefault(turn.number, (turn, []))[1].append(answer)
    return {
        task_id: [Whole(turn, tuple(answers)) for turn, answers in of_one.values()]
        for task_id, of_one in found.items()
    }


def history(turns: Sequence[Whole]) -> tuple[Message, ...]:
    """Return the dialogue: what the rater wrote and the answers that count, up to where it is now."""
    messages = []
    for whole in turns:
        messages.append(Message(role="user", content=whole.turn.seeker))
        if whole.winner is not None:
            messages.append(Message(role="assistant", content=whole.winner.text or ""))
    return tuple(messages)


def view(study: Study, whole: Whole) -> TurnView:
    """Return a turn as a page may show it: without models, and without text that is not whole."""
    turn = whole.turn
    return TurnView(
        id=turn.id,
        index=turn.number,
        seeker=turn.seeker,
        answers=tuple(answer_view(answer) for answer in whole.answers),
        choice=turn.choice,  # type: ignore[arg-type]
        continued=turn.continued,  # type: ignore[arg-type]
        complete=whole.missing is None,
        offer_end=study.offers_to_end(turn.seeker),
    )


def answer_view(answer: AnswerRow) -> AnswerView:
    """Return an answer as a page may show it."""
    text = answer.text if answer.status == "done" else None
    return AnswerView(answer.side, answer.status, text)  # type: ignore[arg-type]
