"""Find the JSON objects in a model's answer: the one reader for reflections, responses and verdicts.

Models write prose, Markdown and drafts around their JSON, so an object may begin at any brace. It must stand
whole. Small damage can be repaired; an end that is missing, of a text or of the object, never is: half a
sentence would be taken for a whole one. The reasons of a failure:

    content_filter   the server withheld the answer
    thinking         the answer is nothing but thinking, or its thinking does not end
    cut_off          the answer ends within an object, or reached its longest length before any
    no_json          no JSON object in the answer
    missing_FIELD    no JSON object with the field that makes it an answer
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from selfevolve.records.schema import Response
from selfevolve.records.texts import after_thinking
from selfevolve.runtime.errors import ParseError

DEEPEST = 16  # levels of an object; no answer to a prompt of ours has more than two
REPAIRS = 16  # objects of one answer that are tried to repair: an answer can be nothing but braces

Gather = Callable[[list[tuple[str, Any]]], dict[str, Any]]

# An escape: of a whole pair, of half a character, or any other.
_ESCAPE = re.compile(
    r"\\u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2}|\\(?P<half>u[dD][89a-fA-F][\da-fA-F]{2})|\\.",
    re.DOTALL,
)
# What is left of a text that ends within a number, a word or an escape; a fence may follow.
_LAST_PIECE = re.compile(r"[-+.\w\\]*\s*(?:`{3,}\s*)?\Z")
_KEY = re.compile(r"""\{\s*(["'])\w+\1\s*:""")  # how an object begins, and braces in prose do not
_TOKEN = re.compile(
    r"""
    (?P<quote>["'])
        (?P<text> (?: \\. | (?! (?P=quote) \s* [,:}\]] ) . )* )  # a quote ends a text where JSON goes on
        (?P=quote)?
    | (?P<trailing> , \s* (?= [}\]] ) )
    | \w+
    | [^\w"'{}\[\],]+
    | .
    """,
    re.DOTALL | re.VERBOSE,
)
_CONSTANTS = {"None": "null", "True": "true", "False": "false"}  # as Python writes them
_IN_TEXT = re.compile(r"""\\(?:u[\da-fA-F]{4}|["\\/bfnrt])|\\'|\\|\"""")
_IN_JSON = {"\\'": "'", "\\": "\\\\", '"': '\\"'}


class _Found(NamedTuple):
    value: dict[str, Any]
    end: int


def read_objects(
    answer: Response, decisive: str, *, repair: bool, gather: Gather = dict
) -> list[dict[str, Any]]:
    """Return the JSON objects in an answer that have the field `decisive`, at least one, in their order.

    Args:
        answer: as a model wrote it. What it wrote while thinking does not count.
        decisive: the field that makes an object an answer.
        repair: whether to read texts in single quotes, quotes within a text, a comma before a bracket,
            escapes that JSON does not have and Python's constants. Never in an answer that reached its
            longest length.
        gather: makes an object of its keys and values, as `object_pairs_hook` of `json`.

    Raises:
        ParseError: there is none, for one of the reasons above.
    """
    if answer.finish_reason == "content_filter":
        raise ParseError("content_filter")
    is_cut = answer.finish_reason == "length"
    text = after_thinking(answer.text)
    if is_cut and text.rstrip().endswith("{"):
        raise ParseError("cut_off")
    objects = list(find_objects(text, repair, gather))
    if is_cut and repair and objects != list(find_objects(text, False, gather)):
        raise ParseError("cut_off")  # what was not finished is not guessed at
    if not objects:
        raise ParseError("cut_off" if is_cut else "no_json")
    if not (found := [one for one in objects if decisive in one]):
        raise ParseError(f"missing_{decisive}")
    return found


def find_objects(text: str, repair: bool = False, gather: Gather = dict) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects in a text that are in no other one; the rest is as for `read_objects`.

    Raises:
        ParseError: `cut_off`, after the objects before.
    """
    text = _ESCAPE.sub(lambda escape: r"\ufffd" if escape["half"] else escape[0], text)
    decoder = json.JSONDecoder(object_pairs_hook=gather, strict=False)  # a text may have line ends in it
    repairs = REPAIRS if repair else 0
    start = text.find("{")
    while start >= 0:
        found = _read(decoder, text, start)
        if found is None and repairs and _KEY.match(text, start):
            repairs -= 1
            repaired, end = _repaired(text, start)
            if (read := _read(decoder, repaired, 0)) is not None:
                found = _Found(read.value, end)
        if found is not None and not _is_deep(found.value):
            yield found.value
        start = text.find("{", start + 1 if found is None else found.end)


def _read(decoder: json.JSONDecoder, text: str, start: int) -> _Found | None:
    """Return the object that begins at `start`, if it is one; ParseError where the text ends within it."""
    try:
        return _Found(*decoder.raw_decode(text, start))
    except json.JSONDecodeError as error:
        has_begun = bool(text[start + 1 : error.pos].strip())  # a brace alone may be prose
        if error.msg.startswith("Unterminated string") or (has_begun and _LAST_PIECE.match(text, error.pos)):
            raise ParseError("cut_off") from None
    except (ValueError, RecursionError):  # a number too long to be read is a ValueError, too
        pass
    return None


def _repaired(text: str, start: int) -> tuple[str, int]:
    """Return what begins at `start` up to its closing bracket, in better JSON, and where that bracket is.

    No bracket is added. A text without an end takes the rest of the answer, so its object has none either.
    """
    parts: list[str] = []
    depth, end = 0, start
    for token in _TOKEN.finditer(text, start):
        part, end = token.group(), token.end()
        if token["quote"]:
            written = _IN_TEXT.sub(lambda found: _IN_JSON.get(found[0], found[0]), token["text"])
            part = f'"{written}"'
        elif token["trailing"]:
            part = ""
        parts.append(_CONSTANTS.get(part, part))
        depth += (part in ("{", "[")) - (part in ("}", "]"))
        if depth == 0:
            break
    return "".join(parts), end


def _is_deep(value: dict[str, Any]) -> bool:
    """Whether a value has more than DEEPEST levels: whoever walks through it must not run out of stack."""
    level: list[Any] = [value]
    for _ in range(DEEPEST):
        parts = [one.values() if isinstance(one, dict) else one for one in level]
        level = [part for inner in parts for part in inner if isinstance(part, dict | list)]
        if not level:
            return False
    return True
