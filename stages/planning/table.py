"""The plan in words: a table of at most 80 columns."""

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH = 80
_TITLES = ("stage", "requests", "prompt", "new", "memory", "predicted", "actual", "ratio")
_WIDTHS = (20, 9, 8, 8, 9, 11, 8, 7)  # with what parts them, 80


@dataclass(frozen=True)
class Row:
    """One stage; None for what is not known, or does not belong to it. Seconds and bytes."""

    stage: str
    requests: int | None
    prompt: float | None
    new: float | None
    memory: float | None
    predicted: float | None
    least: float | None
    actual: float | None


def lines(rows: Sequence[Row]) -> list[str]:
    """Return a line a stage. A time after `>` is a data sheet's bound, no prediction."""
    return [_line(_TITLES), *(_line(_cells(row)) for row in rows)]


def duration(seconds: float) -> str:
    """Return seconds below ten minutes as such, and hours with two digits from two hours on."""
    if seconds < 600:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def amount(number: float) -> str:
    """Return a number with three digits and k, M or G."""
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= unit:
            return f"{number / unit:.3g}{name}"
    return f"{number:.0f}"


def size(number: float) -> str:
    """Return bytes as MB or GB (10^6, 10^9)."""
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{number / 1e6:.1f} MB"


def _cells(row: Row) -> tuple[str, ...]:
    predicted = "unknown"
    if row.predicted is not None:
        predicted = duration(row.predicted)
    elif row.least is not None:
        predicted = f"> {duration(row.least)}"
    both = row.predicted and row.actual
    return (
        row.stage,
        "" if row.requests is None else f"{row.requests:,}",
        "" if row.prompt is None else amount(row.prompt),
        "" if not row.new else amount(row.new),
        "" if row.memory is None else size(row.memory),
        predicted,
        "" if row.actual is None else duration(row.actual),
        f"{row.actual / row.predicted:.2f}" if both else "",
    )


def _line(cells: Sequence[str]) -> str:
    first, *rest = cells
    return (
        first.ljust(_WIDTHS[0]) + "".join(cell.rjust(w) for cell, w in zip(rest, _WIDTHS[1:], strict=True))
    ).rstrip()
