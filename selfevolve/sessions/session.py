"""The record of a session: who talked, what was said, and how the seeker felt."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from selfevolve.records.schema import Message, NonEmpty, Record
from selfevolve.records.texts import Text

CALM, DISTRESSED = 1, 5
"""The ends of the scale of emotion levels."""
SILENCE = "..."
"""What the other reads where a supporter gave no answer."""


Ended = Literal["length", "relieved", "gave_up", "lost"]


class SessionTurn(Record):
    """One turn. A supporter's text is empty where the supporter gave no answer.

    `emotion` is the seeker's level when the turn is said, from 1 (calm) to 5 (in great distress), absent
    where it is not known. `disclosed` are the names of the facts that a seeker's turn tells for the first
    time, absent where the card has no facts.
    """

    role: Literal["seeker", "supporter"]
    text: Text
    emotion: int | None = Field(default=None, ge=CALM, le=DISTRESSED)
    disclosed: list[str] | None = None


class Session(Record):
    """A session between a seeker and a supporter, who alternate from a seeker turn on.

    `id` is `<card>#<number>`; the number tells the sessions of a card apart, and each has its own seed.
    `seeker` says who played the seeker and `seed` is that of the run: two models' sessions are comparable
    where both agree. `length` is the most supporter turns that it could have. `ended` says what ended it:
    that `length`, a seeker who left `relieved` or `gave_up`, or one whose player gave no usable turn any more
    (`lost`). `facts` are those of the card, by name.
    """

    id: NonEmpty
    supporter: NonEmpty
    seeker: NonEmpty
    seed: int = Field(ge=0)
    length: int = Field(ge=1)
    resistant: bool
    ended: Ended
    turns: list[SessionTurn] = Field(min_length=2)
    facts: dict[str, NonEmpty] | None = None

    def said_by_supporter(self) -> str:
        """Return all that the supporter said, a line each turn."""
        return "\n".join(turn.text for turn in self.turns if turn.role == "supporter")


def as_messages(turns: Sequence[SessionTurn]) -> list[Message]:
    """Return turns as a supporter reads them: the seeker is the user."""
    roles: dict[str, Literal["user", "assistant"]] = {"seeker": "user", "supporter": "assistant"}
    return [Message(role=roles[turn.role], content=turn.text or SILENCE) for turn in turns]
