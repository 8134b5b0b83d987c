"""ESConv.json: a list of sessions with `dialog[]` of `speaker`, `annotation`, `content`.

The surveys (`survey_score`, `seeker_question1` ...) are not read: they judge the session after its
end, and no stage uses them. `experience_type` is kept as `experience`.
"""

from typing import Any

from stages.dialogue.raw import Layout, RawTurn, Role, Text
from stages.dialogue.strategies import strategy_names


class Annotation(Layout):
    """What is annotated of an utterance; a supporter's has a strategy."""

    strategy: Text | None = None


class Utterance(Layout):
    """One entry of `dialog`."""

    speaker: Role
    content: Text
    annotation: Annotation = Annotation()


class EsconvSession(Layout):
    """One session."""

    dialog: list[Utterance]
    emotion_type: str | None = None
    problem_type: str | None = None
    situation: str | None = None
    experience_type: str | None = None

    def raw_turns(self) -> list[RawTurn]:
        """Return the utterances; ESConv's strategy names are normalised."""
        return [
            RawTurn(u.speaker, u.content, strategy_names(u.annotation.strategy))
            if u.speaker == "supporter"
            else RawTurn(u.speaker, u.content)
            for u in self.dialog
        ]

    def described(self) -> dict[str, Any]:
        """Return emotion, problem, situation and experience."""
        return {
            "emotion": self.emotion_type,
            "problem": self.problem_type,
            "situation": self.situation,
            "experience": self.experience_type,
        }
