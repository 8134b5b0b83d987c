"""A study's database and a rater who works without pages: what the tests of the store share."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from rating.app import conversation, raters, tasks
from rating.app.raters import Refused
from rating.app.store import Store, open_store
from rating.app.study import Study, read_study
from rating.app.tasks import TaskView
from tests.conftest import ROOT
from tests.support.postgres import fresh_database

_COUNT = itertools.count()


def nonce() -> str:
    """A nonce that no action has had."""
    return f"nonce-{next(_COUNT):08d}"


def make_study(folder: Path, mode: str, **changes: Any) -> Study:
    """The example study made short; keys of None are left out. `overlap` of a number: items of that many."""
    value = yaml.safe_load((ROOT / f"rating/studies/{mode}.yaml").read_text(encoding="utf-8"))
    value |= {"minimum_turns": 2, "sessions_per_rater": 1, "attention_checks": 0, "overlap": None, **changes}
    if isinstance(value["overlap"], int):
        contexts = value["overlap"]
        value["overlap"] = {"contexts": contexts, "per_rater": 2, "raters_per_item": 3}
        value["overlap"]["file"] = str(write_items(folder / "items.jsonl", contexts, value["models"]))
    path = folder / f"{mode}.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in value.items() if v is not None}), encoding="utf-8")
    return read_study(path)


def write_items(path: Path, count: int, models: list[str]) -> Path:
    """A file of overlap items."""
    lines = [
        {
            "id": f"esconv-{number:04d}#3",
            "messages": [{"role": "user", "content": f"Seeker {number}"}],
            "responses": {model: f"{model} on {number}" for model in models},
        }
        for number in range(count)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def make_store(folder: Path, study: Study) -> Store:
    """An empty database of the kind under test."""
    return open_store(fresh_database(folder / "ratings.sqlite"), study)


class Rater:
    """Somebody who was invited and has agreed."""

    def __init__(self, store: Store, language: str = "en"):
        self.store, self.study = store, store.study
        with store.writing() as db:
            ((self.name, self.token),) = raters.invite(db, 1).items()
            self.id = raters.Rater.of(db, store.study, self.token).row.id
        self.act(raters.Rater.set_language, language, consent=True)

    def act(
        self, function: Callable[..., Any], *arguments: Any, nonce_: str | None = None, **more: Any
    ) -> Any:
        """One action in a transaction of its own."""
        with self.store.writing() as db:
            rater = raters.Rater.of(db, self.study, self.token)
            return function(rater, *arguments, nonce=nonce_ or nonce(), **more)

    def next(self) -> TaskView | None:
        """What there is to do."""
        with self.store.writing() as db:
            return tasks.next_task(raters.Rater.of(db, self.study, self.token))

    def look(self, task_id: str) -> TaskView:
        """A task as it stands."""
        with self.store.reading() as db:
            return tasks.read_task(raters.Rater.of(db, self.study, self.token), task_id)

    def say(self, task_id: str, text: str = "I feel low.", choice: str = "a") -> None:
        """A whole turn: the message, its answers and, in pair-wise mode, the choice."""
        turn = self.act(conversation.post_message, task_id, text)
        answer(self.store, task_id)
        if self.study.mode == "pairwise":
            self.act(conversation.choose, task_id, turn.index, choice)
            if choice == "tie" and self.study.after_tie == "rater":
                self.act(conversation.choose, task_id, turn.index, "b", after_tie=True)

    def rate(self, task_id: str, value: int = 3) -> None:
        """Every question."""
        for dimension in self.study.dimension_names:
            self.act(tasks.save_rating, task_id, dimension, value)

    def do(self, task: TaskView, value: int = 3, choice: str = "a") -> None:
        """A whole task, submitted."""
        if task.kind == "session":
            for _ in range(self.study.minimum_turns):
                self.say(task.id, choice=choice)
        elif self.study.mode == "pairwise":
            self.act(tasks.choose_item, task.id, choice)
        if self.study.mode == "pointwise":
            self.rate(task.id, value)
        self.act(tasks.submit, task.id)

    def do_all(self, **how: Any) -> list[TaskView]:
        """Everything there is to do."""
        done = []
        while (task := self.next()) is not None:
            self.do(task, **how)
            done.append(task)
        return done


def answer(store: Store, task_id: str) -> list[str]:
    """Let the models answer the last turn; return their names by side."""
    with store.reading() as db:
        jobs = conversation.answer_jobs(db, task_id)
    for job in jobs:
        with store.writing() as db:
            assert conversation.set_answer(db, job.answer_id, "running")
            assert conversation.set_answer(db, job.answer_id, "done", f"Answer {len(job.messages)}.")
    return [job.model for job in jobs]


def refused(code: str, function, *arguments, **more):
    with pytest.raises(Refused) as caught:
        function(*arguments, **more)
    assert caught.value.code == code, caught.value
    return caught.value
