"""Run benchmarks on a model in memory with lm-evaluation-harness (0.4.13)."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from selfevolve.benchmarks.report import summary, task_report
from selfevolve.benchmarks.tasks import check_names, leaves, load_tasks
from selfevolve.nltk_data.lookup import find
from selfevolve.nltk_data.punkt import PUNKT
from selfevolve.runtime.errors import InputError, Unavailable

# Warnings that the report itself gives (prompts_cut), or that are true of every run.
SILENCED = (
    "Left truncation applied",
    "exceeds model's maximum length",
    "`pretrained` model kwarg",
    "Passed an already-initialized model",
)


def go_offline() -> None:
    """Keep `datasets` and `transformers` off the network, unless the environment says otherwise.

    They read these variables when they are first imported, so call this before.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("HF_DATASETS_OFFLINE", "1")


class Settings(BaseModel):
    """Section `capability` of the parameters.

    Attributes:
        tasks: names in benchmarks.yaml.
        data_dir: a folder of local rows; without it, the rows of lm-eval's own tasks come from the Hub.
        limit: the first items a benchmark, None for all; members of a group share them, at least one each.
        batch_size: requests at a time.
        num_fewshot: overrides the tasks' own number, except where that is 0 (lm-eval's rule).
        apply_chat_template: put every request into the tokenizer's chat template.
        seed: of everything that draws, few-shot examples included.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    tasks: list[str]
    data_dir: Path | None = None
    limit: int | None = Field(default=None, ge=1)
    batch_size: int = Field(default=8, ge=1)
    num_fewshot: int | None = Field(default=None, ge=0)
    apply_chat_template: bool = False
    seed: int = Field(default=1234, ge=0)


def measure(model: Any, tokenizer: Any, settings: Settings) -> dict[str, Any]:
    """Measure a transformers model (on its device, in eval mode) on benchmarks and return the report.

    It uses none of lm-eval's caches: their keys do not name the model. Equal runs give equal reports.

    Returns:
        score {benchmark: headline in percent, average}, tasks {benchmark: see report.task_report},
        not_available {benchmark: reason}, complete (false if items or benchmarks were left out), the settings
        that matter, and lm-eval's version.

    Raises:
        InputError: an unknown task, local rows that are missing or wrong, no chat template.
    """
    check_names(settings.tasks, settings.data_dir)
    if settings.apply_chat_template and not getattr(tokenizer, "chat_template", None):
        raise InputError("the tokenizer has no chat template", field="capability.apply_chat_template")
    not_available = _not_available(settings)
    available = [name for name in settings.tasks if name not in not_available]
    reports: dict[str, Any] = {}
    if available:
        with tempfile.TemporaryDirectory(prefix="capability-") as folder, _quiet():
            reports = _evaluate(model, tokenizer, available, settings, Path(folder))
    whole = all(report["items"] == report["items_total"] for report in reports.values())
    return {
        "score": summary(reports),
        "tasks": reports,
        "not_available": not_available,
        "complete": whole and not not_available,
        **settings.model_dump(include={"limit", "num_fewshot", "apply_chat_template", "seed"}),
        "lm_eval": version("lm_eval"),
    }


def _evaluate(
    model: Any, tokenizer: Any, names: list[str], settings: Settings, folder: Path
) -> dict[str, Any]:
    """Return the report of every benchmark in `names`; `folder` takes working files."""
    import lm_eval

    from selfevolve.benchmarks.window import WindowedLM

    manager, built = load_tasks(names, settings.data_dir, folder)
    if "ifeval" in names:
        import langdetect

        langdetect.DetectorFactory.seed = settings.seed  # it draws at random unless seeded
    window = WindowedLM(pretrained=model, tokenizer=tokenizer, batch_size=settings.batch_size)
    results = lm_eval.simple_evaluate(
        window,
        tasks=list(built.values()),
        task_manager=manager,
        num_fewshot=settings.num_fewshot,
        apply_chat_template=settings.apply_chat_template,
        samples=None if settings.limit is None else _first_items(built, settings.limit),
        log_samples=True,
        random_seed=settings.seed,
        numpy_random_seed=settings.seed,
        torch_random_seed=settings.seed,
        fewshot_random_seed=settings.seed,
    )
    members = {name: [task.task_name for task in leaves(built[name])] for name in names}
    return {name: task_report(name, members[name], results, window) for name in names}


def _not_available(settings: Settings) -> dict[str, str]:
    if "ifeval" in settings.tasks:
        try:
            find(PUNKT)  # which also makes lm-eval read this copy
        except Unavailable as absence:
            return {"ifeval": str(absence)}
    return {}


def _first_items(built: dict[str, Any], limit: int) -> dict[str, list[int]]:
    """Return the indices of the items to measure of every task; lm-eval's limit is one a member."""
    chosen = {}
    for group in built.values():
        members = leaves(group)
        for number, task in enumerate(members):
            share = limit // len(members) + (number < limit % len(members))
            chosen[task.task_name] = list(range(min(max(share, 1), len(task.eval_docs))))
    return chosen


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence lm-eval's progress bars, its calls of `git` and `pip`, and the warnings in SILENCED.

    Bar and calls have no switch, so other functions take their names in its modules during the run.
    """
    import datasets
    import lm_eval.api.task
    import lm_eval.evaluator

    def is_news(record: logging.LogRecord) -> bool:
        return not any(words in record.getMessage() for words in SILENCED)

    replaced = [
        (lm_eval.api.task, "tqdm", partial(lm_eval.api.task.tqdm, disable=True)),
        (lm_eval.evaluator, "get_git_commit_hash", lambda: None),
        (lm_eval.evaluator, "add_env_info", lambda results: None),
    ]
    before = [(module, name, getattr(module, name)) for module, name, _ in replaced]
    logger = logging.getLogger("lm_eval.models.huggingface")
    bars_were_off = datasets.utils.are_progress_bars_disabled()
    logger.addFilter(is_news)
    datasets.disable_progress_bars()
    for module, name, value in replaced:
        setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)
        logger.removeFilter(is_news)
        if not bars_were_off:
            datasets.enable_progress_bars()
