"""The report as one HTML file: no script, nothing fetched, and whatever comes from data escaped."""

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

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
    styles = Markup((FOLDER / "page.css").read_text(encoding="utf-8"))
    template = environment.get_template("page.html")
    # A drawing is matplotlib's: its texts are escaped there.
    text = template.render(
        document=document, styles=styles, together=_together, anchor=anchor, drawing=Markup
    )
    return text.lstrip()


def _together(rows: Iterable[Row]) -> list[list[Row]]:
    """Put rows that follow each other with the same first head together, where they have several heads."""
    numbered = enumerate(rows)
    key = lambda one: one[1].heads[0] if len(one[1].heads) > 1 else one[0]  # noqa: E731
    return [[row for _, row in found] for _, found in groupby(numbered, key)]


def _printable(value: Any) -> Any:
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
