"""A table of results, as lines for a terminal and as Markdown; page.html is the same for the page.

A `Table` holds texts, no numbers: whoever makes it decides how numbers look, with the functions below.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

NOT_RUN, NOT_AVAILABLE = "not run", "not available"
Kind = Literal["own", "paper", "absent", "text"]
_SIGNS = re.compile(r"([\\`*_{}\[\]()#|~$!])")
# An absolute path that begins no word, no relative path and no address.
_FOLDERS = re.compile(r"(?<![\w./])(?!//)(?:~|[A-Za-z]:)?[/\\](?:[^\s/\\|,;:'\"()]+[/\\])+")


@dataclass(frozen=True)
class Cell:
    """One cell: a text, small print below it (an interval), signs behind it, and what they mean in words.

    Its kind is an `own` number, one of the `paper`, the sign of something `absent`, or `text`, aligned left.
    It covers `span` columns.
    """

    text: str
    detail: str = ""
    mark: str = ""
    meaning: str = ""
    kind: Kind = "own"
    span: int = 1


@dataclass(frozen=True)
class Row:
    """One line: its heads (as many as the table has), then cells that together cover all columns.

    Rows with the same `group` follow each other and stand under that heading; empty means no heading.
    """

    heads: tuple[str, ...]
    cells: tuple[Cell, ...]
    group: str = ""

    @classmethod
    def of(cls, *heads: str, cells: Iterable[Cell | str]) -> "Row":
        """Return a row; a cell given as a string is a text of words, aligned left."""
        made = tuple(cell if isinstance(cell, Cell) else Cell(cell, kind="text") for cell in cells)
        return cls(heads, made)


@dataclass(frozen=True)
class Table:
    """A table: `heads` name the columns of the rows' heads, `columns` those of the cells.

    `notes` stand below it, and a `folded` one begins closed on the page.
    """

    caption: str
    heads: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    folded: bool = False


def to_text(table: Table, widths: Sequence[int]) -> list[str]:
    """Return a table with one head as lines for a terminal, without groups, details, marks and notes.

    `widths` are the characters of the head, then of every column, with the space between columns.
    """
    lines = [(table.heads[0], table.columns), *((row.heads[0], _texts(row.cells)) for row in table.rows)]
    first, *others = widths
    return [
        (head.ljust(first) + "".join(cell.rjust(w) for cell, w in zip(cells, others, strict=False))).rstrip()
        for head, cells in lines
    ]


def to_markdown(table: Table) -> str:
    """Return the table in GitHub's Markdown, without its caption and notes; every sign is escaped."""
    lines = [[*map(escaped, table.heads), *map(escaped, table.columns)]]
    left = _text_columns(table)
    lines.append(["---"] * len(table.heads) + ["---" if is_left else "---:" for is_left in left])
    group = ""
    for row in table.rows:
        if row.group != group:
            group = row.group
            lines.append([f"**{escaped(group)}**", *[""] * (len(lines[0]) - 1)])
        lines.append([*map(escaped, row.heads), *map(escaped, _texts(row.cells, whole=True))])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def escaped(text: str) -> str:
    """Return a text on one line in which no character is Markdown's or HTML's, fit for a cell."""
    line = " ".join(printable(text).split())
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SIGNS.sub(r"\\\1", line)


def printable(text: str) -> str:
    """Return a text in which U+FFFD replaces what UTF-8 and XML cannot hold (controls, lone surrogates)."""
    return "".join(c if c in "\n\t" or _allowed(ord(c)) else "\ufffd" for c in text)


def without_folders(text: str) -> str:
    """Return a text without the folders of absolute paths; names of files and models stay."""
    return _FOLDERS.sub("…/", text)


def shown(value: float, decimals: int = 2) -> str:
    """Return a number as tables and figures show it."""
    return f"{value:.{decimals}f}"


def shown_count(value: float) -> str:
    """Return a whole number as it is, and any other with two decimals."""
    return str(value) if isinstance(value, int) else shown(value)


def bounds(interval: tuple[float, float] | None, decimals: int = 2) -> str:
    """Return an interval in brackets, an empty string where there is none."""
    return "" if interval is None else f"[{shown(interval[0], decimals)}, {shown(interval[1], decimals)}]"


def p_value(p: float) -> str:
    """Return a p-value; the smallest that 10,000 resamples can give is about 0.0001."""
    return "< 0.0001" if p < 0.00005 else f"{p:.4f}"


def not_run(span: int = 1) -> Cell:
    """Return the cell of what no metrics file has."""
    return Cell(NOT_RUN, kind="absent", span=span)


def not_available(span: int = 1) -> Cell:
    """Return the cell of what was run and has no number; a note below the table gives the reason."""
    return Cell(NOT_AVAILABLE, kind="absent", span=span)


def in_group(group: str, rows: Iterable[Row]) -> tuple[Row, ...]:
    """Return the rows under a heading."""
    return tuple(replace(row, group=group) for row in rows)


def _texts(cells: Iterable[Cell], whole: bool = False) -> list[str]:
    """Return a text a column; `whole` adds marks and details."""
    found: list[str] = []
    for cell in cells:
        parts = (cell.text, cell.mark, cell.detail) if whole else (cell.text,)
        found += [" ".join(filter(None, parts)), *[""] * (cell.span - 1)]
    return found


def _text_columns(table: Table) -> list[bool]:
    """Tell of every column whether words stand in it, and no number."""
    kinds: list[set[Kind]] = [set() for _ in table.columns]
    for row in table.rows:
        spread = [cell.kind for cell in row.cells for _ in range(cell.span)]
        for found, kind in zip(kinds, spread, strict=True):
            found.add(kind)
    return ["text" in found and found <= {"text", "absent"} for found in kinds]


def _allowed(code: int) -> bool:
    return not (code < 0x20 or 0x7F <= code < 0xA0 or 0xD800 <= code < 0xE000 or code in (0xFFFE, 0xFFFF))
