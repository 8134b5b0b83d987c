"""The graph that DVC makes of all dvc files with some parameters, in a folder of its own."""

import shutil
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import networkx
import yaml
from dvc.repo import Repo

from tests.conftest import DVC_FILES, ROOT


class Graph:
    """Stages by their addresses, such as `train@m1` and `stages/analyses/dvc.yaml:phrases@m0`."""

    def __init__(self, folder: Path, params: dict[str, Any]):
        for name in ("dvc.yaml", *DVC_FILES, "testbed/params.yaml"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
        text = yaml.dump(params, Dumper=yaml.CSafeDumper, sort_keys=False)
        (folder / "params.yaml").write_text(text, encoding="utf-8")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of libraries that DVC uses
            Repo.init(str(folder), no_scm=True)
            edges = Repo(str(folder)).index.graph  # from a stage to those it depends on
        addresses = {stage: f"{stage.path_in_repo}:{stage.name}".removeprefix("dvc.yaml:") for stage in edges}
        self.edges = networkx.relabel_nodes(edges, addresses)
        self.stages = {address: stage for stage, address in addresses.items()}

    def needed(self, address: str) -> set[str]:
        """The stages that this one depends on, however far."""
        return networkx.descendants(self.edges, address)

    def upstream(self, targets: Iterable[str]) -> set[str]:
        """The stages that `dvc repro` would look at for these targets."""
        return {name for target in targets for name in (target, *self.needed(target))}
