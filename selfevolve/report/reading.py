"""One run as the report reads it: a working tree, or a commit that Git or DVC knows by name."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any

from selfevolve.report.table import NOT_AVAILABLE, without_folders
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import read_json, read_text, read_yaml

LOCKS = tuple(f"{at}dvc.lock" for at in ("", "data/", "stages/analyses/", "stages/judging/", "testbed/"))
WORKSPACE = "workspace"
RAW = "vanilla"  # the model that answers with the raw backbone
NOT_SAID = "not said"


@dataclass(frozen=True)
class Part:
    """An object in a JSON or YAML file, found under the keys `place`; an empty one where either is missing.

    `file` is the file as errors name it, and `there` tells whether it is there.
    """

    file: str
    value: Mapping[str, Any]
    there: bool = True
    place: tuple[str, ...] = ()

    def at(self, *keys: str) -> "Part":
        """Return a part of this one, an empty one where it is missing; InputError where it is no object."""
        part = self
        for key in keys:
            part = part._object(part.value.get(key), key)
        return part

    def parts(self) -> dict[str, "Part"]:
        """Return every part by its key; InputError where one is no object."""
        return {key: self.at(key) for key in self.value}

    def items(self, key: str) -> list[Any]:
        """Return a list, an empty one where it is missing; InputError where it is no list."""
        found = self.value.get(key, [])
        if not isinstance(found, list):
            raise self._error("is not a list", key)
        return found

    def objects(self, key: str) -> list["Part"]:
        """Return a list of objects; InputError where it is something else."""
        return [self._object(one, key) for one in self.items(key)]

    def number(self, *keys: str) -> float | None:
        """Return a number, None where it is missing or said to be; InputError where it is something else."""
        *above, last = keys
        part = self.at(*above)
        value = part.value.get(last)
        if value in (None, NOT_AVAILABLE):
            return None
        if is_number(value):
            return value
        raise part._error("is not a number", last)

    def interval(self) -> tuple[float, float] | None:
        """Return the numbers `low` and `high`, None where one is missing."""
        low, high = self.number("low"), self.number("high")
        return None if low is None or high is None else (low, high)

    def numbers(self, prefix: str = "") -> dict[str, float]:
        """Return all numbers by their dotted names, which begin with `prefix`."""
        found: dict[str, float] = {}
        for key, value in self.value.items():
            if isinstance(value, Mapping):
                found |= self.at(key).numbers(f"{prefix}{key}.")
            elif is_number(value):
                found[f"{prefix}{key}"] = value
        return found

    def said(self, key: str, otherwise: str = NOT_SAID) -> str:
        """Return a value as text."""
        return str(self.value.get(key, otherwise))

    def reasons(self) -> dict[str, str]:
        """Return the reasons for what is not available, without folders of this machine."""
        found = self.at("not_available").value
        return {name: without_folders(str(reason)) for name, reason in found.items()}

    def absences(self) -> list[str]:
        """Return a sentence for everything that is not available."""
        return [f"{self.file}: {name} is not available: {why}." for name, why in self.reasons().items()]

    def _object(self, value: Any, key: str) -> "Part":
        if not isinstance(value, Mapping | None):
            raise self._error("is not an object", key)
        return Part(self.file, value or {}, self.there, (*self.place, key))

    def _error(self, message: str, key: str) -> InputError:
        return InputError(message, file=self.file, field=".".join((*self.place, key)))


@dataclass(frozen=True)
class Run:
    """One run, whose files lie in the folder `root`: the folder `metrics` and the file of the parameters.

    `commit` is that of a revision, None for the files as they stand. `alone`: the report has no other run.
    """

    name: str = WORKSPACE
    root: Path = Path()
    metrics: str = "metrics"
    params_file: str = "params.yaml"
    commit: str | None = None
    alone: bool = True
    _files: dict[str, Part] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def params(self) -> Part:
        """The parameters; InputError where there are none, or they are no mapping."""
        found = self.file(self.params_file)
        if not found.there:
            raise InputError("no such file", file=found.file)
        return found

    @property
    def models(self) -> list[str]:
        """The models that the parameters name, in their order."""
        return list(self._registry("models"))

    @property
    def iterations(self) -> dict[str, Part]:
        """The iterations that the parameters name."""
        return self._registry("iterations")

    @property
    def backbone(self) -> str:
        """The backbone's name in conf/backbone/."""
        return self.setting("backbone", "name")

    @property
    def label(self) -> str:
        """The run's name with its backbone's."""
        return f"{self.name}: {self.backbone}"

    @property
    def behind(self) -> str:
        """What a caption ends with."""
        return "" if self.alone else f"; {self.label}"

    def says(self, sentence: str) -> str:
        """Return a sentence about this run, with its name before it where there are others."""
        return sentence[:1].upper() + sentence[1:] if self.alone else f"{self.label}: {sentence}"

    def setting(self, *keys: str) -> str:
        """Return one parameter as text, `not said` where it is not there."""
        *above, last = keys
        value = self.params.at(*above).value.get(last)
        return NOT_SAID if value is None else str(value)

    def chain(self, model: str) -> list[str]:
        """Return the models on the way to an iteration, the one that it all began with first."""
        found = [model]
        while found[0] in self.iterations and (previous := self.started_from(found[0])) not in found:
            found.insert(0, previous)
        return found

    def chains(self) -> list[list[str]]:
        """Return every chain of models that ends with an iteration from which no other goes on."""
        begun = {one.said("prev") for one in self.iterations.values()}
        return [self.chain(model) for model in self.iterations if model not in begun]

    def started_from(self, model: str) -> str:
        """Return the model that an iteration started from; of the raw backbone, the vanilla model."""
        previous = self.iterations[model].said("prev")
        return RAW if previous == "backbone" else previous

    def json(self, *parts: str) -> Part:
        """Return a metrics file by its path below the metrics folder, as `file` does."""
        return self.file(self.metrics_path(*parts))

    def jsons(self, folder: str) -> list[Part]:
        """Return the JSON files directly in a folder of the metrics, as `file` does."""
        return [self.file(path) for path in self.below(folder) if path.endswith(".json")]

    def file(self, path: str) -> Part:
        """Return the object in a file, of JSON or else of YAML; InputError where there is something else."""
        if path not in self._files:
            read, kind = (read_json, "JSON object") if path.endswith(".json") else (read_yaml, "mapping")
            file, where, there = self.root / path, self.where(path), self.has(path)
            try:
                value = read(file) if there else {}
            except InputError as error:
                raise InputError(str(error).removeprefix(f"{file}: "), file=where) from None
            if not isinstance(value, dict):
                raise InputError(f"not a {kind}", file=where)
            self._files[path] = Part(where, value, there)
        return self._files[path]

    def csv(self, *parts: str) -> list[dict[str, str]]:
        """Return the lines of a table below the metrics folder, none where there is no file."""
        return list(csv.DictReader(io.StringIO(self.text(self.metrics_path(*parts)))))

    def text(self, path: str) -> str:
        """Return a file's text, an empty one where there is no file."""
        return read_text(self.root / path) if self.has(path) else ""

    def has(self, path: str) -> bool:
        """Tell whether a file is there."""
        return (self.root / path).is_file()

    def below(self, *folder: str) -> list[str]:
        """Return the paths of the files directly in a folder of the metrics, sorted."""
        path = self.root / self.metrics_path(*folder)
        found = path.iterdir() if path.is_dir() else ()
        return sorted(self.metrics_path(*folder, file.name) for file in found if file.is_file())

    def metrics_path(self, *parts: str) -> str:
        """Return the path of a metrics file."""
        return "/".join([self.metrics, *parts])

    def where(self, path: str) -> str:
        """Return a path as errors name it, with the revision where it is of one."""
        return path if self.commit is None else f"{self.name}:{path}"

    def _registry(self, name: str) -> dict[str, Part]:
        found = self.params.value.get(name)
        if not isinstance(found, Mapping) or not all(isinstance(key, str) for key in found):
            raise InputError("is no mapping of names", file=self.params.file, field=name)
        return self.params.at(name).parts()


