"""What a report is made of before it is a page or Markdown: sections of texts, tables, figures, dialogues."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, TypeAlias

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from selfevolve.report.table import Row, Table, escaped, printable, to_markdown

FOLDER = Path(__file__).parent


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
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    """The whole report."""

    title: str
    link: str
    introduction: Text
    sections: tuple[Section, ...]


def page(document: Document) -> str:
    """Return the report as one HTML file: no script, nothing fetched, all that comes from data escaped."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printable,
        keep_trailing_newline=True,
    )
    styles = (FOLDER / "page.css").read_text(encoding="utf-8")
    template = environment.get_template("page.html")
    return template.render(document=document, styles=styles, groups=_groups, anchor=anchor).lstrip()


def markdown(document: Document) -> str:
    """Return the report in GitHub's Markdown: the same words and numbers, drawings told in words."""
    parts = [f"# {escaped(document.title)}", _text(document.introduction), f"The paper: <{document.link}>"]
    for section in document.sections:
        parts.append(f"## {escaped(section.title)}")
        parts += [part for block in section.blocks for part in markdown_of(block)]
    return "\n\n".join(parts) + "\n"


def markdown_of(block: Block) -> list[str]:
    """Return a block in Markdown, as paragraphs that empty lines part."""
    if isinstance(block, Table):
        notes = [_list(block.notes)] if block.notes else []
        return [f"### {escaped(block.caption)}", to_markdown(block), *notes]
    if isinstance(block, Text):
        return [_text(block)]
    if isinstance(block, Gallery):
        return [_list([f"{one.caption} (drawn in index.html): {one.words}" for one in block.figures])]
    told = [*block.turns, *block.answers]
    quote = "\n>\n".join(f"> **{escaped(speaker)}:** {escaped(words)}" for speaker, words in told)
    return [f"### {escaped(block.title)}", quote, *([escaped(block.note)] if block.note else [])]


def anchor(name: str) -> str:
    """Return an id for a page, another one for every name: letters, digits, `-` for a space, codes."""
    kept = {" ": "-"} | {c: c for c in name if c.isascii() and c.isalnum()}
    return "".join(kept.get(c, f"_{ord(c):x}") for c in name)


def _groups(rows: Iterable[Row]) -> list[tuple[str, list[list[Row]]]]:
    """Put the rows of a group together, and in it those with the same first head, if they have several."""
    found = []
    for group, of_group in groupby(rows, lambda row: row.group):
        numbered = enumerate(of_group)
        bodies = groupby(numbered, lambda pair: pair[1].heads[0] if len(pair[1].heads) > 1 else pair[0])
        found.append((group, [[row for _, row in body] for _, body in bodies]))
    return found


def _printable(value: Any) -> Any:
    """Clean what is to be escaped; what the template calls safe stays as it is."""
    return printable(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _text(text: Text) -> str:
    return escaped(text.lines[0]) if len(text.lines) == 1 else _list(text.lines)


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {escaped(line)}" for line in lines)
