"""EPITOME's replies on Reddit, rated for empathy: pairs of replies to one post, one of which shows more.

Sharma et al. 2020 (arXiv:2009.08441) rate emotional reactions, explorations and interpretations, each in a
file of its own, with the levels 0 (none), 1 (weak) and 2 (strong).
"""

import csv
from collections import defaultdict
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

from selfevolve.records.schema import Preference, ShareGptMessage
from selfevolve.records.texts import is_blank
from selfevolve.runtime.errors import InputError

FILES = ("emotional-reactions-reddit.csv", "explorations-reddit.csv", "interpretations-reddit.csv")
COLUMNS = ("sp_id", "rp_id", "seeker_post", "response_post", "level")


class Reply(NamedTuple):
    """A reply to a seeker's post, and its level, 0 to 6: the sum over the three mechanisms."""

    post_id: str
    post: str
    text: str
    level: int


def read_replies(folder: Path) -> tuple[list[Reply], dict[str, int]]:
    """Return the replies that all three files rate, in the order of the first file, and what was left out.

    Returns:
        the replies; and the numbers of those that were `not_rated_thrice`, and of `repeated` rows: of several
        rows of a file for one reply the first counts.

    Raises:
        InputError: a file is missing or lacks a column, a level is none of 0, 1, 2, or something is blank.
    """
    levels: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    texts: dict[tuple[str, str], tuple[str, str]] = {}
    repeated = 0
    for name in FILES:
        for row in _rows(folder / name):
            key = row["sp_id"], row["rp_id"]
            repeated += name in levels[key]
            levels[key].setdefault(name, int(row["level"]))
            texts.setdefault(key, (row["seeker_post"], row["response_post"]))
    replies = [
        Reply(key[0], *texts[key], sum(rated.values()))
        for key, rated in levels.items()
        if len(rated) == len(FILES)
    ]
    return replies, {"not_rated_thrice": len(levels) - len(replies), "repeated": repeated}


def empathy_pairs(replies: list[Reply], system: str) -> tuple[list[Preference], dict[str, Any]]:
    """Return a pair for every two replies to the same post whose levels differ, the higher one chosen.

    Args:
        replies: as `read_replies` returns them.
        system: the system message of every pair.

    Returns:
        the pairs, and the numbers of `replies`, of `posts`, and of pairs of replies with an `equal_level`.
        Most posts have one reply, which nothing can be compared with: another post's would be another prompt.
    """
    posts: dict[str, list[Reply]] = defaultdict(list)
    for reply in replies:
        posts[reply.post_id].append(reply)
    pairs: list[Preference] = []
    equal = 0
    for post, those in posts.items():
        for number, (one, other) in enumerate(combinations(those, 2)):
            if one.level == other.level:
                equal += 1
                continue
            low, high = sorted((one, other), key=lambda reply: reply.level)
            pair = Preference(
                id=f"epitome-{post}#{2 * number + 1}",
                system=system,
                conversations=[ShareGptMessage(from_="human", value=one.post)],
                chosen=ShareGptMessage(from_="gpt", value=high.text),
                rejected=ShareGptMessage(from_="gpt", value=low.text),
                chosen_source="golden",
            )
            pairs.append(pair)
    return pairs, {"replies": len(replies), "posts": len(posts), "equal_level": equal, "pairs": len(pairs)}


def _rows(file: Path) -> list[dict[str, str]]:
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            reader = csv.DictReader(lines)
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot be read: {error}", file=file) from None
    for column in COLUMNS:
        if column not in (reader.fieldnames or ()):
            raise InputError("has no such column", file=file, field=column)
    for number, row in enumerate(rows, start=2):
        for column in COLUMNS:
            if row[column] is None or is_blank(row[column]):
                raise InputError("is blank", file=file, record=f"row {number}", field=column)
        if row["level"] not in ("0", "1", "2"):
            message = f"is {row['level']!r}, none of 0, 1, 2"
            raise InputError(message, file=file, record=f"row {number}", field="level")
    return rows
