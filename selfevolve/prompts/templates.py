"""Read, check, fill in and hash the prompts, which are text files.

A folder holds a whole set, and a run reads one folder only: `prompts.dir` in params.yaml names it.
`prompts/paper` follows the structure of the paper's appendix E in this project's words; `prompts/tiny` is a
shorter set for the window of a tiny model.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from selfevolve.records.schema import STRATEGIES, Understanding
from selfevolve.runtime.digests import digest_value
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import read_text

# The placeholders that each prompt must have; those in _FIXED may stand in any of them.
PROMPTS: dict[str, set[str]] = {
    "plain": set(),
    "task": set(),
    "self_reflection": set(),
    "refine": set(),
    "refine_request": {"dialogue", "response"},
    "reflect": set(),
    "rewrite": {*Understanding.model_fields, "feedback", "response"},
    "shorter": {"words"},
}
_FIXED = {
    "strategy_names": ", ".join(STRATEGIES),
    "strategy_guidelines": "\n".join(
        f"{number}. {name}: {meaning}" for number, (name, meaning) in enumerate(STRATEGIES.items(), start=1)
    ),
}
_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True)
class Prompts:
    """The texts of a whole set of prompts, strategies filled in."""

    texts: dict[str, str]

    @property
    def digest(self) -> str:
        """SHA-256 of all texts."""
        return digest_value(self.texts)

    def text(self, name: str) -> str:
        """Return the prompt of that name; raise InputError if there is none."""
        if name not in self.texts:
            raise InputError(f"no prompt is named {name!r}; there are {', '.join(sorted(self.texts))}")
        return self.texts[name]

    def fill(self, name: str, **values: str) -> str:
        """Return a prompt with its placeholders replaced; placeholders within the values stay as they are."""
        return _PLACEHOLDER.sub(lambda match: values[match.group(1)], self.text(name))


def load_prompts(folder: Path | str) -> Prompts:
    """Read a whole set of prompts, such as `prompts/paper`.

    Raises:
        InputError: as load_texts.
    """
    return load_texts(PROMPTS, folder)


def load_texts(names: Mapping[str, set[str]], folder: Path | str) -> Prompts:
    """Read the text `<name>.txt` of every name from one folder, with the strategies filled in.

    Args:
        names: each text's name, and the placeholders that the text must have.
        folder: holds all of these files.

    Raises:
        InputError: a file is missing, has an unknown placeholder, or lacks one that it must have.
    """
    paths = {name: Path(folder) / f"{name}.txt" for name in names}
    if absent := [path for path in paths.values() if not path.is_file()]:
        raise InputError(
            f"no such file; the folder must hold a whole set: {', '.join(names)}", file=absent[0]
        )
    texts = {}
    for name, needed in names.items():
        path = paths[name]
        text = read_text(path).strip()
        found = set(_PLACEHOLDER.findall(text))
        if unknown := found - needed - _FIXED.keys():
            raise InputError("unknown placeholder", file=path, field=min(unknown))
        if missing := needed - found:
            raise InputError("missing placeholder", file=path, field=min(missing))
        texts[name] = _PLACEHOLDER.sub(lambda match: _FIXED.get(match.group(1), match.group(0)), text)
    return Prompts(texts)
