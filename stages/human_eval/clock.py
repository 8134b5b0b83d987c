"""The time, in one place."""

import time
from datetime import UTC, datetime


def now() -> float:
    """Return seconds since the epoch (UTC)."""
    return time.time()


def iso(at: float | None) -> str | None:
    """Return a time in ISO 8601 (UTC, milliseconds), as exports have it."""
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
