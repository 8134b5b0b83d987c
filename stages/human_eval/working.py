"""The work itself: talking with the hidden models, choosing, rating, handing in."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from sqlalchemy.orm import Session
from starlette.responses import Response

from stages.human_eval import dialogues, tasks
from stages.human_eval.errors import Refused
from stages.human_eval.site import Visit, noted, posted, see, visit
from stages.human_eval.streaming import is_pending
from stages.human_eval.views import RaterView, TaskView

router = APIRouter(prefix="/t/{task_id}")
Visiting = Annotated[Visit, Depends(visit)]
Posted = Annotated[Visit, Depends(posted)]


@router.get("")
def show(visitor: Visiting, task_id: str) -> Response:
    """Show a conversation, or an answer to rate."""
    rater, task = _look(visitor, task_id)
    return _page(visitor, rater, task)


@router.get("/rate")
def show_rating(visitor: Visiting, task_id: str) -> Response:
    """Show the questions about a conversation."""
    rater, task = _look(visitor, task_id)
    if task.kind != "session" or task.mode != "pointwise" or task.blocked == "too_early":
        return see(f"/t/{task.id}")
    return visitor.page("rate", rater, task=task)


@router.get("/discard")
def ask_to_discard(visitor: Visiting, task_id: str) -> Response:
    """Ask whether a conversation shall really be thrown away."""
    rater, task = _look(visitor, task_id)
    return visitor.page("discard", rater, task=task)


@router.post("/message")
def send(visitor: Posted, task_id: str) -> Response:
    """Take a message and let the models answer. What is refused stands in the page, to be mended."""
    study, form = visitor.site.study, visitor.form
    text, seen = form.get("text", ""), _number(form.get("seen"))
    try:
        visitor.act(
            lambda db, rater: dialogues.post_message(
                db, study, rater.id, task_id, text, visitor.nonce, seen=seen
            )
        )
    except Refused as refused:
        if refused.code not in (
            "empty",
            "too_long",
            "stale",
            "answer_pending",
            "choose_first",
            "continue_first",
        ):
            return noted(f"/t/{task_id}", refused)
        rater, task = _look(visitor, task_id)
        more = {"note": refused.code, "facts": refused.facts, "text": text}
        return _page(visitor, rater, task, 422, **more)
    visitor.site.answers.ask(task_id)
    return see(f"/t/{task_id}#latest")


@router.post("/retry")
def retry(visitor: Posted, task_id: str) -> Response:
    """Ask the models again for the answers that failed."""
    _look(visitor, task_id)
    visitor.site.answers.ask(task_id, again=True)
    return see(f"/t/{task_id}#latest")


@router.post("/choose")
def choose(visitor: Posted, task_id: str) -> Response:
    """Take which answer is better: of a turn, or of an item."""
    study, choice = visitor.site.study, visitor.form.get("choice", "")
    turn = _number(visitor.form.get("turn"))

    def change(db: Session, rater: RaterView) -> Any:
        if turn is None:
            return tasks.choose_item(db, study, rater.id, task_id, choice, visitor.nonce)  # type: ignore[arg-type]
        return dialogues.choose(db, study, rater.id, task_id, turn, choice, visitor.nonce)  # type: ignore[arg-type]

    return _acted(visitor, change, f"/t/{task_id}", "#latest")


@router.post("/continue")
def go_on_with(visitor: Posted, task_id: str) -> Response:
    """Take with which answer to go on after a tie."""
    study, side = visitor.site.study, visitor.form.get("side", "")
    turn = _number(visitor.form.get("turn")) or 0
    return _acted(
        visitor,
        lambda db, rater: dialogues.continue_with(db, study, rater.id, task_id, turn, side, visitor.nonce),  # type: ignore[arg-type]
        f"/t/{task_id}",
        "#latest",
    )


@router.post("/rating")
def keep_rating(visitor: Posted, task_id: str) -> Response:
    """Keep one value as soon as it is chosen."""
    study, form = visitor.site.study, visitor.form
    dimension, value = form.get("dimension", ""), _number(form.get("value")) or 0
    try:
        visitor.act(
            lambda db, rater: tasks.save_rating(db, study, rater.id, task_id, dimension, value, visitor.nonce)
        )
    except Refused as refused:
        if refused.code not in ("bad_value", "bad_nonce", "wrong_state", "too_early"):
            raise
        return Response(refused.code, 409, media_type="text/plain")
    return Response(status_code=204)


@router.post("/submit")
def submit(visitor: Posted, task_id: str) -> Response:
    """Take the values of the form, whichever were not kept yet, and hand the task in."""
    study, form, nonce = visitor.site.study, visitor.form, visitor.nonce
    given = {d.name: _number(form.get(f"rate-{d.name}")) for d in study.dimensions}
    only_keep = form.get("do") == "keep"

    def change(db: Session, rater: RaterView) -> str:
        task = tasks.open_task(db, study, rater.id, task_id)
        for number, (dimension, value) in enumerate(given.items()):
            if value is not None and task.ratings.get(dimension) != value:
                tasks.save_rating(db, study, rater.id, task_id, dimension, value, f"{nonce}-{number}")
        if task.state == "draft" and not only_keep:
            tasks.submit(db, study, rater.id, task_id, nonce)
        return task.state

    back = f"/t/{task_id}/rate" if form.get("from") == "rate" else f"/t/{task_id}"
    try:
        state = visitor.act(change)
    except Refused as refused:
        if refused.code == "unrated":  # what was answered is kept all the same
            only_keep = True
            visitor.act(change)
        return noted(back, refused)
    if only_keep:
        return see(f"{back}?note=saved")
    return see("/task" if state == "draft" else "/mine?note=saved")


@router.post("/discard")
def discard(visitor: Posted, task_id: str) -> Response:
    """Throw a conversation away."""
    study = visitor.site.study
    return _acted(
        visitor,
        lambda db, rater: tasks.discard(db, study, rater.id, task_id, visitor.nonce),
        "/task",
    )


@router.post("/end")
def end(visitor: Posted, task_id: str) -> Response:
    """End a session at once, and show where help is."""
    study = visitor.site.study
    try:
        visitor.act(lambda db, rater: tasks.end_for_crisis(db, study, rater.id, task_id, visitor.nonce))
    except Refused as refused:
        if refused.code != "wrong_state":  # it is over already: help is what matters
            raise
    return see("/help?ended")


def _look(visitor: Visit, task_id: str) -> tuple[RaterView, TaskView]:
    study = visitor.site.study
    return visitor.read(lambda db, rater: (rater, tasks.open_task(db, study, rater.id, task_id)))


def _page(visitor: Visit, rater: RaterView, task: TaskView, status: int = 200, **more: Any) -> Response:
    study = visitor.site.study
    values: dict[str, Any] = {
        "task": task,
        "crisis": study.crisis(study.language(rater.language)),
        "text": "",
        **more,
    }
    if task.kind != "session":
        return visitor.page("item", rater, status, **values)
    last = task.turns[-1] if task.turns else None
    states = {answer.status for answer in last.answers} if last else set()
    pending = is_pending(visitor.site, task)
    return visitor.page(
        "talk", rater, status, last=last, pending=pending, failed="failed" in states, **values
    )


def _acted(
    visitor: Visit, change: Callable[[Session, RaterView], Any], path: str, anchor: str = ""
) -> Response:
    try:
        visitor.act(change)
    except Refused as refused:
        return noted(path, refused)
    return see(path + anchor)


def _number(text: str | None) -> int | None:
    """Return a small number of a form's field, or None."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 6 else None
