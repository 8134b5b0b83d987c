"""The report as one HTML file: no script, nothing fetched, and whatever comes from data escaped."""

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from stages.reporting.document import Document, Row, anchor, printable

FOLDER = Path(__file__).parent


def page(document: Document) -> str:
    """Return the page."""
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
    text = template.render(document=document, styles=styles, together=_together, anchor=anchor)
    return text.lstrip()


def _together(rows: Iterable[Row]) -> list[list[Row]]:
    """Put rows that follow each other with the same first head together, where they have several heads."""

    def model(numbered: tuple[int, Row]) -> str | int:
        number, row = numbered
        return row.heads[0] if len(row.heads) > 1 else number

    return [[row for _, row in found] for _, found in groupby(enumerate(rows), model)]


def _printable(value: Any) -> Any:
    """Clean what is to be escaped; what the template calls safe stays as it is."""
    return printable(value) if isinstance(value, str) and not hasattr(value, "__html__") else value
