"""Let seekers and supporters talk: all sessions advance together, turn by turn.

So the longest list of requests that there is goes to an engine at once. Whoever speaks knows nothing of the
other: a seeker reads what the supporters said and says the next turns, and so does a supporter.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from pydantic import Field, field_validator

from selfevolve.generation.request import ResponseParams
from selfevolve.records.schema import Message, NonEmpty
from selfevolve.sessions.cards import Card
from selfevolve.sessions.session import Ended, Session, SessionTurn, as_messages

MOST_TURNS = 50


class ConverseParams(ResponseParams):
    """Section `converse` of params.yaml.

    `sessions` are held in all, over as many cards as there are. `turns` are the least and the most supporter
    turns of a session. `resistant` is the share of sessions, 0 to 1, whose seeker is hard to reach.
    `attempts`, `sampling`, `prompts` and `seeker` (an engine, as for a judge) are those of a model that plays
    seekers.
    """

    seed: int = Field(ge=0)
    sessions: int = Field(ge=1)
    turns: list[int] = Field(min_length=2, max_length=2)
    resistant: float = Field(ge=0, le=1)
    cards: NonEmpty
    prompts: NonEmpty
    seeker: dict[str, Any]

    @field_validator("turns")
    @classmethod
    def _in_range(cls, value: list[int]) -> list[int]:
        if not 1 <= value[0] <= value[1] <= MOST_TURNS:
            raise ValueError(f"must be the least and the most turns, from 1 to {MOST_TURNS}, got {value}")
        return value


@dataclass(frozen=True)
class Said:
    """A seeker's turn. Without a text the player failed; `leaves` says why it is the seeker's last one."""

    text: str | None
    emotion: int | None = None
    disclosed: list[str] | None = None
    leaves: Literal["relieved", "gave_up"] | None = None


@dataclass
class Talk:
    """A session that is going on. `length` is the most supporter turns; `seed` is that of the run."""

    id: str
    card: Card
    seed: int
    length: int
    resistant: bool
    turns: list[SessionTurn] = field(default_factory=list)
    ended: Ended | None = None

    @property
    def turn_id(self) -> str:
        """The name of the turn that comes next, for requests and their seeds."""
        return f"{self.id}#{len(self.turns)}"

    @property
    def answers(self) -> list[str]:
        """What the supporter has said so far."""
        return [turn.text for turn in self.turns if turn.role == "supporter"]

    def messages(self) -> list[Message]:
        """Return the turns as the supporter reads them."""
        return as_messages(self.turns)

    def hear_seeker(self, said: Said) -> None:
        """Add a seeker's turn; the talk may end with it."""
        if said.text is None:
            self.ended = "lost"
            return
        turn = SessionTurn(role="seeker", text=said.text, emotion=said.emotion, disclosed=said.disclosed)
        self.turns.append(turn)
        if said.leaves is not None:
            self.ended = said.leaves
        elif len(self.answers) == self.length:
            self.ended = "length"

    def hear_supporter(self, text: str) -> None:
        """Add a supporter's turn; an empty text is one without an answer."""
        self.turns.append(SessionTurn(role="supporter", text=text))


class Seeker(Protocol):
    """Plays the seekers of talks."""

    name: str
    """Who plays: two models' sessions are comparable only with the same player."""
    counts: Counter[str]
    """What went wrong so far, and how often."""

    def speak(self, talks: Sequence[Talk]) -> list[Said]:
        """Return the next seeker turn of every talk, in their order; it depends on each talk alone."""
        ...


class Supporter(Protocol):
    """Answers the seekers of talks."""

    name: str
    counts: Counter[str]

    def reply(self, talks: Sequence[Talk]) -> list[str]:
        """Return the next supporter turn of every talk, in their order; empty where there is no answer."""
        ...


def plan_talks(cards: Sequence[Card], params: ConverseParams) -> list[Talk]:
    """Return the talks to hold: cards in a drawn order, and again with other seeds until there are enough.

    What a talk is like depends on the seed, its card and its number alone. So a session more leaves the
    others as they are, and every model gets the same ones.
    """
    order = sorted(cards, key=lambda card: random.Random(f"{params.seed}/card/{card.id}").random())
    talks = []
    for number in range(params.sessions):
        card = order[number % len(order)]
        identity = f"{card.id}#{number // len(order)}"
        draw = random.Random(f"{params.seed}/session/{identity}")
        length, resistant = draw.randint(*params.turns), draw.random() < params.resistant
        talks.append(Talk(identity, card, params.seed, length, resistant))
    return talks


def hold(talks: Sequence[Talk], seeker: Seeker, supporter: Supporter) -> None:
    """Let the two talk until every talk has ended; the seeker speaks first and last."""
    going = list(talks)
    while going:
        for talk, said in zip(going, seeker.speak(going), strict=True):
            talk.hear_seeker(said)
        going = [talk for talk in going if talk.ended is None]
        if going:
            for talk, text in zip(going, supporter.reply(going), strict=True):
                talk.hear_supporter(text)


def as_sessions(talks: Sequence[Talk], seeker: str, supporter: str) -> list[Session]:
    """Return the records of talks that have ended, but for those without a single supporter turn.

    A player who failed leaves a supporter's turn unanswered; it stays, as the session's last one.
    """
    return [
        Session(
            id=talk.id,
            supporter=supporter,
            seeker=seeker,
            seed=talk.seed,
            length=talk.length,
            resistant=talk.resistant,
            ended=talk.ended or "lost",
            turns=talk.turns,
            facts=talk.card.facts or None,
        )
        for talk in talks
        if talk.answers
    ]
