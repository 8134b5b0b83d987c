"""Drawings as SVG: the same data give the same bytes, text stays text, and nothing is fetched.

A drawing is small enough to be read on a phone; what it shows beside another stands in a drawing of its own.
Text is never taken for mathematics, whatever signs a phrase or a name has.
"""

import io
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from selfevolve.report.table import printable

WIDTH, HEIGHT = 4.4, 3.1  # inches
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#7f7f7f")
PARTS = (0, 7, 1)  # colours of the parts of a bar
LINES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
STYLE = Path(__file__).with_name("plots.mplstyle")
NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}
_FITTING = 45  # letters of the names below an axis that stand side by side
_SVG = "http://www.w3.org/2000/svg"
_HREF = "{http://www.w3.org/1999/xlink}href"


@dataclass(frozen=True)
class Series:
    """One line: points, and the bounds of their intervals where they have any.

    `label` is empty for a line without a name of its own; `colour` and `line` are positions in their lists,
    and points without a `line` are not joined.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    bounds: Sequence[tuple[float, float] | None] = ()
    colour: int = 0
    line: int | None = 0
    points: bool = False


@dataclass(frozen=True)
class Bar:
    """One bar of parts that follow each other, with its label above it, and a value to compare with."""

    label: str
    parts: Sequence[float]
    other: float | None = None


def lines(name: str, series: Sequence[Series], x_label: str, y_label: str, ticks: Sequence[str] = ()) -> str:
    """Draw lines, at least one with a point, over an axis; `ticks` name its whole numbers from 0.

    No two drawings on a page may have the same name.
    """
    with matplotlib.rc_context(fname=STYLE):
        names = [one for one in series if one.label]
        names_of_ticks = [_short(tick, 12 if len(ticks) < 5 else 16) for tick in ticks]
        slanted = sum(map(len, names_of_ticks)) > _FITTING
        below = 0.2 * -(-len(names) // 2) + (0.55 if slanted else 0.0)
        height = HEIGHT + below
        figure = Figure(figsize=(WIDTH, height))
        bottom = 0.55 + below
        axes = figure.add_axes((0.17, bottom / height, 0.79, (height - bottom - 0.12) / height))
        for one in series:
            _draw(axes, one)
        axes.set_xlabel(_short(x_label, 40))
        axes.set_ylabel(_short(y_label, 40))
        if ticks:
            axes.set_xticks(range(len(ticks)), names_of_ticks)
            if slanted:
                axes.tick_params(axis="x", labelrotation=35)
                for label in axes.get_xticklabels():
                    label.set(horizontalalignment="right", rotation_mode="anchor")
            axes.set_xlim(-0.3, len(ticks) - 0.7)
        if names:
            figure.legend(loc="lower center", ncols=2)
        return _finished(figure, name)


def bars(name: str, found: Sequence[Bar], x_label: str, parts: Sequence[str], other: str = "") -> str:
    """Draw bars, at least one, from the top down, with labels and values above them.

    `parts` are the names of every bar's parts, and `other` of the values to compare with, which are diamonds.
    """
    with matplotlib.rc_context(fname=STYLE):
        height = 0.95 + 0.44 * len(found)
        figure = Figure(figsize=(WIDTH, height))
        axes = figure.add_axes((0.04, 0.75 / height, 0.92, (height - 0.85) / height))
        for at, part in enumerate(parts):
            before = [sum(bar.parts[:at]) for bar in found]
            values = [bar.parts[at] for bar in found]
            label, colour = f" {_short(part, 40)}", COLOURS[PARTS[at % len(PARTS)]]
            axes.barh(range(len(found)), values, left=before, height=0.34, color=colour, label=label)
        for place, bar in enumerate(found):
            numbers = " / ".join(f"{value:.1f}" for value in bar.parts)
            numbers += "" if bar.other is None else f" ({bar.other:.1f})"
            label = f"{_short(bar.label, 50 - len(numbers))}  {numbers}"
            axes.text(0, place - 0.25, label, va="bottom", ha="left")
        compared = [(bar.other, place) for place, bar in enumerate(found) if bar.other is not None]
        if compared:
            x, y = zip(*compared, strict=True)
            axes.plot(x, y, "D", color=COLOURS[1], label=f" {_short(other, 40)}", linestyle="none")
        figure.legend(loc="lower center", ncols=len(parts) + bool(compared))
        axes.set_ylim(len(found) - 0.6, -0.75)
        axes.set_xlim(0, 1.05 * max(1e-9, *(max(sum(bar.parts), bar.other or 0.0) for bar in found)))
        axes.set_yticks([])
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(_short(x_label, 40))
        return _finished(figure, name)


def _draw(axes: Any, one: Series) -> None:
    joined = "none" if one.line is None else LINES[one.line % len(LINES)]
    style = {"color": COLOURS[one.colour % len(COLOURS)], "linestyle": joined}
    # where the colours begin again, they do so with other markers
    number = one.colour + one.colour // len(COLOURS)
    marker = MARKERS[number % len(MARKERS)] if one.points or len(one.x) == 1 else ""
    # a label that begins with an underscore is none to matplotlib
    label = f" {_short(one.label, 26)}" if one.label else "_nolegend_"
    axes.plot(one.x, one.y, marker=marker, label=label, **style)
    for x, bound in zip(one.x, one.bounds, strict=False):
        if bound is not None:
            axes.plot([x, x], bound, color=style["color"], linewidth=1, marker="_", markersize=6)


def _finished(figure: Any, name: str) -> str:
    """Return the figure as an element for a page: names of its own, size left to the page, no styles."""
    out = io.StringIO()
    with warnings.catch_warnings():
        # Text stays text: the reader's fonts draw it, and what DejaVu lacks is only measured too narrow.
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        figure.savefig(out, format="svg", metadata=NO_METADATA)
    root = ET.fromstring(out.getvalue())
    ET.register_namespace("", _SVG)
    for element in root.iter():
        for key, value in list(element.attrib.items()):
            if key == "id":
                element.set(key, f"{name}-{value}")
            elif key == _HREF:
                del element.attrib[key]
                element.set("href", value.replace("#", f"#{name}-"))
            elif "url(#" in value:
                element.set(key, value.replace("url(#", f"url(#{name}-"))
    for parent in list(root.iter()):
        for style in parent.findall(f"{{{_SVG}}}style"):
            parent.remove(style)
    for size in ("width", "height"):
        del root.attrib[size]
    root.set("aria-hidden", "true")  # the figure's words are read instead
    return ET.tostring(root, encoding="unicode")


def _short(text: str, length: int) -> str:
    text = " ".join(printable(text).split())
    return text if len(text) <= length else text[: length - 1] + "…"
