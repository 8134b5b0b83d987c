"""ServeForEmo: `dialogue[]` of `role`, `content` and an optional `strategy`, beside ESConv's labels.

The corpus is not public, so this layout is this project's own: whoever has the corpus brings it
into this form. A strategy is a name or a list of names; ESConv's are normalised.
"""

from typing import Any, Literal

from stages.dialogue.raw import Layout, RawTurn, Role, Text
from stages.dialogue.strategies import strategy_names

ROLES: dict[str, Role] = {
    "user": "seeker",
    "seeker": "seeker",
    "assistant": "supporter",
    "supporter": "supporter",
}


class Utterance(Layout):
    """One entry of `dialogue`."""

    role: Literal["user", "seeker", "assistant", "supporter"]
    content: Text
    strategy: Text | list[Text] | None = None


class ServeForEmoSession(Layout):
    """One session."""

    dialogue: list[Utterance]
    emotion_type: str | None = None
    problem_type: str | None = None
    situation: str | None = None

    def raw_turns(self) -> list[RawTurn]:
        """Return the utterances."""
        turns = [(ROLES[entry.role], entry) for entry in self.dialogue]
        return [
            RawTurn(role, entry.content, strategy_names(entry.strategy) if role == "supporter" else [])
            for role, entry in turns
        ]

    def described(self) -> dict[str, Any]:
        """Return emotion, problem and situation."""
        return {"emotion": self.emotion_type, "problem": self.problem_type, "situation": self.situation}
