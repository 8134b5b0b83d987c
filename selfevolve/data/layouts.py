"""The layouts that corpora of dialogues come in, and the raw dialogue that all of them give.

`LAYOUTS` names each layout by the field that holds the turns: those of ESCoT, ESConv, ServeForEmo, ShareGPT,
chat messages and ExTES. ServeForEmo is not public, so its layout is this project's own: whoever has the
corpus brings it into this form.

The words for the seeker, the supporter and a system message are the same in every layout. A word in any case,
with `-` or `_` for a space, is looked up in what the user says (`prepare.roles`), then in `ROLES`, which
roles.yaml lists.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AliasPath,
    BaseModel,
    ConfigDict,
    Field,
    RootModel,
    ValidationInfo,
    create_model,
    field_validator,
    model_validator,
)

from selfevolve.records.schema import STRATEGIES
from selfevolve.records.texts import Text, visible
from selfevolve.runtime.files import read_yaml

PARAMETER = "prepare.roles"
Role = Literal["seeker", "supporter"]
Speaker = Literal["seeker", "supporter", "system"]
_WORDS: dict[Speaker, list[str]] = read_yaml(Path(__file__).with_name("roles.yaml"))
ROLES: dict[str, Speaker] = {word: role for role, words in _WORDS.items() for word in words}
_BY_LOWER_CASE = {name.lower(): name for name in STRATEGIES}


def known_as(word: str) -> str:
    """Return a word for a speaker as it is looked up: without what does not tell words apart."""
    return " ".join(visible(word).casefold().replace("-", " ").replace("_", " ").split())


def speaker(word: str, named: Mapping[str, Speaker] | None) -> Speaker:
    """Return who speaks under a word of a corpus.

    Args:
        word: the word as the corpus has it.
        named: what the user says of words, which counts before `ROLES`; keys as `known_as` gives them.

    Raises:
        ValueError: nobody is known by this word; the message names it and the parameter.
    """
    known = known_as(word)
    if (found := (named or {}).get(known) or ROLES.get(known)) is None:
        raise ValueError(f"unknown role {json.dumps(word)}: say in {PARAMETER} whether seeker or supporter")
    return found


def _looked_up(named: dict[str, Speaker]) -> dict[str, Speaker]:
    found = {known_as(word): role for word, role in named.items()}
    if len(found) < len(named):
        raise ValueError(f"the same role twice: {', '.join(named)}")
    return found


Roles = Annotated[dict[str, Speaker], AfterValidator(_looked_up)]


class RoleParams(BaseModel):
    """What a stage with a section of its own reads of section `prepare`: words and who speaks under them."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    roles: Roles | None = None


