"""What was substituted, retried, shortened and dropped: the counts that every stage left in its metrics."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stages.reporting.cells import not_available, not_run, shown_count
from stages.reporting.certainty import flat
from stages.reporting.document import Block, Cell, Group, Row, Table, Text
from stages.reporting.reading import Run, mapping

SPLITS, TABLE_1 = "splits", "table_1"
# file, what its counts are about, and whose they are: all models, iterations, or what phase 1 trains
BY_MODEL = (
    ("sft_data", "Samples of phase 1", "sft"),
    ("rejected", "Direct responses, the rejected ones", "iterations"),
    ("refined", "Reflections: asked again, failed, shortened", "iterations"),
    (
        "preferences",
        "Preference pairs: golden responses in place of refined ones, pairs dropped",
        "iterations",
    ),
    ("responses", "Responses to the test contexts", "models"),
)
OPEN = ("refined", "preferences")  # what a reader should not have to look for
TEXT = ("count", "empty", "truncated")
JUDGE = ("contexts", "questions", "shortened", "too_long", "verdicts", "failures", "unread")


def count_tables(runs: Sequence[Run]) -> list[Block]:
    """Return all counts of all runs."""
    found: list[Block] = []
    for run in runs:
        found += _corpora(run)
        found.append(_contexts(run))
        for file, caption, whose in BY_MODEL:
            found.append(_by_model(run, file, caption, _names(run, whose), flat))
        found.append(_by_model(run, "text", "Scored responses", run.models, _only(TEXT)))
        found.append(_by_model(run, "capability", "Items of benchmarks", _measured(run), _items))
        found.append(_by_model(run, "judge", "Questions to the judge", run.models, _only(JUDGE)))
    return found


def _corpora(run: Run) -> list[Block]:
    document = run.json("corpora.json")
    where = run.where(run.metrics_path("corpora.json"))
    caption = f"Dialogues: joined, dropped, skipped, repeated{run.behind}"
    if document is None:
        return [Text.of(f"{caption}: not run.")]
    corpora = [name for name in document if name != SPLITS]
    columns = {
        name: flat({key: part for key, part in mapping(document, name, file=where).items() if key != TABLE_1})
        for name in corpora
    }
    splits = mapping(document, SPLITS, file=where)
    sizes = ", ".join(f"{name} {shown_count(value)}" for name, value in flat(splits).items())
    split = Text.of(run.says(f"split by {splits.get('rule', 'a rule that is not said')}; {sizes}."))
    return [_table(f"counts-corpora-{run.name}", caption, columns, where), split]


def _contexts(run: Run) -> Block:
    document = run.json("contexts.json")
    where = run.where(run.metrics_path("contexts.json"))
    caption = f"Contexts: found, sampled, shortened, too long{run.behind}"
    if document is None:
        return Text.of(f"{caption}: not run.")
    columns = {name: flat(mapping(document, name, file=where)) for name in document}
    return _table(f"counts-contexts-{run.name}", caption, columns, where)


def _by_model(
    run: Run,
    file: str,
    caption: str,
    models: Sequence[str],
    read: Callable[[dict[str, Any]], dict[str, float]],
) -> Block:
    files = {model: run.json(model, f"{file}.json") for model in models}
    caption = f"{caption}{run.behind}"
    if not any(document is not None for document in files.values()):
        return Text.of(f"{caption}: not run.")
    columns = {model: None if document is None else read(document) for model, document in files.items()}
    where = run.metrics_path("MODEL", f"{file}.json")
    return _table(f"counts-{file}-{run.name}", caption, columns, where, folded=file not in OPEN)


def _table(
    name: str, caption: str, columns: Mapping[str, dict[str, float] | None], where: str, folded: bool = True
) -> Table:
    keys = dict.fromkeys(key for column in columns.values() for key in column or {})
    rows = tuple(Row((key,), tuple(_count(column, key) for column in columns.values())) for key in keys)
    note = (f"From {where}.",)
    return Table(name, caption, ("count",), tuple(columns), (Group("", rows),), note, folded)


def _count(column: Mapping[str, float] | None, key: str) -> Cell:
    if column is None:
        return not_run()
    return Cell(shown_count(column[key])) if key in column else not_available()


def _names(run: Run, whose: str) -> list[str]:
    if whose == "sft":
        return list(mapping(run.params, "sft", file=run.where(run.layout.params)))
    return list(run.iterations) if whose == "iterations" else run.models


def _measured(run: Run) -> list[str]:
    """Return the models whose benchmarks are asked for, or have been measured."""
    files = {model: run.json(model, "capability.json") for model in run.models}
    return [model for model, file in files.items() if file is None or file.get("measured") is not False]


def _only(keys: Sequence[str]) -> Callable[[dict[str, Any]], dict[str, float]]:
    def read(document: dict[str, Any]) -> dict[str, float]:
        return flat({key: document[key] for key in keys if key in document})

    return read


def _items(document: dict[str, Any]) -> dict[str, float]:
    wanted = ("items", "items_total", "prompts_cut", "answer_tokens.asked", "answer_tokens.given")
    tasks = document.get("tasks")
    found = flat(tasks) if isinstance(tasks, Mapping) else {}
    return {key: value for key, value in found.items() if key.partition(".")[2] in wanted}
