"""What texts are made of: what shows, whole characters, and no thinking where somebody reads them."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator

from selfevolve.runtime.errors import ParseError

THINKING = "<think>"
"""What begins the thinking of a model that thinks before it answers; `</think>` ends it."""

_OPENING = re.compile(r"<\s*think\s*>", re.IGNORECASE)
_CLOSING = re.compile(r"<\s*/\s*think\s*>", re.IGNORECASE)
_TAG_BEGUN = re.compile(r"<\s*(?:/\s*)?[a-z]*\s*\Z", re.IGNORECASE)
_HALF = re.compile("[\ud800-\udfff]")
# Unicode's Default_Ignorable_Code_Point (DerivedCoreProperties.txt, version 15.1: zero-width characters, soft
# hyphen, variation selectors, tags, bidi marks, fillers, and what is reserved for more of them), control
# characters, anchors of annotations, and the empty Braille pattern.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f"
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def visible(name: str) -> str:
    """Return a name without invisible characters, and without white space around it."""
    return _INVISIBLE.sub("", name).strip()


def is_blank(text: str) -> bool:
    """Return whether a text shows nothing."""
    return not visible(text)


def _of_whole_characters(text: str) -> str:
    # JSON's \ud83d alone gives half a character, which no UTF-8 file can hold. pydantic lets it pass.
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"half a character (lone surrogate) at position {error.start}") from None
    return text


Text = Annotated[str, AfterValidator(_of_whole_characters)]


def whole_characters(value: Any) -> Any:
    """Return a JSON value in which U+FFFD stands for every half of a character in its texts.

    JSON's `\\ud83d` alone is such a half. Python keeps it, and no file in UTF-8 can.
    """
    if isinstance(value, str):
        if not _HALF.search(value):
            return value
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {whole_characters(key): whole_characters(part) for key, part in value.items()}
    if isinstance(value, list):
        return [whole_characters(part) for part in value]
    return value


def after_thinking(text: str) -> str:
    """Return what a model wrote after its thinking; a text without thinking is returned as it is.

    The thinking goes to the last closing tag. Its opening tag may be missing, since some chat templates
    write that one themselves.

    Raises:
        ParseError: `thinking`, where it does not end or nothing follows it.
    """
    closings = list(_CLOSING.finditer(text))
    answer = text[closings[-1].end() :].strip() if closings else text
    if _OPENING.search(answer) or (closings and is_blank(answer)):
        raise ParseError("thinking")
    return answer


def without_thinking_so_far(written: str) -> str:
    """Return what of a text that is still being written is no thinking, and no part of a tag."""
    closings = list(_CLOSING.finditer(written))
    answer = written[closings[-1].end() :].lstrip() if closings else written
    end = _OPENING.search(answer) or _TAG_BEGUN.search(answer)
    return answer[: end.start()] if end else answer


def begins_with_thinking(text: str) -> bool:
    """Whether a text has thinking that no tag opens: before its end nothing tells it from a response."""
    closing, opening = _CLOSING.search(text), _OPENING.search(text)
    return closing is not None and (opening is None or closing.start() < opening.start())
