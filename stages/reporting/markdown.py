"""The report as Markdown: the same words and numbers; drawings are told in words."""

import re
from collections.abc import Iterator, Sequence

from stages.reporting.document import Block, Cell, Dialogue, Document, Gallery, Table, Text, printable

_SIGNS = re.compile(r"([\\`*_{}\[\]()#|~$!])")


def markdown(document: Document) -> str:
    """Return the report as Markdown in GitHub's dialect."""
    parts = [f"# {escaped(document.title)}", *_text(document.introduction), f"The paper: <{document.link}>"]
    for section in document.sections:
        parts.append(f"## {escaped(section.title)}")
        for block in section.blocks:
            parts += _block(block)
    return "\n\n".join(parts) + "\n"


def escaped(text: str) -> str:
    """Return a text on one line in which no sign is Markdown's or HTML's, fit for a cell of a table."""
    line = " ".join(printable(text).split())
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SIGNS.sub(r"\\\1", line)


def _block(block: Block) -> Iterator[str]:
    if isinstance(block, Table):
        yield f"### {escaped(block.caption)}"
        yield _table(block)
        if block.notes:
            yield _list(block.notes)
    elif isinstance(block, Text):
        yield from _text(block)
    elif isinstance(block, Gallery):
        yield _list([f"{figure.caption} (drawn in index.html): {figure.words}" for figure in block.figures])
    else:
        yield from _dialogue(block)


def _table(table: Table) -> str:
    lines = [[*map(escaped, table.heads), *map(escaped, table.columns)]]
    lines.append(["---"] * len(table.heads) + ["---:"] * len(table.columns))
    for group in table.groups:
        if group.label:
            lines.append([f"**{escaped(group.label)}**", *[""] * (len(lines[0]) - 1)])
        for row in group.rows:
            lines.append([*map(escaped, row.heads), *(text for cell in row.cells for text in _cells(cell))])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cells(cell: Cell) -> list[str]:
    words = escaped(" ".join(part for part in (cell.text, cell.mark, cell.detail) if part))
    return [words, *[""] * (cell.span - 1)]


def _text(text: Text) -> list[str]:
    return [escaped(text.lines[0])] if len(text.lines) == 1 else [_list(text.lines)]


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {escaped(line)}" for line in lines)


def _dialogue(dialogue: Dialogue) -> Iterator[str]:
    yield f"### {escaped(dialogue.title)}"
    told = [*dialogue.turns, *dialogue.answers]
    yield "\n>\n".join(f"> **{escaped(speaker)}:** {escaped(words)}" for speaker, words in told)
    if dialogue.note:
        yield escaped(dialogue.note)