def open_runs(names: list[str], metrics: str, params: str, scratch: Path) -> list[Run]:
    """Return the runs of these names, `workspace` being the files on the disk; without a name, this one.

    Of a commit, the metrics, parameters and locks that Git holds are put below the empty folder `scratch`.
    A link among them is put there as a text: it leads nowhere.

    Raises:
        InputError: Git knows no such revision and DVC no such experiment.
    """
    different = list(dict.fromkeys(names or [WORKSPACE]))
    runs = []
    for at, name in enumerate(different):
        commit, root = None, Path()
        if name != WORKSPACE:
            files, root = _commit(name), scratch / str(at)
            commit = files.rev
            for path in filter(files.exists, (metrics, params, *LOCKS)):
                files.get(path, str(root / path), recursive=True)
        runs.append(Run(name, root, metrics, params, commit, alone=len(different) == 1))
    return runs


def _commit(name: str) -> Any:
    """Return the file system of a revision or else of an experiment, as DVC resolves names.

    Of several experiments with one name that of the commit that is checked out counts.
    """
    from dvc.scm import SCM, SCMError, resolve_rev  # here, since it takes a moment to load

    try:
        scm = SCM(".")
        return scm.get_fs(resolve_rev(scm, name))
    except SCMError as error:
        message = f"Git knows no such revision and DVC no such experiment: {error}"
        raise InputError(message, record=name) from None


def is_number(value: Any) -> bool:
    """Tell a finite number of JSON from everything else; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
