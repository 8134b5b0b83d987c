"""A study's database and a rater who works without pages: what the tests of the store share."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from stages.human_eval import dialogues, raters, tasks
from stages.human_eval.store import Store, open_store
from stages.human_eval.study import Study, read_study
from stages.human_eval.views import TaskView
from tests.conftest import ROOT
from tests.postgres import fresh_database

_COUNT = itertools.count()


def nonce() -> str:
    """A word that no act has had."""
    return f"nonce-{next(_COUNT):08d}"


def make_study(folder: Path, mode: str, **changes: Any) -> Study:
    """The example study made short; keys of None are left out. `overlap` of a number: items of that many."""
    value = yaml.safe_load((ROOT / "studies" / f"{mode}.yaml").read_text(encoding="utf-8"))
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
            invitation = raters.invite(db, store.study, 1)[0]
        with store.writing() as db:
            raters.consent(db, store.study, invitation.id, language, nonce())
        self.id, self.name, self.token = invitation.id, invitation.name, invitation.token

    def act(self, function: Callable[..., Any], *arguments: Any, nonce_: str | None = None) -> Any:
        """One act in a transaction of its own."""
        with self.store.writing() as db:
            return function(db, self.study, self.id, *arguments, nonce_ or nonce())

    def next(self) -> TaskView | None:
        """What there is to do."""
        with self.store.writing() as db:
            return tasks.next_task(db, self.study, self.id)

    def look(self, task_id: str) -> TaskView:
        """A task as it stands."""
        with self.store.reading() as db:
            return tasks.open_task(db, self.study, self.id, task_id)

    def say(self, task_id: str, text: str = "I feel low.", choice: str = "a") -> None:
        """A whole turn: the message, its answers and, in pair-wise mode, the choice."""
        turn = self.act(dialogues.post_message, task_id, text)
        answer(self.store, task_id)
        if self.study.mode == "pairwise":
            self.act(dialogues.choose, task_id, turn.index, choice)
            if choice == "tie" and self.study.after_tie == "rater":
                self.act(dialogues.continue_with, task_id, turn.index, "b")

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
        jobs = dialogues.answer_jobs(db, store.study, task_id)
    for job in jobs:
        with store.writing() as db:
            assert dialogues.begin_answer(db, job.answer_id)
            assert dialogues.finish_answer(db, job.answer_id, f"Answer {len(job.messages)}.")
    return [job.model for job in jobs]
