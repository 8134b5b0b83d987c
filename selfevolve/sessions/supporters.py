"""Who answers the seekers: a policy, or a control that must come out badly.

The controls are a supporter who says one sentence whatever is said (`same`), and one who gives the answers of
another session (`shuffled`). An instrument that does not rank them below a supporter who listens measures
nothing.
"""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from selfevolve.generation.generate import Outcome, ask
from selfevolve.generation.request import Engine, ResponseParams
from selfevolve.policies.window import Window
from selfevolve.prompts.answers import Parsed
from selfevolve.prompts.requests import response_messages, response_reader, response_schema
from selfevolve.prompts.templates import Prompts
from selfevolve.records.jsonl import dialogue_of, natural_key, read_records
from selfevolve.records.schema import Response
from selfevolve.records.texts import after_thinking, is_blank
from selfevolve.runtime.errors import InputError, ParseError
from selfevolve.sessions.session import Session
from selfevolve.sessions.talk import Talk

STAGE = "converse"
SAME = "I am sorry to hear that. Things will get better, and you are not alone."


class PolicySupporter:
    """A policy that is asked as for any other context; every answer goes through a journal."""

    def __init__(self, engine: Engine, window: Window, prompts: Prompts, prompt: str, params: ResponseParams):
        """Take an engine for the policy, its window, a set of prompts, one of its names, and how to ask.

        Args:
            engine: writes the answers.
            window: that of the policy; the oldest exchanges go where a session does not fit.
            prompts: a whole set.
            prompt: plain, task or self_reflection.
            params: sampling, attempts and the seed from which those of the requests follow.

        Raises:
            InputError: the set has no prompt of that name.
        """
        prompts.text(prompt)
        self.name = engine.model
        self.counts: Counter[str] = Counter()
        self._engine, self._window, self._params = engine, window, params
        self._build = partial(response_messages, prompts, prompt)
        self._read, self._schema = response_reader(prompts, prompt), response_schema(prompt)

    def reply(self, talks: Sequence[Talk]) -> list[str]:
        """Answer all talks at once; raises InputError as the engine does."""
        new_tokens = self._params.sampling.max_new_tokens
        fitted = {talk.turn_id: self._window.fit(talk.messages(), self._build, new_tokens) for talk in talks}
        asked = {identity: one.prompt for identity, one in fitted.items()}
        outcomes = ask(self._engine, asked, self._params, self._parse, STAGE, schema=self._schema)
        self.counts["shortened"] += sum(one.dropped > 0 for one in fitted.values())
        return [self._text(outcomes[talk.turn_id]) for talk in talks]

    def _parse(self, answer: Response) -> Parsed[str]:
        found = self._read(answer)
        if is_blank(found.value):
            raise ParseError("blank")
        return found

    def _text(self, outcome: Outcome[Parsed[str]]) -> str:
        """Return the answer that was read; where none was, what the last one says after its thinking."""
        assert outcome.response is not None  # the engines of this stage lose none
        self.counts["cut_off"] += outcome.response.finish_reason == "length"
        self.counts["asked_again"] += len(outcome.failed)
        if outcome.value is not None:
            return outcome.value.value
        try:
            text = after_thinking(outcome.response.text)
        except ParseError:
            text = ""
        text = "" if is_blank(text) else text
        self.counts["unparsed" if text else "unanswered"] += 1
        return text


class Same:
    """The control that says one sentence in every turn."""

    def __init__(self, sentence: str = SAME):
        """Take the sentence."""
        self.name, self._sentence = "same", sentence
        self.counts: Counter[str] = Counter()

    def reply(self, talks: Sequence[Talk]) -> list[str]:
        """Say it to everybody."""
        return [self._sentence for _ in talks]


class Shuffled:
    """The control that gives, turn by turn, the answers of a session with another card."""

    def __init__(self, path: Path):
        """Read the sessions of the supporter whose answers are given.

        Raises:
            InputError: the file cannot be read, or has sessions with fewer than two cards.
        """
        sessions = sorted(read_records(path, Session), key=lambda session: natural_key(session.id))
        if len({dialogue_of(session.id) for session in sessions}) < 2:
            raise InputError("has sessions with fewer than two cards: hold some with more of them", file=path)
        self.name = f"shuffled {sessions[0].supporter}"
        self.counts: Counter[str] = Counter()
        self._path = path
        self._answers = {
            session.id: [turn.text for turn in session.turns if turn.role == "supporter"]
            for session in sessions
        }

    def reply(self, talks: Sequence[Talk]) -> list[str]:
        """Answer each talk as another one was answered; a shorter session begins again.

        Raises:
            InputError: the file has no session of a talk's id.
        """
        return [self._of_another(talk) for talk in talks]

    def _of_another(self, talk: Talk) -> str:
        """Return the answer at this turn of the next session that has another card."""
        if talk.id not in self._answers:
            message = "has no such session: hold them with the same cards and parameters"
            raise InputError(message, file=self._path, record=talk.id)
        ids = list(self._answers)
        after = ids.index(talk.id)
        other = next(one for one in ids[after:] + ids[:after] if dialogue_of(one) != dialogue_of(talk.id))
        answers = self._answers[other]
        return answers[len(talk.answers) % len(answers)]
