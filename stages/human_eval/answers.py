"""The models answer: one worker thread and one queue a model, each answer watched while it is written.

A worker leaves nothing in memory that matters: what a rater wrote and which answers are missing stands in the
database, with the seed of each. So a server that was killed makes the same answers again when it starts, and
an answer that two writers finished is one.
"""

import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal

from stages.human_eval import dialogues
from stages.human_eval.errors import Refused
from stages.human_eval.store import Store
from stages.human_eval.views import AnswerJob, Side
from stages.records.schema import Message

Speak = Callable[[Sequence[Message], int], Iterator[str]]
"""A model: the dialogue (user first and last) and a seed to the pieces of its answer."""

KEPT_S = 60.0  # that an answer stays in memory once it is done: pages may still be showing it word by word
WATCH_S = 0.25  # how often writing answers are compared with the clock
SPARE_WORKERS = 4  # of one model, for those that never come back
_log = logging.getLogger(__name__)


@dataclass(eq=False)
class Live:
    """An answer that is waited for. `text` grows while it is written; times are of the monotonic clock.

    `state` is done or failed only when the database says so, too.
    """

    answer_id: int
    task_id: str
    turn_id: int
    side: Side
    model: str  # for the queues alone: no page sees it
    order: int
    asked: float
    replaced: bool = False  # another worker has taken over its queue
    state: Literal["waiting", "running", "done", "failed"] = "waiting"
    text: str = ""
    began: float | None = None
    ended: float = 0.0

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.state in ("done", "failed")


class Answers:
    """`start()`, then `ask(task)` after every message; `live(task)` is what is being written for it."""

    def __init__(self, store: Store, models: Mapping[str, Speak], timeout_s: float = 180.0):
        """Take the models by the names the study has for them.

        Args:
            store: where the answers go.
            models: each is called by one thread at a time, unless a call before has run out of time.
            timeout_s: seconds that one answer may take from its first moment; waiting in the queue is free.
        """
        self._store = store
        self._models = dict(models)
        self._timeout_s = timeout_s
        self._queues: dict[str, queue.SimpleQueue[tuple[AnswerJob, Live] | None]] = {
            name: queue.SimpleQueue() for name in models
        }
        self._spares = dict.fromkeys(models, SPARE_WORKERS)
        self._live: dict[int, Live] = {}
        self._lock = threading.Lock()
        self._orders = itertools.count()
        self.stopping = threading.Event()

    def start(self) -> None:
        """Start the workers, and give them what a server before this one has left undone."""
        for name in self._models:
            self._thread(self._work, name)
        self._thread(self._watch)
        with self._store.reading() as db:
            jobs = dialogues.unfinished(db, self._store.study)
        for job in jobs:
            self._put(job)

    def stop(self) -> None:
        """Let the workers end after a piece; what is unfinished is made at the next start."""
        self.stopping.set()
        for waiting in self._queues.values():
            waiting.put(None)

    def ask(self, task_id: str, again: bool = False) -> None:
        """Queue the answers that the last turn of a session lacks, with `again` also those that failed.

        Asking twice queues nothing twice.
        """
        with self._store.reading() as db:
            jobs = dialogues.answer_jobs(db, self._store.study, task_id)
        for job in jobs:
            if again or job.status != "failed":
                self._put(job)

    def live(self, task_id: str) -> list[Live]:
        """Return the answers of a session that are queued, being written or not long done, by side."""
        with self._lock:
            found = [live for live in self._live.values() if live.task_id == task_id]
        return sorted(found, key=lambda live: live.side)

    def ahead(self, lives: Sequence[Live]) -> int:
        """Return how many answers to others were asked for earlier, whichever model they are of.

        Counted over all models: a position in one model's own queue could tell raters which one is theirs.
        """
        orders = [live.order for live in lives if live.state == "waiting"]
        if not orders:
            return 0
        with self._lock:
            return sum(x.order < min(orders) for x in self._live.values() if not x.over and x not in lives)

    def _put(self, job: AnswerJob) -> None:
        with self._lock:
            if job.answer_id in self._live:
                return
            order = next(self._orders)
            live = Live(job.answer_id, job.task_id, job.turn_id, job.side, job.model, order, time.monotonic())
            for old in [x for x in self._live.values() if x.task_id == job.task_id]:
                if old.turn_id != job.turn_id:
                    del self._live[old.answer_id]
            self._live[job.answer_id] = live
        self._queues[job.model].put((job, live))

    def _thread(self, target: Callable[..., None], *arguments: Any) -> None:
        threading.Thread(target=target, args=arguments, daemon=True, name="answers").start()

    def _work(self, name: str) -> None:
        while not self.stopping.is_set():
            taken = self._queues[name].get()
            if taken is None:
                return
            job, live = taken
            self._write(job, live)
            with self._lock:
                if live.state != "done" and self._live.get(live.answer_id) is live:
                    del self._live[live.answer_id]
                self._spares[name] += live.replaced
            if live.replaced:
                return

    def _write(self, job: AnswerJob, live: Live) -> None:
        try:
            if not self._stored(dialogues.begin_answer, job.answer_id):
                live.state = "done"  # by somebody else, or its rater is gone
                return
            live.began, live.state = time.monotonic(), "running"
            with closing(self._models[job.model](job.messages, job.seed)) as pieces:  # type: ignore[type-var]
                for piece in pieces:
                    if self.stopping.is_set() or live.over:
                        return
                    live.text += piece
            self._stored(dialogues.finish_answer, job.answer_id, live.text.strip())
            live.ended, live.state = time.monotonic(), "done"
        except Exception as error:  # whatever a model does, the next rater's answer must be written
            _log.error("an answer failed: %s", type(error).__name__)  # its message may quote the dialogue
            self._fail(live, "error")

    def _fail(self, live: Live, reason: str) -> None:
        try:
            self._stored(dialogues.fail_answer, live.answer_id, reason)
        except Exception as error:  # the database is away: the answer stays unfinished, which is true
            _log.error("a failed answer could not be noted: %s", type(error).__name__)
        live.state = "failed"

    def _stored(self, change: Callable[..., bool], *arguments: Any) -> bool:
        """Make a change in a transaction of its own; try again while the database is busy."""
        for attempt in range(5):
            try:
                with self._store.writing() as db:
                    return change(db, *arguments)
            except Refused as refused:
                if refused.code != "busy" or attempt == 4:
                    raise
        return False

    def _watch(self) -> None:
        """Fail what takes too long. Its worker may hang for ever, so another one takes over its queue."""
        while not self.stopping.wait(WATCH_S):
            now = time.monotonic()
            latest = now - self._timeout_s
            with self._lock:
                for old in [x for x in self._live.values() if x.state == "done" and x.ended < now - KEPT_S]:
                    del self._live[old.answer_id]
                late = [x for x in self._live.values() if x.state == "running" and (x.began or 0) < latest]
            for live in late:
                self._fail(live, "timeout")
                self._replace(live)

    def _replace(self, live: Live) -> None:
        with self._lock:
            if self._live.get(live.answer_id) is live:
                del self._live[live.answer_id]
            if live.replaced or not self._spares[live.model]:
                return
            self._spares[live.model] -= 1
            live.replaced = True
        self._thread(self._work, live.model)
