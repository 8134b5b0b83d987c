"""What the stages of the dvc files import and load, read from syntax trees, beside their dependencies."""

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import ROOT

CODE = ("stages/", "selfevolve/", "testbed/", "rating/", "bench/")
ENGINES = "selfevolve/engines"  # named in a table of strings, so that no import leads to them


def dvc_files(root: Path = ROOT) -> list[Path]:
    """Every dvc.yaml of the repository."""
    hidden = (path for path in root.rglob("dvc.yaml") if not path.relative_to(root).parts[0].startswith("."))
    return sorted(hidden)


def stages(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (name, definition) of every stage of a dvc file; a foreach stage once."""
    for name, stage in yaml.safe_load(file.read_text(encoding="utf-8"))["stages"].items():
        yield name, stage.get("do", stage)


def module_file(name: str) -> Path | None:
    """The file of a module of this repository, None for any other."""
    stem = ROOT / name.replace(".", "/")
    candidates = (stem.with_suffix(".py"), stem / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


@cache
def tree_of(file: Path) -> ast.Module:
    """A file's syntax tree."""
    return ast.parse(file.read_text(encoding="utf-8"))


@cache
def imported(file: Path) -> frozenset[Path]:
    """This repository's files that a file imports, inside functions too, for type checkers alone not."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            node.body = []
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(found for name in names if (found := module_file(name)))


def closure(start: Iterable[Path]) -> set[Path]:
    """These files and all that they import, however far, without packages' one-line __init__ files."""
    seen: set[Path] = set()
    waiting = list(start)
    while waiting:
        file = waiting.pop()
        if file not in seen:
            seen.add(file)
            waiting += imported(file)
    return {file for file in seen if not is_one_line(file)}


@cache
def is_one_line(file: Path) -> bool:
    """Whether a file is a package's __init__ that holds no more than its description."""
    return file.name == "__init__.py" and len(file.read_text().splitlines()) <= 5


@cache
def loaded(file: Path) -> frozenset[Path]:
    """The files of llamafactory_configs that a file's code names in a string and loads."""
    values = (node.value for node in ast.walk(tree_of(file)) if isinstance(node, ast.Constant))
    names = [value for value in values if isinstance(value, str) and value.endswith(".yaml")]
    return frozenset(path for name in names if (path := ROOT / "llamafactory_configs" / name).is_file())


def scripts(stage: dict[str, Any]) -> list[Path]:
    """The files of the modules that a stage runs."""
    command = stage["cmd"] if isinstance(stage["cmd"], str) else "\n".join(stage["cmd"])
    found = []
    for name in re.findall(r"python -m ([\w.]+)", command):
        file = module_file(f"{name}.__main__") or module_file(name)
        assert file, f"{name} is no module"
        found.append(file)
    return found


def covers(dep: Path, file: Path) -> bool:
    """Whether a dependency is this file or a folder that it stands in."""
    return f"{file}/".startswith(f"{dep}/")


def problems(stage: dict[str, Any], engine: str = f"{ENGINES}/local") -> list[str]:
    """What a stage's dependencies lack, and what they have without need; `engine` is engine.code."""
    named = [dep if isinstance(dep, str) else next(iter(dep)) for dep in stage["deps"]]
    deps = [dep.replace("${engine.code}", engine) for dep in named]
    files = run = closure(scripts(stage))
    opens_engines = ROOT / "selfevolve/generation/engines.py" in files
    for dep, code in (("${engine.code}", engine), (ENGINES, ENGINES)):
        if dep in named and opens_engines:
            files = files | closure((ROOT / code).rglob("*.py"))
    code = [ROOT / dep for dep in deps if dep.startswith(CODE)]
    covered = [ROOT / dep for dep in deps if "${" not in dep]
    wrong = [
        f"missing: {file.relative_to(ROOT)}"
        for file in sorted(files.union(*map(loaded, run)))
        if not any(covers(dep, file) for dep in covered)
    ]
    if opens_engines and not {"${engine.code}", ENGINES} & set(named):
        wrong.append(f"missing: {ENGINES}")
    data = "testbed/tiny", "testbed/trained", "testbed/lessons.jsonl", "testbed/runs", "testbed/chat_template"
    wrong += [
        f"superfluous: {dep.relative_to(ROOT)}"
        for dep in code
        if not dep.relative_to(ROOT).as_posix().startswith(data)
        and not any(covers(dep, file) for file in files)
    ]
    wrong += [
        f"twice: {dep.relative_to(ROOT)}" for dep in code if any(dep in other.parents for other in code)
    ]
    return wrong
