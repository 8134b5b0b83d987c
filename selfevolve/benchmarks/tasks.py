"""lm-eval's task objects by name: our own tasks, and lm-eval's with local rows or with those of the Hub.

lm-eval gets every task as a YAML file that includes the unchanged definition. Where the rows are local files,
the YAML replaces the data set, and nothing else, by absolute paths. So lm-eval itself reads functions and
groups, nothing depends on the current directory, and no index of its 14,000 definitions is built.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from selfevolve.benchmarks.catalogue import BENCHMARKS, SMOKE_FOLDER, Benchmark
from selfevolve.records.jsonl import read_json_lines
from selfevolve.runtime.errors import InputError

if TYPE_CHECKING:
    from lm_eval.api.group import Group
    from lm_eval.api.task import Task
    from lm_eval.tasks import TaskManager

KINDS = {"str": str, "int": int, "list": list}


def check_names(names: Iterable[str], data_dir: Path | None) -> None:
    """Raise InputError unless every name is a known benchmark whose rows, if local, can be used."""
    names = list(names)
    if not names or len(set(names)) < len(names):
        raise InputError("at least one task, and none twice", field="capability.tasks")
    for name in names:
        if name not in BENCHMARKS:
            known = ", ".join(sorted(BENCHMARKS))
            raise InputError(f"unknown task {name}; known are {known}", field="capability.tasks")
        if data_dir is not None and BENCHMARKS[name].folder:
            for split in BENCHMARKS[name].splits:
                read_rows(BENCHMARKS[name], data_dir, split)


def needs_hub(names: Iterable[str], data_dir: Path | None) -> bool:
    """Return whether any of the tasks reads its rows from the Hugging Face Hub."""
    return data_dir is None and any(BENCHMARKS[name].definition for name in names)


def read_rows(benchmark: Benchmark, data_dir: Path, split: str) -> list[dict[str, Any]]:
    """Return the fields that the definition uses, of every row in `<data_dir>/<folder>/<split>.jsonl`.

    Raises:
        InputError: the file is missing, empty or not JSONL, or a row lacks a field or has another type in it.
    """
    path = data_dir / str(benchmark.folder) / f"{split}.jsonl"
    rows = []
    for number, row in read_json_lines(path):
        for field, kind in benchmark.fields.items():
            value: Any = row
            for key in field.split("."):
                value = value.get(key) if isinstance(value, dict) else None
            if not isinstance(value, KINDS[kind]):
                raise InputError(f"missing or not a {kind}", file=path, record=f"line {number}", field=field)
        rows.append({field.split(".")[0]: row[field.split(".")[0]] for field in benchmark.fields})
    if not rows:
        raise InputError("no rows", file=path)
    for field, values in benchmark.values.items():
        missing = [value for value in values if value not in {row[field] for row in rows}]
        if missing:
            raise InputError(f"no row of {', '.join(missing)}", file=path, field=field)
    return rows


def load_tasks(
    names: Iterable[str], data_dir: Path | None, folder: Path
) -> tuple[TaskManager, dict[str, Task | Group]]:
    """Return lm-eval's manager and the task or group of every name.

    Args:
        names: out of BENCHMARKS.
        data_dir: the folder of local rows, or None.
        folder: takes the YAML files and the parsed data sets; it must stay while the tasks are used.

    Raises:
        InputError: local rows are missing or wrong, or the Hub does not give its rows.
    """
    from lm_eval.tasks import TaskManager

    names, definitions = list(names), folder / "definitions"
    definitions.mkdir(parents=True)
    for name in names:
        for number, overlay in enumerate(_overlays(name, data_dir, folder)):
            text = yaml.safe_dump(overlay, sort_keys=False)
            (definitions / f"{name}-{number}.yaml").write_text(text, encoding="utf-8")
    manager = TaskManager(include_path=definitions, include_defaults=False)
    built: dict[str, Task | Group] = {}
    for name in names:
        try:
            loaded = manager.load([name])
        except OSError as error:  # the base of what `datasets` raises when it cannot reach a data set
            message = f"cannot load the rows of {name}: {error}; capability.data_dir takes a local folder"
            raise InputError(message, field="capability.tasks") from None
        built[name] = loaded.get("groups", {}).get(name) or loaded["tasks"][name]
    return manager, built


def leaves(built: Task | Group) -> list[Task]:
    """Return the tasks of a group, or the task itself."""
    return built.get_all_tasks() if hasattr(built, "get_all_tasks") else [built]


def _overlays(name: str, data_dir: Path | None, folder: Path) -> list[dict[str, Any]]:
    """Return the contents of the YAML files that make the benchmark: one, or a group's and its members'."""
    import lm_eval.tasks

    benchmark = BENCHMARKS[name]
    cache = folder / "datasets"
    if benchmark.definition is None:
        definition = SMOKE_FOLDER / f"{name.removeprefix('smoke_')}.yaml"
        stated = yaml.safe_load(definition.read_text(encoding="utf-8"))["dataset_kwargs"]["data_files"]
        return [_overlay(definition, {split: SMOKE_FOLDER / file for split, file in stated.items()}, cache)]
    definition = Path(lm_eval.tasks.__file__).parent / benchmark.definition
    files = _same_columns(benchmark, data_dir, folder / "rows" / name) if data_dir else None
    if benchmark.members is None:
        return [_overlay(definition, files, cache)]
    members = sorted(definition.parent.glob(benchmark.members))
    return [_overlay(definition, None, cache), *(_overlay(member, files, cache) for member in members)]


def _same_columns(benchmark: Benchmark, data_dir: Path, folder: Path) -> dict[str, Path]:
    """Write the used columns of every split: `datasets` refuses splits whose columns differ (MMLU-Pro)."""
    folder.mkdir(parents=True)
    files = {split: folder / f"{split}.jsonl" for split in benchmark.splits}
    for split, path in files.items():
        rows = read_rows(benchmark, data_dir, split)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return files


def _overlay(definition: Path, files: dict[str, Path] | None, cache: Path) -> dict[str, Any]:
    if files is None:
        return {"include": str(definition)}
    # the default cache of `datasets` lies in the user's home and only grows
    data_files = {split: str(path) for split, path in files.items()}
    return {
        "include": str(definition),
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": data_files, "cache_dir": str(cache)},
    }
