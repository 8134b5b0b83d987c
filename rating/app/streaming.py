"""An answer while it is written, as server-sent events.

Point-wise, the words appear at a fixed number a second, so that a fast and a slow model look the same.
Pair-wise, nothing is shown before both answers are whole.
"""

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response, StreamingResponse

from rating.app import tasks
from rating.app.answers import LiveAnswer
from rating.app.security import form_token, too_fast
from rating.app.site import Pace, RaterGet, Site
from rating.app.tasks import TaskView

router = APIRouter()
TICK_S = 0.1
LONGEST_S = 600.0  # a stream; the browser asks again
STREAMS = 6  # of one rater at a time: tabs
_WORD = re.compile(r"\S+\s*")
_open: Counter[str] = Counter()


@router.get("/t/{task_id}/answers")
def stream(visit: RaterGet, task_id: str) -> Response:
    """Stream what is being written for a session; ends with `done` when there is nothing to wait for."""
    with visit.reading() as rater:
        task = tasks.read_task(rater, task_id)
    if _waiting(task):
        visit.site.answers.ask(task_id)
    who = form_token(visit.secret)
    if _open[who] >= STREAMS:
        raise too_fast()
    events = _events(visit.site, who, task_id)
    return StreamingResponse(events, media_type="text/event-stream", headers={"x-accel-buffering": "no"})


def _waiting(task: TaskView) -> bool:
    """Whether the last turn has answers to come; those that failed wait for the rater."""
    return bool(task.turns) and any(x.status in ("waiting", "running") for x in task.turns[-1].answers)


async def _events(site: Site, who: str, task_id: str) -> AsyncIterator[bytes]:
    pointwise = site.study.mode == "pointwise"
    _open[who] += 1
    try:
        lives = site.answers.live(task_id)
        yield _event("reset", {})
        shown, ahead, end = "", -1, time.monotonic() + LONGEST_S
        while time.monotonic() < end and not site.answers.stopping.is_set():
            queued = site.answers.ahead(lives)
            if queued != ahead:
                ahead = queued
                yield _event("queue", {"ahead": ahead})
            if pointwise and lives:
                text = _paced(lives[0], site.pace)
                if not text.startswith(shown):  # it stood before thinking
                    yield _event("reset", {})
                    shown = ""
                if len(text) > len(shown):
                    yield _event("piece", {"text": text[len(shown) :]})
                    shown = text
            if all(live.over for live in lives):
                slow = pointwise and lives and lives[0].state != "failed"
                if not slow or len(shown) >= len(lives[0].text.strip()):
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
    lives = [live for live in site.answers.live(task.id) if live.job.turn_id == task.turns[-1].id]
    if any(not live.over for live in lives):  # also one that failed, when it has been asked for again
        return True
    if site.study.mode == "pointwise" and any(_paced(live, site.pace) != live.text.strip() for live in lives):
        return True
    return _waiting(task)


def _paced(live: LiveAnswer, pace: Pace) -> str:
    """Return as much of an answer as may be shown now: the whole words for which there was time."""
    if not live.began:
        return ""
    seconds = time.monotonic() - max(live.asked + pace.first_s, live.began)
    allowed = int(seconds * pace.words_a_second) + 1 if seconds >= 0 else 0
    ends = [match.end() for match in _WORD.finditer(live.text.lstrip())]
    if not live.over and ends:
        ends.pop()  # the last word may go on
    return live.text.lstrip()[: ends[min(allowed, len(ends)) - 1]].rstrip() if ends and allowed else ""


def _event(name: str, value: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(value)}\n\n".encode()
