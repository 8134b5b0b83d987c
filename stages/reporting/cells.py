"""How numbers and absences look in a table."""

import re

from stages.reporting.document import Cell

NOT_RUN, NOT_AVAILABLE = "not run", "not available"
# An absolute path, not the end of a word, of a relative path or of an address.
_FOLDERS = re.compile(r"(?<![\w./])(?!//)(?:~|[A-Za-z]:)?[/\\](?:[^\s/\\|,;:'\"()]+[/\\])+")


def without_folders(text: str) -> str:
    """Return a text without where on this machine something lies; names of files and models stay."""
    return _FOLDERS.sub("…/", text)


def shown(value: float, decimals: int = 2) -> str:
    """Return a number as every table and figure shows it."""
    return f"{value:.{decimals}f}"


def shown_count(value: float) -> str:
    """Return a whole number as it is, and a mean with two decimals."""
    return str(value) if isinstance(value, int) else shown(value)


def bounds(low: float | None, high: float | None, decimals: int = 2) -> str:
    """Return an interval, or nothing where there is none."""
    return "" if low is None or high is None else f"[{shown(low, decimals)}, {shown(high, decimals)}]"


def gain(percent: float | None) -> str:
    """Return a relative change with its sign, or nothing."""
    return "" if percent is None else f"{percent:+.2f} %"


def printed(value: float | None, change: float | None = None) -> Cell:
    """Return a number of the paper, or a dash where the paper has none."""
    if value is None:
        return Cell("–", meaning="not in the paper", kind="absent")
    return Cell(shown_count(value), detail=gain(change), kind="paper")


def not_run(span: int = 1) -> Cell:
    """Return the mark of what no metrics file has."""
    return Cell(NOT_RUN, kind="absent", span=span)


def not_available(span: int = 1) -> Cell:
    """Return the mark of what was run and yet has no number; the reason stands below the table."""
    return Cell(NOT_AVAILABLE, kind="absent", span=span)


def p_value(p: float) -> str:
    """Return a p-value; the smallest that 10,000 resamples can give is about 0.0001."""
    return "< 0.0001" if p < 0.00005 else f"{p:.4f}"
