"""The models, which are the pipeline's or only pretend, answer: one worker thread and one queue a model.

Which answers are missing is in the database, with their seeds. So a server that was killed makes the same
answers again when it starts, and an answer that two workers finished is kept once.
"""

import logging
import queue
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from tenacity import retry, retry_if_exception, stop_after_attempt

from rating.app import conversation
from rating.app.conversation import AnswerJob
from rating.app.raters import Refused
from rating.app.store import Store
from selfevolve.generation.request import derive_seed
from selfevolve.records.schema import Message
from selfevolve.records.texts import after_thinking, begins_with_thinking, without_thinking_so_far
from selfevolve.runtime.errors import ParseError
from selfevolve.runtime.parameters import load_params, read_params

Model = Callable[[Sequence[Message], int], Iterator[str]]
"""A model: takes a dialogue (user first and last) and a seed, and gives the pieces of its answer."""

_TEXT = "that sounds like a lot to carry and I am glad you told me what would help you most right now perhaps"
KEPT_S = 60.0  # that an answer stays in memory once it is done: pages may still be showing it word by word
WATCH_S = 0.25  # how often answers in progress are compared with the clock
ATTEMPTS = 3  # at an answer that comes to nothing but thinking, each with a seed of its own
SPARE_WORKERS = 4  # of one model, for those that never come back
_log = logging.getLogger(__name__)


@contextmanager
def open_model(folder: Path, prompt: str, params: Path) -> Iterator[tuple[Model, str]]:
    """Give a policy that answers as in the pipeline, and its digest.

    `prompt` is the name of the prompt; `engine`, `prompts` and `respond` of the parameters file are used.
    """
    from selfevolve.generation.engines import open_engine
    from selfevolve.generation.request import Request, ResponseParams
    from selfevolve.policies.policy import read_policy
    from selfevolve.prompts.requests import response_messages
    from selfevolve.prompts.templates import load_prompts

    sampling = read_params("respond", ResponseParams, params).sampling
    prompts = load_prompts(load_params("prompts", params)["dir"])

    build = partial(response_messages, prompts, prompt)
    with open_engine(load_params("engine", params), folder) as (engine, window):

        def answer(messages: Sequence[Message], seed: int) -> Iterator[str]:
            asked = window.fit(list(messages), build, sampling.max_new_tokens).prompt
            return engine.stream(Request("answer", tuple(asked), seed), sampling)

        yield answer, read_policy(folder).digest


def pretend_model(name: str, seconds: float = 1.0) -> Model:
    """Return a model whose answers follow from its name and the seed, and take that many seconds."""

    def answer(messages: Sequence[Message], seed: int) -> Iterator[str]:
        draw = random.Random(f"{name} {seed}")
        words = [draw.choice(_TEXT.split()) for _ in range(draw.randint(8, 24))]
        words[0], words[-1] = words[0].capitalize(), words[-1] + "."
        for word in words:
            time.sleep(seconds / len(words))
            yield word + " "

    return answer


@dataclass(eq=False)
class LiveAnswer:
    """An answer that somebody waits for. `text` grows, without thinking; times are of the monotonic clock.

    `state` is done or failed only when the database says so. `replaced`: another worker has its queue.
    """

    job: AnswerJob
    asked: float = field(default_factory=time.monotonic)
    state: Literal["waiting", "running", "done", "failed"] = "waiting"
    text: str = ""
    began: float = 0.0
    ended: float = 0.0
    replaced: bool = False

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.state in ("done", "failed")


