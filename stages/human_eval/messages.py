"""What a rater may write: made harmless for every database and screen, not changed in what it says."""

import unicodedata

from stages.human_eval.errors import Refused

# These turn round what follows them, beyond the message; marks (LRM, RLM, ALM) and joiners of emoji stay.
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def clean(text: str, limit: int) -> str:
    """Return a message in NFC, with line ends of one kind, without control characters and outer space.

    Args:
        text: as it was sent.
        limit: most characters (code points) of the result.

    Raises:
        Refused: empty (nothing in it can be seen), too_long.
    """
    if len(text) > 4 * limit + 1000:  # before any work is done on it
        raise Refused("too_long", limit=limit)
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\u2028", "\n").replace("\u2029", "\n")
    kept = "".join(
        character
        for character in text
        if character in "\n\t"
        or (unicodedata.category(character) not in ("Cc", "Cs") and character not in _TURNING)
    )
    kept = unicodedata.normalize("NFC", kept).strip()
    if not any(unicodedata.category(character)[0] not in "ZCM" for character in kept):
        raise Refused("empty")
    if len(kept) > limit:
        raise Refused("too_long", limit=limit)
    return kept


def storable(text: str) -> str:
    """Return a model's text without what PostgreSQL or UTF-8 cannot hold: NUL and halves of characters."""
    return "".join(c for c in text if c != "\x00" and not "\ud800" <= c <= "\udfff")
