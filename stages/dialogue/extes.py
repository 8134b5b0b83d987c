"""ExTES.json: `scene`, `description` and `content[]` of {"User"} or {"AI Strategy", "AI"}.

ExTES annotates strategies of its own (`Emotional Validation`, `Suggest Options` ...): they are kept
as they are; an empty string or null means none.
"""

from typing import Annotated, Any

from pydantic import AfterValidator

from stages.dialogue.raw import Layout, RawTurn, Role, Text

ROLES: dict[str, Role] = {"User": "seeker", "AI": "supporter"}
STRATEGY = "AI Strategy"

_KEYS = {key.lower(): key for key in (*ROLES, STRATEGY)}


def _known_keys(entry: dict[str, str | None]) -> dict[str, str | None]:
    """Return the entry with its keys in upstream's spelling; refuse what is no utterance."""
    known = {_KEYS.get(key.strip().lower(), key): value for key, value in entry.items()}
    if len(known) < len(entry):
        raise ValueError(f"the same key twice: {', '.join(entry)}")
    unknown = [key for key in known if key not in _KEYS.values()]
    if unknown:
        raise ValueError(f"unknown role {unknown[0]!r}, expected User or AI")
    if not known.keys() & ROLES.keys():
        raise ValueError("missing field: neither User nor AI")
    for role in ROLES:
        if known.get(role, "") is None:
            raise ValueError(f"{role} should be a string, got null")
    return known


class ExtesSession(Layout):
    """One session; in the recovered records scene, description and strategies are null."""

    content: list[Annotated[dict[str, Text | None], AfterValidator(_known_keys)]]
    scene: str | None = None
    description: str | None = None

    def raw_turns(self) -> list[RawTurn]:
        """Return the utterances; an entry with both speakers is two, in the order of its keys."""
        turns = []
        for entry in self.content:
            strategy = (entry.get(STRATEGY) or "").strip()
            for key, text in entry.items():
                if key in ROLES:
                    strategies = [strategy] if strategy and key == "AI" else []
                    turns.append(RawTurn(ROLES[key], text, strategies))
        return turns

    def described(self) -> dict[str, Any]:
        """Return scene and description."""
        return {"scene": self.scene, "description": self.description}
