"""An answer while it is written, as server-sent events: at one pace, whichever model writes it.

Point-wise, the words appear at a fixed number a second, so that a fast model does not look like another one
than a slow one, as long as both keep up. Pair-wise, nothing is shown before both answers are whole.
"""

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from stages.human_eval import tasks
from stages.human_eval.answers import Live
from stages.human_eval.security import Denied, form_token
from stages.human_eval.site import Pace, Site, Visit, visit
from stages.human_eval.views import TaskView

router = APIRouter()
TICK_S = 0.1
LONGEST_S = 600.0  # a stream; the browser asks again
STREAMS = 6  # of one rater at a time: tabs
_WORD = re.compile(r"\S+\s*")
_open: Counter[str] = Counter()


@router.get("/t/{task_id}/answers")
async def stream(visitor: Annotated[Visit, Depends(visit)], task_id: str) -> Response:
    """Stream what is being written for a session; ends with `done` when there is nothing to wait for."""
    who = form_token(visitor.token)
    mode = await run_in_threadpool(_allowed, visitor, task_id)
    if _open[who] >= STREAMS:
        raise Denied(429, "too_fast")
    events = _events(visitor.site, who, task_id, mode)
    return StreamingResponse(events, media_type="text/event-stream", headers={"x-accel-buffering": "no"})


def _allowed(visitor: Visit, task_id: str) -> str:
    study = visitor.site.study
    task = visitor.read(lambda db, rater: tasks.open_task(db, study, rater.id, task_id))
    if _waiting(task):
        visitor.site.answers.ask(task_id)
    return task.mode


def _waiting(task: TaskView) -> bool:
    """Whether the last turn has answers to come; those that failed wait for the rater."""
    return bool(task.turns) and any(x.status in ("waiting", "running") for x in task.turns[-1].answers)


async def _events(site: Site, who: str, task_id: str, mode: str) -> AsyncIterator[bytes]:
    _open[who] += 1
    try:
        lives = site.answers.live(task_id)
        yield _event("reset", {})
        shown, ahead, end = 0, -1, time.monotonic() + LONGEST_S
        while time.monotonic() < end and not site.answers.stopping.is_set():
            queued = site.answers.ahead(lives)
            if queued != ahead:
                ahead = queued
                yield _event("queue", {"ahead": ahead})
            if mode == "pointwise" and lives:
                text = paced(lives[0], site.pace)
                if len(text) > shown:
                    yield _event("piece", {"text": text[shown:]})
                    shown = len(text)
            if _finished(lives, mode, shown):
                yield _event("done", {})
                return
            await asyncio.sleep(TICK_S)
    finally:
        _open[who] -= 1
        if not _open[who]:
            del _open[who]


def is_pending(site: Site, task: TaskView) -> bool:
    """Whether answers of a session's last turn are to come, or at the common pace are not yet shown."""
    if not task.turns:
        return False
    turn = task.turns[-1]
    lives = [live for live in site.answers.live(task.id) if live.turn_id == turn.id]
    if any(not live.over for live in lives):  # also one that failed, when it has been asked for again
        return True
    if task.mode == "pointwise" and any(paced(live, site.pace) != live.text.strip() for live in lives):
        return True
    return _waiting(task)


def paced(live: Live, pace: Pace) -> str:
    """Return as much of an answer as may be shown now: whole words, so many a second."""
    if live.began is None:
        return ""
    seconds = time.monotonic() - max(live.asked + pace.first_s, live.began)
    allowed = int(seconds * pace.words_a_second) + 1 if seconds >= 0 else 0
    words = [match.end() for match in _WORD.finditer(live.text.lstrip())]
    if not live.over and words:
        words.pop()  # more of it may come
    return live.text.lstrip()[: words[min(allowed, len(words)) - 1]].rstrip() if words and allowed else ""


def _finished(lives: Sequence[Live], mode: str, shown: int) -> bool:
    if not all(live.over for live in lives):
        return False
    if mode == "pairwise" or not lives or lives[0].state == "failed":
        return True
    return shown >= len(lives[0].text.strip())


def _event(name: str, value: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(value)}\n\n".encode()
