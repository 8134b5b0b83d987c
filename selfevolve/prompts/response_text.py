"""Read the text of a response out of a field of JSON: without labels before it, and only where it is one.

The reasons of a failure:

    missing_FIELD   there is no such field
    invalid_FIELD   the field is no text: an object, a list, a number
    blank           the text shows nothing, or nothing but labels
    placeholder     the text stands for a response, such as "..." or "<your response>"
    echo            the text is that of the prompt's own example
"""

import re
import unicodedata
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from selfevolve.prompts.json_objects import find_objects
from selfevolve.records.schema import STRATEGIES
from selfevolve.records.texts import is_blank
from selfevolve.runtime.errors import ParseError

_NAME = "(?:" + "|".join(re.escape(name).replace(r"\ ", r"[\s_]+") for name in STRATEGIES) + ")"
_NAMES = rf"{_NAME}(?:\s*(?:,|/|&|\+|and)\s*{_NAME})*"
_WHO = r"""
    (?: (?: refined | improved | revised | better | new | final | supporter(?:'s)? ) [\s_]+ )?
    (?: response | reply | answer )
    | (?: emotional \s+ )? supporter | assistant | counsell?or | therapist
"""
_LABEL = re.compile(
    rf"""
    \s* (?:
        [\[(*_]* (?: {_WHO} ) [\])*_]* \s* [:\uff1a] [*_]*  # Supporter:
        | [*_]* strateg(?:y|ies) [*_]* \s* [:\uff1a] [*_\s\[("']* {_NAMES} [*_\])"']* (?: [.,;:|\s-]+ | \Z )
        | [*_]* strateg(?:y|ies) [*_]* \s* [:\uff1a] [^\n]* (?: \n | \Z )  # of a strategy that is not known
        | [*_]* [\[(\u3010] \s* (?: strategy \s* : \s* )? {_NAMES} \s* [\])\u3011] [*_]* \s* [:\uff1a-]?
        | [*_]* {_NAMES} [*_]* \s* [:\uff1a] [*_]*  # Question:
    ) \s*
    """,
    re.IGNORECASE | re.VERBOSE,
)
_STANDING_FOR_NOTHING = "\ufffd\u2800"
_SAYING = {"Ll", "Lm", "Lo", "Lt", "Lu", "Nd", "Nl", "No", "So"}  # letters, digits and pictures
_IN_BRACKETS = re.compile(r"<[^<>]*>|\[[^\[\]]*\]|\{+[^{}]*\}+")
_PLACEHOLDER = re.compile(
    r"""
    (?: (?: insert | write | put | enter | add ) \s+ )?
    (?: (?: the | your | a | an | my | new | better | best | improved | refined | revised | rewritten | final
        | supporter | supporter's | supportive | short | personali[sz]ed ) \s+ )*
    (?: response | reply | answer | text | string | message | refinement )
        (?: \s+ (?: text | string | here ) )*
    | str | null | none | nil | undefined | n/?a | tbd | todo | placeholder | unchanged | see \s+ above
    | same (?: \s+ as \s+ (?: above | before ) )?
    """,
    re.IGNORECASE | re.VERBOSE,
)


@dataclass(frozen=True)
class ResponseText:
    """A response as it is said to a seeker, and whether a label or a strategy stood before it."""

    text: str
    labelled: bool


def read_response_text(value: Any, field: str, examples: Collection[str] = ()) -> ResponseText:
    """Return the response in a field of JSON.

    Args:
        value: what the field holds, None where there is no such field.
        field: its name, for the reason of a failure.
        examples: the texts of the prompt's own example (see `example_texts`).

    Raises:
        ParseError: there is none, for one of the reasons above.
    """
    if value is None:
        raise ParseError(f"missing_{field}")
    if not isinstance(value, str):
        raise ParseError(f"invalid_{field}")
    text = value.strip()
    while (label := _LABEL.match(text)) is not None:
        text = text[label.end() :]
    if is_blank(text):
        raise ParseError("blank")
    if is_placeholder(text):
        raise ParseError("placeholder")
    if folded(text) in examples:
        raise ParseError("echo")
    return ResponseText(text, labelled=text != value.strip())


def is_placeholder(text: str) -> bool:
    """Whether a text stands for a response: no letters, digits or pictures, or words such as "string"."""
    said = any(unicodedata.category(char) in _SAYING and char not in _STANDING_FOR_NOTHING for char in text)
    words = text.strip("<>[](){}*_`'\".!? \t\n")
    return not said or bool(_IN_BRACKETS.fullmatch(text.strip()) or _PLACEHOLDER.fullmatch(words))


def example_texts(prompt: str) -> frozenset[str]:
    """Return the texts in a prompt's own example, which is JSON, folded as by `folded`."""
    parts: list[Any] = []
    with suppress(ParseError):  # a prompt may end with the beginning of the JSON that it asks for
        parts.extend(find_objects(prompt))
    for part in parts:  # which grows meanwhile
        if isinstance(part, dict):
            parts.extend(part.values())
        elif isinstance(part, list):
            parts.extend(part)
    return frozenset(folded(part) for part in parts if isinstance(part, str))


def folded(text: str) -> str:
    """Return a text in lower case and with single spaces, for comparisons."""
    return " ".join(text.casefold().split())
