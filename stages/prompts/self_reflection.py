"""The JSON that table 3's self-reflection prompt asks for (paper, appendix E.1), read tolerantly."""

from pydantic import ValidationError

from stages.prompts.json_answer import as_text, json_objects
from stages.records.schema import NonEmpty, Record


class ReflectedResponse(Record):
    """A response that was written after thinking about the seeker, and the strategy chosen for it."""

    strategy: str
    text: NonEmpty


def parse_self_reflection(answer: str) -> ReflectedResponse | None:
    """Read the response from a model's answer, or return None when there is none.

    Tolerated is what `json_objects` tolerates, and a strategy that is unknown or missing (then it is
    empty), since nothing but the text is used. Not tolerated: a missing or blank `text`.
    """
    for value in json_objects(answer):
        try:
            return ReflectedResponse(strategy=as_text(value.get("strategy")), text=as_text(value.get("text")))
        except ValidationError:
            continue
    return None
