"""What a report is made of before it is a page or Markdown: sections of texts, tables, figures, dialogues."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Kind = Literal["own", "paper", "absent", "text"]


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    text: what it says; `detail` the small print under it, such as an interval.
    mark: signs behind the text, and `meaning` what they say in words.
    span: how many columns it covers.
    """

    text: str
    detail: str = ""
    mark: str = ""
    meaning: str = ""
    kind: Kind = "own"
    span: int = 1


@dataclass(frozen=True)
class Row:
    """A line of a table: its heads (as many as the table has), then cells that cover all its columns."""

    heads: tuple[str, ...]
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Group:
    """Rows under a heading of their own, such as a backbone; without a label there is no heading."""

    label: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Table:
    """A table. `heads` name the columns of the rows' heads; notes stand below; a folded one begins closed."""

    name: str
    caption: str
    heads: tuple[str, ...]
    columns: tuple[str, ...]
    groups: tuple[Group, ...]
    notes: tuple[str, ...] = ()
    folded: bool = False


@dataclass(frozen=True)
class Text:
    """A paragraph, or where there are several lines a list."""

    lines: tuple[str, ...]

    @classmethod
    def of(cls, *lines: str) -> "Text":
        """Return the lines as one block."""
        return cls(lines)


@dataclass(frozen=True)
class Figure:
    """A drawing as SVG text, what it shows, and the same in words for those who do not see it."""

    name: str
    caption: str
    svg: str
    words: str


@dataclass(frozen=True)
class Gallery:
    """Figures that stand side by side where there is room."""

    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class Dialogue:
    """The end of a dialogue, and what several models say next: (speaker, text) each."""

    title: str
    turns: tuple[tuple[str, str], ...]
    answers: tuple[tuple[str, str], ...]
    note: str = ""


Block: TypeAlias = Table | Text | Gallery | Dialogue


@dataclass(frozen=True)
class Section:
    """A part of the report under a heading; `name` is its anchor."""

    name: str
    title: str
    blocks: Sequence[Block] = field(default_factory=tuple)


@dataclass(frozen=True)
class Document:
    """The whole report."""

    title: str
    link: str
    introduction: Text
    sections: tuple[Section, ...]


def printable(text: str) -> str:
    """Return a text without what UTF-8 and XML cannot hold: control characters, half characters."""
    return "".join(
        character if character in "\n\t" or _allowed(ord(character)) else "\ufffd" for character in text
    )


def _allowed(code: int) -> bool:
    return not (code < 0x20 or 0x7F <= code < 0xA0 or 0xD800 <= code < 0xE000 or code in (0xFFFE, 0xFFFF))


def anchor(name: str) -> str:
    """Return a name that is fit for an id on a page: letters, digits and hyphens; the rest is encoded."""
    return "".join(c if c.isascii() and (c.isalnum() or c == "-") else f"_{ord(c):x}" for c in name)
