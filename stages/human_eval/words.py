"""The words of the pages themselves, a YAML file a language; a study's own stand in the study's file."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent / "words"
FALLBACK = "en"


class Words:
    """`words.send` and `words["send"]` are a sentence; `words("turns", done=3)` fills its places in."""

    def __init__(self, language: str, sentences: dict[str, str]):
        """Take the sentences of one language."""
        self.language = language
        self._sentences = sentences

    def __getattr__(self, name: str) -> str:
        """Return a sentence by its name."""
        try:
            return self._sentences[name]
        except KeyError:
            raise AttributeError(name) from None

    def __getitem__(self, name: str) -> str:
        """Return a sentence by its name."""
        return self._sentences[name]

    def get(self, name: str, other: str) -> str:
        """Return a sentence by its name, or the one with the other name where there is none."""
        return self._sentences.get(name) or self._sentences[other]

    def __call__(self, name: str, **facts: Any) -> str:
        """Return a sentence with its places filled in."""
        return self._sentences[name].format(**facts)


@cache
def words(language: str) -> Words:
    """Return the words of a language, English where the pages do not speak it."""
    found = language if language in spoken() else FALLBACK
    path = FOLDER / f"{found}.yaml"
    return Words(found, yaml.safe_load(path.read_text(encoding="utf-8")))


@cache
def spoken() -> tuple[str, ...]:
    """Return the languages of the pages."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))
