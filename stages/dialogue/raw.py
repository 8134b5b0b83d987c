"""A dialogue as its file tells it, before cleaning, and what every file layout must offer."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict

Role = Literal["seeker", "supporter"]


def _whole_characters(text: str) -> str:
    # JSON's \ud83d alone gives half a character, which no UTF-8 file can hold. pydantic lets it pass.
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"half a character (lone surrogate) at position {error.start}") from None
    return text


Text = Annotated[str, AfterValidator(_whole_characters)]


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


class Layout(BaseModel):
    """Base of the file layouts: values are not coerced, fields that are not read are ignored.

    What makes a record a dialogue is required; what describes it (emotion, scene ...) is optional.
    `profile` is the seeker's hidden profile in generated data.
    """

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)

    id: str | int | None = None
    profile: dict[str, Any] | None = None

    def raw_turns(self) -> list[RawTurn]:
        """Return the utterances in order; seekers' utterances carry no strategies."""
        raise NotImplementedError

    def described(self) -> dict[str, Any]:
        """Return what the record says of the dialogue, under this project's names; None = not said."""
        return {}

    def meta(self) -> dict[str, Any]:
        """Return `described()`, the record's own id as `source_id` and the profile, where given."""
        everything = {"source_id": self.id, **self.described(), "profile": self.profile}
        return {name: value for name, value in everything.items() if value is not None}
