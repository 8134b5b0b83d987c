"""Role cards: whom a seeker plays. A file of your own, or ESC-Eval's.

Your own file is JSON (a list of cards) or JSONL (one card a line); `name` must be there, and at least one of
the others but `id`:

    {"id": "c1", "name": "Ada", "profile": {"age": "34", "occupation": "nurse"}, "problem": "...",
     "description": "...", "facts": {"occupation": "nurse"}}

`profile` may also be a text. `facts` are a gold profile, phrases that seeker and supporter can both say as
they stand, under the names of `selfevolve.metrics.facts.FACTS`. ESC-Eval's file is a list of objects whose
`base` has the lines Age, Gender, Occupation and Problem; what it calls not mentioned is left out.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from selfevolve.metrics.facts import FACTS
from selfevolve.records.jsonl import read_json_lines
from selfevolve.records.schema import NonEmpty, Record
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import parse_json, read_text
from selfevolve.runtime.parameters import validate

_LINE = re.compile(r"(Age|Gender|Occupation|Problem)\s*:\s*(.*)", re.IGNORECASE | re.DOTALL)
_UNKNOWN = re.compile(r"(?:(?:unknown|none|n/a)\.?|not mentioned.*)?", re.IGNORECASE)
_SAID = ("profile", "problem", "description", "facts")


class Card(Record):
    """Whom a seeker plays. `name` is absent where the source gives none (ESC-Eval)."""

    id: NonEmpty
    name: NonEmpty | None = None
    profile: dict[str, str] = Field(default_factory=dict)
    problem: str = ""
    description: str = ""
    facts: dict[str, NonEmpty] = Field(default_factory=dict)

    @field_validator("id")
    @classmethod
    def _no_number(cls, value: str) -> str:
        if "#" in value:  # which separates a card from the number of its session
            raise ValueError(f"may not contain '#', got {json.dumps(value)}")
        return value

    @field_validator("profile", mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        """Let a profile be one text, or have numbers among its values."""
        if isinstance(value, str):
            return {"about": value} if value.strip() else {}
        if isinstance(value, Mapping):
            return {key: str(one) if isinstance(one, int | float) else one for key, one in value.items()}
        return value

    @field_validator("facts")
    @classmethod
    def _known(cls, value: dict[str, str]) -> dict[str, str]:
        if unknown := sorted(value.keys() - set(FACTS)):
            raise ValueError(f"has no fact named {unknown[0]}; there are {', '.join(FACTS)}")
        return {name: value[name] for name in FACTS if name in value}

    def text(self) -> str:
        """Return the card as its player reads it, one line for each thing that is known."""
        facts = {name: phrase for name, phrase in self.facts.items() if name not in self.profile}
        lines = {"name": self.name or "", **self.profile, "problem": self.problem, **facts}
        lines["more"] = self.description
        return "\n".join(f"- {name}: {text}" for name, text in lines.items() if text.strip())


def read_cards(path: Path) -> list[Card]:
    """Return the role cards of a file, sorted by id.

    Args:
        path: JSON or JSONL, in one of the layouts above.

    Returns:
        At least one card; no two have the same id.

    Raises:
        InputError: the file cannot be read, has no cards, or a card is not one; the message names the file,
            the card, the field and what is wanted.
    """
    cards: dict[str, Card] = {}
    for where, value in _objects(path):
        card = validate(Card, _as_card(value, path, where), file=path, record=where)
        if card.id in cards:
            message = f"{card.id!r} stands twice: give every card an id of its own"
            raise InputError(message, file=path, record=where, field="id")
        if not card.text().replace(f"- name: {card.name}", "").strip():
            message = f"says nothing of the seeker: give one of {', '.join(_SAID)}"
            raise InputError(message, file=path, record=where)
        cards[card.id] = card
    if not cards:
        raise InputError("has no role cards: give at least one", file=path)
    return [cards[identity] for identity in sorted(cards)]


def _objects(path: Path) -> list[tuple[str, object]]:
    """Return the values of a JSON list or of a JSONL file, and where each stands."""
    text = read_text(path)
    if text.lstrip().startswith("["):
        return [(f"card {number}", value) for number, value in enumerate(parse_json(text, path), start=1)]
    return [(f"line {number}", value) for number, value in read_json_lines(path)]


def _as_card(value: object, path: Path, where: str) -> dict[str, Any]:
    """Return an object in the fields of `Card`."""
    if not isinstance(value, dict):
        raise InputError("must be an object: a role card", file=path, record=where)
    if "base" in value:
        return _of_esc_eval(value, path, where)
    name = value.get("name")
    if not (isinstance(name, str) and name.strip()):
        raise InputError("missing: give every card the seeker's name", file=path, record=where, field="name")
    return {"id": name.strip(), **value, "name": name.strip()}


def _of_esc_eval(value: Mapping[str, Any], path: Path, where: str) -> dict[str, Any]:
    base, identity = value["base"], value.get("id")
    if not isinstance(base, str):
        raise InputError("must be the text of a role card", file=path, record=where, field="base")
    if not isinstance(identity, int | str):
        raise InputError("missing: give every card an id", file=path, record=where, field="id")
    found: dict[str, str] = {}
    for line in re.split(r"\n(?=(?:Age|Gender|Occupation|Problem)\s*:)", base.strip(), flags=re.IGNORECASE):
        if (matched := _LINE.fullmatch(line.strip())) is None:
            message = "each line must begin with Age, Gender, Occupation or Problem and a colon"
            raise InputError(message, file=path, record=where, field="base")
        text = " ".join(matched[2].split())
        if not _UNKNOWN.fullmatch(text):
            found[matched[1].lower()] = text
    return {"id": f"esc-eval-{identity}", "problem": found.pop("problem", ""), "profile": found}