def named_visibly(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record with the names of its fields as one sees them, without invisible characters.

    Raises:
        ValueError: two fields have the same name then.
    """
    named = {visible(name): value for name, value in record.items()}
    if len(named) < len(record):
        raise ValueError(f"the same field twice: {', '.join(record)}")
    return named


@dataclass(frozen=True)
class RawTurn:
    """One utterance; its text may be blank and its neighbours may be of the same speaker."""

    role: Role
    text: str
    strategies: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class RawDialogue:
    """Utterances in the file's order, with at least one of each speaker."""

    id: str
    source: str
    turns: list[RawTurn]
    meta: dict[str, Any]


class Shape(BaseModel):
    """Values are not coerced, and fields that are not read are ignored (such as ESConv's surveys)."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _names(cls, record: object) -> object:
        return named_visibly(record) if isinstance(record, dict) else record


class Entry(Shape):
    """One utterance, or a system message, which is no turn; the layouts name these fields differently.

    `role` becomes a speaker; the context of the validation is the user's words.
    """

    role: str
    text: Text
    strategy: Text | list[Text] | None = None

    @field_validator("role")
    @classmethod
    def _speaker(cls, word: str, info: ValidationInfo) -> str:
        return speaker(word, info.context)

    def turns(self) -> list[RawTurn]:
        """Return the turn; ESConv's strategies have the paper's capitals, and only supporters have any."""
        if self.role == "system":
            return []
        if self.role == "seeker":
            return [RawTurn("seeker", self.text)]
        annotated = [self.strategy] if isinstance(self.strategy, str) else self.strategy or []
        names = [name for name in map(visible, annotated) if name]
        return [RawTurn("supporter", self.text, [_BY_LOWER_CASE.get(name.lower(), name) for name in names])]


class _ExtesEntry(RootModel[dict[str, Text | None]]):
    """{"User"}, or {"AI Strategy", "AI"}; a strategy that is empty or null means none.

    Any words for the speakers may stand for User and AI, and `Strategy` alone for AI Strategy.
    """

    model_config = ConfigDict(strict=True, frozen=True)

    @field_validator("root")
    @classmethod
    def _speakers(cls, entry: dict[str, str | None], info: ValidationInfo) -> dict[str, str | None]:
        """Return the texts by `seeker`, `supporter` and `strategy`; refuse what is no utterance."""
        found: dict[str, str | None] = {}
        for key, text in entry.items():
            name = "strategy" if visible(key).casefold().endswith("strategy") else speaker(key, info.context)
            if name in found:
                raise ValueError(f"the same speaker twice: {', '.join(entry)}")
            if name == "system":
                raise ValueError(f"{key} is a system message, which this layout does not have")
            if text is None and name != "strategy":
                raise ValueError(f"{key} should be a string, got null")
            found[name] = text
        if not found.keys() - {"strategy"}:
            raise ValueError("missing field: neither User nor AI")
        return found

    def turns(self) -> list[RawTurn]:
        """Return one turn a speaker, in the order of the keys; ExTES's own strategy names are kept."""
        strategy = visible(self.root.get("strategy") or "")
        turns: list[RawTurn] = []
        for name, text in self.root.items():
            if name == "seeker":
                turns.append(RawTurn("seeker", text or ""))
            elif name == "supporter":
                turns.append(RawTurn("supporter", text or "", [strategy] if strategy else []))
        return turns


class Layout(Shape):
    """Base of the layouts: turns are required; descriptions are optional and named as in `Dialogue.meta`."""

    entries: list[Any]
    source_id: str | int | None = Field(None, alias="id")
    emotion: str | None = Field(None, alias="emotion_type")
    problem: str | None = Field(None, alias="problem_type")
    situation: str | None = None
    experience: str | None = Field(None, alias="experience_type")
    scene: str | None = None
    description: str | None = None
    system: str | None = None
    profile: dict[str, Any] | None = None

    @field_validator("entries")
    @classmethod
    def _system_first(cls, entries: list[Any]) -> list[Any]:
        for index, entry in enumerate(entries[1:], start=1):
            if _is_system(entry):
                raise ValueError(f"entry {index} is a system message; one may only come first")
        return entries

    def turns(self) -> list[RawTurn]:
        """Return the utterances in order."""
        return [turn for entry in self.entries for turn in entry.turns()]

    def meta(self) -> dict[str, Any]:
        """Return what the record says of the dialogue; a system message among the turns joins the other."""
        first = [entry.text for entry in self.entries[:1] if _is_system(entry)]
        system = "\n".join([*([] if self.system is None else [self.system]), *first]) or None
        found = {**dict(self), "system": system, "entries": None}
        return {name: value for name, value in found.items() if value is not None}


def _is_system(entry: object) -> bool:
    return isinstance(entry, Entry) and entry.role == "system"


def _layout(field: str, entry: type[BaseModel]) -> type[Layout]:
    return create_model(field, __base__=Layout, entries=(list[entry], Field(alias=field)))


def _entry(role: str, text: str, strategy: AliasPath | str | None = None) -> type[Entry]:
    """Make the entry of a layout from the names of its fields."""
    fields: dict[str, Any] = {"role": (str, Field(alias=role)), "text": (Text, Field(alias=text))}
    if strategy:
        fields["strategy"] = (Text | list[Text] | None, Field(None, validation_alias=strategy))
    return create_model("Entry", __base__=Entry, **fields)


_SPOKEN = _entry("speaker", "content", AliasPath("annotation", "strategy"))


class _Escot(_layout("original_data", _SPOKEN)):  # type: ignore[misc]  # a class that was made, as all of them
    """ESCoT keeps a dialogue in an object, and beside it the response that comes next, with its strategy."""

    @field_validator("entries", mode="before")
    @classmethod
    def _with_response(cls, data: object) -> object:
        if not isinstance(data, dict) or not isinstance(data.get("dialog"), list):
            raise ValueError("should be an object with a list `dialog`")
        if "response" not in data:
            raise ValueError("missing field: response")
        response = {"speaker": "supporter", "content": data["response"]}
        return [*data["dialog"], {**response, "annotation": {"strategy": data.get("strategy")}}]


# `content` is last: it is the commonest word.
LAYOUTS: dict[str, type[Layout]] = {
    "original_data": _Escot,
} | {
    field: _layout(field, entry)
    for field, entry in {
        "dialog": _SPOKEN,
        "dialogue": _entry("role", "content", "strategy"),
        "conversations": _entry("from", "value"),
        "messages": _entry("role", "content"),
        "content": _ExtesEntry,
    }.items()
}
