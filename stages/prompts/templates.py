"""The prompts as files: read, checked, filled in and hashed.

The files in `stages/prompts/templates/` follow the structure of the paper's appendix E in this project's
words. `prompts.dir` in the parameters names another folder; a file there takes the place of ours.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stages.prompts.strategies import strategy_guidelines, strategy_names
from stages.records.errors import InputError
from stages.records.fingerprint import digest_value
from stages.records.jsonl import read_text

TEMPLATES = Path(__file__).parent / "templates"
# The placeholders each prompt must have; the strategies may stand in any of them.
PROMPTS: dict[str, set[str]] = {
    "plain": set(),
    "task": set(),
    "self_reflection": set(),
    "refine": set(),
    "refine_request": {"dialogue", "response"},
}
_FIXED = {"strategy_names": strategy_names, "strategy_guidelines": strategy_guidelines}
_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True)
class Prompts:
    """The texts of all prompts, strategies filled in."""

    texts: dict[str, str]

    @property
    def digest(self) -> str:
        """SHA-256 of all texts; part of every fingerprint, so a changed prompt is never served old work."""
        return digest_value(self.texts)

    def text(self, name: str) -> str:
        """Return the prompt of that name; raise InputError if there is none."""
        if name not in self.texts:
            raise InputError(f"no prompt is named {name!r}; there are {', '.join(sorted(self.texts))}")
        return self.texts[name]

    def fill(self, name: str, **values: str) -> str:
        """Return a prompt with its placeholders replaced; what the values contain is not looked at again."""
        return _PLACEHOLDER.sub(lambda match: values[match.group(1)], self.text(name))


def load_prompts(folder: Path | str | None = None) -> Prompts:
    """Read every prompt, from `folder` where it has the file `<name>.txt` and else from this package.

    Raises:
        InputError: as load_texts.
    """
    return load_texts(PROMPTS, TEMPLATES, folder)


def load_texts(names: Mapping[str, set[str]], ours: Path, folder: Path | str | None = None) -> Prompts:
    """Read texts, from `folder` where it has the file `<name>.txt` and else from the folder `ours`.

    Args:
        names: the name of every text, and the placeholders that it must have.
        ours: a folder that has all of them.
        folder: one that may have some.

    Raises:
        InputError: the folder is missing or has none of the texts, a placeholder is unknown, or one
            that a text needs is missing.
    """
    folder = Path(folder) if folder else None
    own = {name for name in names if folder and (folder / f"{name}.txt").exists()}
    if folder and not own:
        raise InputError(f"holds none of {', '.join(sorted(f'{name}.txt' for name in names))}", file=folder)
    texts = {}
    for name, needed in names.items():
        path = (folder if folder and name in own else ours) / f"{name}.txt"
        text = read_text(path).strip()
        found = set(_PLACEHOLDER.findall(text))
        if unknown := found - needed - _FIXED.keys():
            raise InputError("unknown placeholder", file=path, field=min(unknown))
        if missing := needed - found:
            raise InputError("missing placeholder", file=path, field=min(missing))
        texts[name] = _PLACEHOLDER.sub(_fill_fixed, text)
    return Prompts(texts)


def _fill_fixed(match: re.Match[str]) -> str:
    name = match.group(1)
    return _FIXED[name]() if name in _FIXED else match.group(0)
