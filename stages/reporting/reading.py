"""One run as the report reads it: its parameters, its metrics files, numbers out of them."""

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import yaml

from stages.records.errors import InputError
from stages.reporting.files import Files, Layout, Revision, WorkingTree, resolve

WORKSPACE = "workspace"


@dataclass(frozen=True)
class Run:
    """One run: its name, its files, and where they lie."""

    name: str
    files: Files
    layout: Layout = field(default_factory=Layout)
    alone: bool = True

    @cached_property
    def params(self) -> dict[str, Any]:
        """Return the parameters.

        Raises:
            InputError: there are none, or they are not a mapping.
        """
        text = self.files.read(self.layout.params)
        if text is None:
            raise InputError("no such file", file=self.where(self.layout.params))
        return self._mapping(self.layout.params, text)

    @property
    def models(self) -> list[str]:
        """The models that the parameters name, in their order."""
        return list(self._section("models"))

    @property
    def iterations(self) -> Mapping[str, Mapping[str, Any]]:
        """The iterations that the parameters name."""
        found = self._section("iterations")
        return {name: mapping(found, name, file=self.where(self.layout.params)) for name in found}

    @property
    def backbone(self) -> str:
        """The backbone's name in conf/backbone/."""
        return str(self.setting("backbone", "name"))

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

    def setting(self, *keys: str) -> Any:
        """Return one parameter, `not said` where it is not there."""
        value: Any = self.params
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        return "not said" if value is None else value

    def json(self, *parts: str) -> dict[str, Any] | None:
        """Return a metrics file by its path below the metrics folder, None where there is none.

        Raises:
            InputError: it is not a JSON object.
        """
        return self.json_at(self.metrics_path(*parts))

    def json_at(self, path: str) -> dict[str, Any] | None:
        """Return a JSON object by its path, as `json` does."""
        text = self.files.read(path)
        if text is None:
            return None
        try:
            value = json.loads(text, parse_constant=_no_number)
        except ValueError as error:
            raise InputError(f"not JSON: {error}", file=self.where(path)) from None
        if not isinstance(value, dict):
            raise InputError("not a JSON object", file=self.where(path))
        return value

    def csv(self, *parts: str) -> list[dict[str, str]] | None:
        """Return the lines of a table below the metrics folder, None where there is none."""
        text = self.files.read(self.metrics_path(*parts))
        return None if text is None else list(csv.DictReader(io.StringIO(text)))

    def yaml_at(self, path: str) -> dict[str, Any] | None:
        """Return a YAML mapping by its path, None where there is none; InputError where it is none."""
        text = self.files.read(path)
        return None if text is None else self._mapping(path, text)

    def metrics_path(self, *parts: str) -> str:
        """Return the path of a metrics file."""
        return "/".join([self.layout.metrics, *parts])

    def where(self, path: str) -> str:
        """Return a path as errors name it, with the revision where it is of one."""
        return path if isinstance(self.files, WorkingTree) else f"{self.name}:{path}"

    def _section(self, name: str) -> Mapping[str, Any]:
        found = self.params.get(name)
        if not isinstance(found, Mapping) or not all(isinstance(key, str) for key in found):
            raise InputError("is no mapping of names", file=self.where(self.layout.params), field=name)
        return found

    def _mapping(self, path: str, text: str) -> dict[str, Any]:
        try:
            value = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        except yaml.YAMLError as error:
            raise InputError(f"not YAML: {error}", file=self.where(path)) from None
        if not isinstance(value, dict):
            raise InputError("not a mapping", file=self.where(path))
        return value


def open_runs(names: list[str], layout: Layout) -> list[Run]:
    """Return the runs of these names, `workspace` being the files on the disk; of no name, this one.

    Raises:
        InputError: Git knows no such revision and DVC no such experiment.
    """
    runs = []
    different = list(dict.fromkeys(names or [WORKSPACE]))
    for name in different:
        files = WorkingTree() if name == WORKSPACE else Revision(resolve(name), layout)
        runs.append(Run(name, files, layout, alone=len(different) == 1))
    return runs


def number(document: Mapping[str, Any] | None, *keys: str, file: str) -> float | None:
    """Return a number by its place in a JSON object, None where it is not there or null.

    Raises:
        InputError: what is there is no number.
    """
    value: Any = document
    for at, key in enumerate(keys):
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise InputError("is not an object", file=file, field=".".join(keys[:at]))
        value = value.get(key)
    if value is None:
        return None
    if not is_number(value):
        raise InputError("is not a number", file=file, field=".".join(keys))
    return value


def is_number(value: Any) -> bool:
    """Tell a number of JSON from everything else; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def mapping(document: Mapping[str, Any] | None, *keys: str, file: str) -> dict[str, Any]:
    """Return an object by its place in a JSON object, an empty one where it is not there or null.

    Raises:
        InputError: what is there is no object.
    """
    value: Any = document
    for at, key in enumerate(("", *keys)):
        value = value.get(key) if at else value
        value = {} if value is None else value
        if not isinstance(value, Mapping):
            raise InputError("is not an object", file=file, field=".".join(keys[:at]) or None)
    return dict(value)


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number")
