"""Chat layouts: ShareGPT's `conversations[]` of `from`, `value`, and `messages[]` of `role`, `content`.

A system message may come first, or stand beside the turns as `system`; it is kept in
`meta["system"]` and is not a turn.
"""

from typing import Any, Literal

from pydantic import Field, field_validator

from stages.dialogue.raw import Layout, RawTurn, Role, Text

ChatRole = Literal["system", "human", "user", "seeker", "gpt", "assistant", "supporter"]
ROLES: dict[str, Role] = {
    "human": "seeker",
    "user": "seeker",
    "seeker": "seeker",
    "gpt": "supporter",
    "assistant": "supporter",
    "supporter": "supporter",
}


class ShareGptEntry(Layout):
    """One entry of `conversations`."""

    role: ChatRole = Field(alias="from")
    content: Text = Field(alias="value")


class Message(Layout):
    """One entry of `messages`."""

    role: ChatRole
    content: Text


class _Chat(Layout):
    system: str | None = None

    @field_validator("conversations", "messages", check_fields=False)
    @classmethod
    def _system_first(cls, entries: list[Any]) -> list[Any]:
        for index, entry in enumerate(entries[1:], start=1):
            if entry.role == "system":
                raise ValueError(f"entry {index} is a system message; one may only come first")
        return entries

    def _entries(self) -> list[Any]:
        raise NotImplementedError

    def raw_turns(self) -> list[RawTurn]:
        """Return the utterances without the system message."""
        return [RawTurn(ROLES[entry.role], entry.content) for entry in self._entries() if entry.role in ROLES]

    def described(self) -> dict[str, Any]:
        """Return the system message."""
        first = [entry.content for entry in self._entries()[:1] if entry.role == "system"]
        return {"system": "\n".join([self.system, *first] if self.system is not None else first) or None}


class ShareGptSession(_Chat):
    """One conversation in ShareGPT's layout."""

    conversations: list[ShareGptEntry]

    def _entries(self) -> list[Any]:
        return self.conversations


class MessagesSession(_Chat):
    """One conversation in the layout of chat interfaces."""

    messages: list[Message]

    def _entries(self) -> list[Any]:
        return self.messages
