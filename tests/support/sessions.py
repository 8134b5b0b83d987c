"""The sessions of a mini world of the default sizes: their turns, as they stand in a corpus and joined."""

import itertools
from typing import Any

DEFAULTS = {
    "seed": 7,
    "esconv_sessions": 160,
    "esconv_test_sessions": 110,
    "synesc_sessions": 420,
    "alpaca_items": 600,
}
CORPORA = ("esconv", "extes", "serveforemo")
Turns = list[tuple[str, str]]
World = dict[str, list[dict[str, Any]]]


def raw_turns(corpus: str, session: dict[str, Any]) -> Turns:
    if corpus == "esconv":
        return [(turn["speaker"], turn["content"]) for turn in session["dialog"]]
    if corpus == "extes":
        return [
            ("seeker", turn["User"]) if "User" in turn else ("supporter", turn["AI"])
            for turn in session["content"]
        ]
    roles = {"user": "seeker", "assistant": "supporter"}
    return [(roles[turn["role"]], turn["content"]) for turn in session["dialogue"]]


def joined_turns(turns: Turns) -> Turns:
    """Join consecutive turns; drop a leading supporter turn and a trailing seeker turn (appendix A)."""
    groups = itertools.groupby(turns, key=lambda turn: turn[0])
    joined = [(role, " ".join(text for _, text in group)) for role, group in groups]
    if joined[0][0] == "supporter":
        del joined[0]
    if joined[-1][0] == "seeker":
        del joined[-1]
    return joined


def sessions(world: World) -> list[tuple[str, dict[str, Any], Turns]]:
    return [(corpus, session, raw_turns(corpus, session)) for corpus in CORPORA for session in world[corpus]]
