"""params.yaml: composed from the groups in conf/ by DVC's Hydra, with single parameters set in it.

A run reads params.yaml and no other file. Composing it anew would lose what a user edited in it by hand, so
an edit stops the command before anything is written.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import publishing, read_yaml

PARAMS = Path("params.yaml")
LAST = Path(".scratch/params.last.yaml")  # params.yaml as the last run made or left it
GROUPS = ("backbone", "data", "engine", "hardware", "judge", "loss", "scale")


def resolve_params(groups: Mapping[str, str], overrides: Sequence[str]) -> None:
    """Compose params.yaml if groups are named, then set single parameters in it.

    Args:
        groups: group to the name of a file in `conf/<group>/`; what is not named keeps its default. Without
            any group params.yaml stays as the user left it.
        overrides: Hydra's `key=value`, with dotted keys.

    Raises:
        InputError: a group or a parameter does not exist, or composing would lose edits made by hand.
    """
    check_groups(groups)
    if groups and (edits := hand_edits()):
        message = f"composing would lose hand edits of {', '.join(edits)}: run without {_flags(groups)}, "
        message += "give them with SET=, or undo them with `git checkout params.yaml`"
        raise InputError(message, file=PARAMS)
    with tempfile.TemporaryDirectory(dir=".", prefix=".params-") as folder:
        draft = Path(folder) / PARAMS.name
        draft_params(groups, overrides, draft)
        os.replace(draft, PARAMS)
    if groups:
        remember_params()  # a run that is ended from here on is continued by the same command
        print(f"params.yaml composed of conf/: {_flags(groups)}")


def check_groups(groups: Mapping[str, str]) -> None:
    """Raise InputError unless conf/ has a file for each of these groups."""
    for group, name in groups.items():
        if not Path("conf", group, f"{name}.yaml").exists():
            known = ", ".join(sorted(path.stem for path in Path("conf", group).glob("*.yaml")))
            raise InputError(f"there is no {name}.yaml; there are {known}", file=f"conf/{group}")


def draft_params(groups: Mapping[str, str], overrides: Sequence[str], path: Path) -> None:
    """Write to `path` what resolve_params would make of params.yaml; arguments and errors as there."""
    if groups:
        compose(groups, path)
    else:
        shutil.copyfile(PARAMS, path)
    if overrides := [one for one in overrides if not _holds(path, one)]:
        from dvc.utils.hydra import apply_overrides

        try:
            apply_overrides(path, overrides)
        except Exception as error:  # DVC and Hydra have no common base for what can be wrong here
            reason = error.__cause__ or error
            raise InputError(f"{reason} in {' '.join(overrides)}", file=PARAMS) from None


def compose(groups: Mapping[str, str], path: Path) -> None:
    """Write the parameters that conf/ gives for these groups; what is not named keeps its default."""
    from dvc.utils.hydra import compose_and_dump
    from dvc.utils.serialize import modify_yaml

    overrides = [f"{group}={name}" for group, name in groups.items()]
    compose_and_dump(str(path), str(Path("conf").resolve()), None, "config", ".dvc/hydra_plugins", overrides)
    with modify_yaml(path):
        pass  # rewritten in the style in which a parameter is set: setting one then changes its line alone


def remember_params() -> None:
    """Keep params.yaml as this run made or left it, so that the next one knows what was edited since."""
    with publishing(LAST) as temporary:
        shutil.copyfile(PARAMS, temporary)


def hand_edits() -> list[str]:
    """Return the dotted names of parameters that neither the last run nor the committed file had."""
    current = _flat(read_yaml(PARAMS))
    known = [_flat(read_yaml(LAST))] if LAST.exists() else []
    committed = subprocess.run(["git", "show", f"HEAD:{PARAMS}"], capture_output=True, text=True, check=False)
    if committed.returncode == 0:
        known.append(_flat(yaml.safe_load(committed.stdout)))
    differing = [
        [key for key in current.keys() | old.keys() if key != "headline" and current.get(key) != old.get(key)]
        for old in known or [{}]
    ]
    return sorted(min(differing, key=len))


def _holds(path: Path, override: str) -> bool:
    """Whether the file holds this value already: then DVC's Hydra need not be loaded."""
    key, _, text = override.partition("=")
    return text != "" and _flat(read_yaml(path)).get(key) == yaml.safe_load(text)


def _flags(groups: Mapping[str, str]) -> str:
    return " ".join(f"{group.upper()}={name}" for group, name in groups.items())


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    parts = [_flat(part, f"{prefix}.{key}" if prefix else str(key)) for key, part in value.items()]
    return {key: leaf for part in parts for key, leaf in part.items()}
