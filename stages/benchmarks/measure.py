"""Run benchmarks on a model in memory through lm-evaluation-harness (0.4.13), and nothing besides."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from stages.benchmarks.report import summary, task_report
from stages.benchmarks.sentences import why_no_sentences
from stages.benchmarks.tasks import check_names, leaves, load_tasks
from stages.records.errors import InputError

# said by the report itself (prompts_cut), or true of every run of this stage
SAID_ELSEWHERE = (
    "Left truncation applied",
    "exceeds model's maximum length",
    "`pretrained` model kwarg",
    "Passed an already-initialized model",
)


def go_offline() -> None:
    """Keep `datasets` and `transformers` off the network, unless the environment says otherwise.

    They read these variables when they are first imported, so this comes before that.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("HF_DATASETS_OFFLINE", "1")


class Settings(BaseModel):
    """What to measure and how: the section `capability` of the parameters.

    tasks: names out of `catalogue.BENCHMARKS`.
    data_dir: a folder with local rows; without it, those of lm-eval's own tasks come from the Hub.
    limit: at most so many items a benchmark (a group's are divided over its members, at least one
        each), the first ones; None for all.
    batch_size: requests at a time.
    num_fewshot: overrides the tasks' own number, except where that is 0 (lm-eval's rule).
    apply_chat_template: put every request into the tokenizer's chat template.
    seed: of the few-shot draws and of everything else that draws.
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

    Returns:
        score {benchmark: headline in percent, average}, tasks {benchmark: see report.task_report},
        not_available {benchmark: reason}, complete (false if items or benchmarks were left out), the
        settings that matter and lm-eval's version. Equal runs give equal reports; lm-eval's caches are
        not used (they know no model).

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

    from stages.benchmarks.window import WindowedLM

    manager, built = load_tasks(names, settings.data_dir, folder)
    if "ifeval" in names:
        _seed_language_detection(settings.seed)
    window = WindowedLM(
        pretrained=model,
        tokenizer=tokenizer,
        batch_size=settings.batch_size,
        show_progress=sys.stderr.isatty(),
    )
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
    return {
        name: task_report(name, [task.task_name for task in leaves(built[name])], results, window)
        for name in names
    }


def _not_available(settings: Settings) -> dict[str, str]:
    if "ifeval" not in settings.tasks:
        return {}
    reason = why_no_sentences()
    return {"ifeval": reason} if reason else {}


def _first_items(built: dict[str, Any], limit: int) -> dict[str, list[int]]:
    """Return the indices of the items to measure of every task; lm-eval's own limit is one a member."""
    chosen = {}
    for group in built.values():
        members = leaves(group)
        for number, task in enumerate(members):
            share = limit // len(members) + (number < limit % len(members))
            chosen[task.task_name] = list(range(min(max(share, 1), len(task.eval_docs))))
    return chosen


def _seed_language_detection(seed: int) -> None:
    # IFEval asks langdetect for the language of an answer, and that draws at random unless told not to
    from langdetect import DetectorFactory

    DetectorFactory.seed = seed


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what lm-eval says besides its warnings, and the warnings that are said elsewhere.

    Its progress bar over the items and its calls of `git` and `pip` (for fields that are not used here)
    have no switch, so their names in its modules are set for the time of the run.
    """
    import datasets
    import lm_eval.api.task
    import lm_eval.evaluator

    def unsaid(record: logging.LogRecord) -> bool:
        return not any(words in record.getMessage() for words in SAID_ELSEWHERE)

    replaced = [
        (lm_eval.api.task, "tqdm", partial(lm_eval.api.task.tqdm, disable=True)),
        (lm_eval.evaluator, "get_git_commit_hash", lambda: None),
        (lm_eval.evaluator, "add_env_info", lambda results: None),
    ]
    before = [getattr(module, name) for module, name, _ in replaced]
    logger = logging.getLogger("lm_eval.models.huggingface")
    bars_were_off = datasets.utils.are_progress_bars_disabled()
    logger.addFilter(unsaid)
    datasets.disable_progress_bars()
    for module, name, value in replaced:
        setattr(module, name, value)
    try:
        yield
    finally:
        for (module, name, _), value in zip(replaced, before, strict=True):
            setattr(module, name, value)
        logger.removeFilter(unsaid)
        if not bars_were_off:
            datasets.enable_progress_bars()