class Answers:
    """`start()`, then `ask(task)` after every message; `live(task)` are the answers in progress."""

    def __init__(self, store: Store, models: Mapping[str, Model], timeout_s: float = 180.0):
        """Prepare a queue for every model. One answer may take `timeout_s`; waiting in the queue is free.

        A model is called by one thread at a time, unless an earlier call has run out of time.
        """
        self._store = store
        self._models = dict(models)
        self._timeout_s = timeout_s
        self._queues: dict[str, queue.SimpleQueue[LiveAnswer | None]] = {
            name: queue.SimpleQueue() for name in models
        }
        self._spares = dict.fromkeys(models, SPARE_WORKERS)
        # A model's first answer is shown when it is whole: only then is it known whether the model thinks
        # without a tag that says so. One that does is never followed while it writes.
        self._is_followed = dict.fromkeys(models, False)
        self._live: dict[int, LiveAnswer] = {}
        self._lock = threading.Lock()
        self.stopping = threading.Event()

    def start(self) -> None:
        """Start the workers, and give them what an earlier server has left undone."""
        for name in self._models:
            self._start_thread(self._work, name)
        self._start_thread(self._watch)
        with self._store.reading() as db:
            jobs = conversation.unfinished(db)
        for job in jobs:
            self._enqueue(job)

    def stop(self) -> None:
        """Let the workers end after a piece; what is unfinished is made at the next start."""
        self.stopping.set()
        for waiting in self._queues.values():
            waiting.put(None)

    def ask(self, task_id: str, again: bool = False) -> None:
        """Queue, once, the answers that the last turn of a session lacks; with `again` also failed ones."""
        with self._store.reading() as db:
            jobs = conversation.answer_jobs(db, task_id)
        for job in jobs:
            if again or job.status != "failed":
                self._enqueue(job)

    def live(self, task_id: str) -> list[LiveAnswer]:
        """Return the answers of a session that are queued, being written or not long done, by side."""
        with self._lock:
            found = [live for live in self._live.values() if live.job.task_id == task_id]
        return sorted(found, key=lambda live: live.job.side)

    def ahead(self, lives: Sequence[LiveAnswer]) -> int:
        """Return how many answers to others were asked for earlier.

        They are of all models: a place in one model's own queue could tell raters which one is theirs.
        """
        ahead = 0
        with self._lock:
            for live in self._live.values():
                if live in lives and live.state == "waiting":
                    return ahead
                ahead += not live.over and live not in lives
        return 0

    def _enqueue(self, job: AnswerJob) -> None:
        with self._lock:
            if job.answer_id in self._live:
                return
            for old in [x.job for x in self._live.values() if x.job.task_id == job.task_id]:
                if old.turn_id != job.turn_id:
                    del self._live[old.answer_id]
            live = self._live[job.answer_id] = LiveAnswer(job)
        self._queues[job.model].put(live)

    def _forget(self, live: LiveAnswer) -> None:
        """Forget an answer, unless it has been asked for again. Call this with the lock held."""
        if self._live.get(live.job.answer_id) is live:
            del self._live[live.job.answer_id]

    def _start_thread(self, target: Callable[..., None], *arguments: Any) -> None:
        threading.Thread(target=target, args=arguments, daemon=True, name="answers").start()

    def _work(self, name: str) -> None:
        while not self.stopping.is_set() and (live := self._queues[name].get()) is not None:
            self._write(live)
            with self._lock:
                if live.state != "done":
                    self._forget(live)
                if live.replaced:
                    self._spares[name] += 1
                    return

    def _write(self, live: LiveAnswer) -> None:
        job = live.job
        try:
            if not self._set(job.answer_id, "running"):
                live.state = "done"  # by somebody else, or its rater is gone
                return
            live.began, live.state = time.monotonic(), "running"
            for attempt in range(1, ATTEMPTS + 1):
                written = self._listen(live, attempt)
                if self.stopping.is_set() or live.over:
                    return
                try:
                    live.text = after_thinking(written)
                    break
                except ParseError:
                    if attempt == ATTEMPTS:
                        raise
            self._is_followed[job.model] = not begins_with_thinking(written)
            self._set(job.answer_id, "done", live.text.strip())
            live.ended, live.state = time.monotonic(), "done"
        except ParseError as failure:
            self._fail(live, failure.reason)
        except Exception as error:  # whatever a model does, the next rater's answer must be written
            _log.error("an answer failed: %s", type(error).__name__)  # its message may quote the dialogue
            self._fail(live, "error")

    def _listen(self, live: LiveAnswer, attempt: int) -> str:
        """Return what the model writes, thinking included; less of it where nobody waits any more."""
        job, written = live.job, ""
        seed = job.seed if attempt == 1 else derive_seed(job.seed, job.model, attempt)
        with closing(self._models[job.model](job.messages, seed)) as pieces:  # type: ignore[type-var]
            for piece in pieces:
                if self.stopping.is_set() or live.over:
                    break
                written += piece
                if self._is_followed[job.model]:
                    live.text = without_thinking_so_far(written)
        return written

    def _fail(self, live: LiveAnswer, reason: str) -> None:
        try:
            self._set(live.job.answer_id, "failed", reason)
        except Exception as error:  # the database is away: the answer stays unfinished, which is true
            _log.error("a failed answer could not be noted: %s", type(error).__name__)
        live.state = "failed"

    @retry(
        retry=retry_if_exception(lambda error: isinstance(error, Refused) and error.code == "busy"),
        stop=stop_after_attempt(5),
        reraise=True,
    )
    def _set(self, answer_id: int, status: Literal["running", "done", "failed"], text: str = "") -> bool:
        """Call `conversation.set_answer` in a transaction of its own, again while the database is busy."""
        with self._store.writing() as db:
            return conversation.set_answer(db, answer_id, status, text)

    def _watch(self) -> None:
        """Fail what takes too long. Its worker may hang for ever, so another one takes over its queue."""
        while not self.stopping.wait(WATCH_S):
            now = time.monotonic()
            with self._lock:
                for old in [x for x in self._live.values() if x.state == "done" and x.ended < now - KEPT_S]:
                    self._forget(old)
                running = [x for x in self._live.values() if x.state == "running"]
            for live in running:
                if live.began < now - self._timeout_s:
                    self._fail(live, "timeout")
                    with self._lock:  # a worker that has come back meanwhile has forgotten its answer
                        hangs = self._live.get(live.job.answer_id) is live
                        self._forget(live)
                        live.replaced = hangs and self._spares[live.job.model] > 0
                        self._spares[live.job.model] -= live.replaced
                    if live.replaced:
                        self._start_thread(self._work, live.job.model)
