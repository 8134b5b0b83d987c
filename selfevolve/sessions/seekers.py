"""A model that plays the seeker of a role card: a policy in this process, or a server's model.

Models that play seekers agree too readily and feel better whatever is said, so a share of them is told to be
hard to reach. The emotion level is asked for in a question of its own, after each turn, which no supporter
sees; it is JSON, read like a judge's score.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from selfevolve.generation.generate import Outcome, ask
from selfevolve.judge.answers import parse_verdict
from selfevolve.judge.engine import Judge, load_judge
from selfevolve.judge.verdicts import Score
from selfevolve.metrics.facts import Vocabulary
from selfevolve.prompts.response_text import read_response_text
from selfevolve.prompts.templates import Prompts, load_texts
from selfevolve.records.schema import Message, Response
from selfevolve.records.texts import after_thinking
from selfevolve.runtime.errors import ParseError
from selfevolve.sessions.session import SILENCE
from selfevolve.sessions.supporters import STAGE
from selfevolve.sessions.talk import ConverseParams, Said, Talk

T = TypeVar("T")

PROMPTS: dict[str, set[str]] = {
    "seeker": {"card", "manner"},
    "open": set(),
    "resistant": set(),
    "opening": set(),
    "emotion": set(),
}
"""The files without .txt and their placeholders: `seeker` is the system message, in which `open` or
`resistant` says how the seeker is; `opening` is what the seeker first reads; `emotion` asks for the level."""


class ModelSeeker:
    """Plays seekers with a model; every answer goes through a journal."""

    def __init__(self, player: Judge, prompts: Prompts, params: ConverseParams):
        """Take the model that plays, the texts of PROMPTS, and how to ask."""
        self.name = f"{player.engine.model} {prompts.digest[:12]}"
        self.counts: Counter[str] = Counter()
        self._player, self._prompts, self._params = player, prompts, params

    def speak(self, talks: Sequence[Talk]) -> list[Said]:
        """Say the next turn of all talks at once, then ask for the level of each; raises as the engine."""
        asked = {talk.turn_id: self._messages(talk, []) for talk in talks}
        turns = self._ask(asked, _read_turn, "seeker")
        spoken = [talk for talk in talks if turns[talk.turn_id].value is not None]
        question = Message(role="user", content=self._prompts.text("emotion"))
        levels = {}
        for talk in spoken:
            turn = Message(role="assistant", content=turns[talk.turn_id].value or "")
            levels[f"{talk.turn_id}/emotion"] = self._messages(talk, [turn, question])
        read = partial(parse_verdict, kind=Score, decisive="score")
        emotions = self._ask(levels, read, "emotion")
        return [
            self._said(talk, turns[talk.turn_id], emotions.get(f"{talk.turn_id}/emotion")) for talk in talks
        ]

    def _said(self, talk: Talk, turn: Outcome[str], level: Outcome[Score] | None) -> Said:
        if turn.value is None:
            return Said(None)
        emotion = level.value.score if level is not None and level.value is not None else None
        return Said(turn.value, emotion, _told(talk, turn.value))

    def _ask(
        self, asked: Mapping[str, list[Message]], parse: Callable[[Response], T], kind: str
    ) -> dict[str, Outcome[T]]:
        """Ask, and count the questions, those that were never read, and every reason of a failed attempt."""
        schema = Score.model_json_schema() if kind == "emotion" else None
        outcomes = ask(self._player.engine, asked, self._params, parse, STAGE, schema=schema)
        self.counts[f"{kind}_asked"] += len(outcomes)
        self.counts[f"{kind}_failed"] += sum(one.value is None for one in outcomes.values())
        for outcome in outcomes.values():
            self.counts.update(f"{kind}_{attempt.reason}" for attempt in outcome.failed)
        return outcomes

    def _messages(self, talk: Talk, more: list[Message]) -> list[Message]:
        """Return the talk as its seeker sees it: the seeker is the assistant, the supporter the user."""
        manner = self._prompts.text("resistant" if talk.resistant else "open")
        card = self._prompts.fill("seeker", card=talk.card.text(), manner=manner)
        turns = [Message(role="user", content=self._prompts.text("opening"))]
        for turn in talk.turns:
            role = "assistant" if turn.role == "seeker" else "user"
            turns.append(Message(role=role, content=turn.text or SILENCE))

        def build(left: list[Message]) -> list[Message]:
            return [Message(role="system", content=card), *left]

        if self._player.window is None:
            return build([*turns, *more])
        return self._player.window.fit([*turns, *more], build, self._params.sampling.max_new_tokens).prompt


def open_seeker(params: ConverseParams) -> ModelSeeker:
    """Load the model and the prompts that the parameters name.

    Args:
        params: `seeker` is an engine as in `judge.engine`, with `policy` where it runs in this process;
            `prompts` a folder with the texts of PROMPTS.

    Raises:
        InputError: an option is wrong, the policy cannot be read, or a text is missing or incomplete.
    """
    prompts = load_texts(PROMPTS, params.prompts)
    return ModelSeeker(load_judge(params.seeker, "converse.seeker"), prompts, params)


def _read_turn(answer: Response) -> str:
    """Return what the seeker says; ParseError where it is nothing, a placeholder or withheld."""
    if answer.finish_reason == "content_filter":
        raise ParseError("content_filter")
    text = after_thinking(answer.text).strip()
    for label in ("seeker:", "user:"):
        if text.lower().startswith(label):
            text = text[len(label) :]
    return read_response_text(text, "turn").text


def _told(talk: Talk, text: str) -> list[str] | None:
    """Return the facts of the card that a text tells for the first time, None where the card has none."""
    facts = talk.card.facts
    if not facts:
        return None
    before = {name for turn in talk.turns for name in turn.disclosed or []}
    said = set(Vocabulary(facts.values()).mentioned(text))
    return [name for name, phrase in facts.items() if phrase in said and name not in before]
