"""Drawings as SVG: the same data give the same bytes, text stays text, and nothing is fetched.

A drawing is small enough to be read on a phone; what it shows beside another stands in a drawing of its own.
Text is never taken for mathematics, whatever signs a phrase or a name has.
"""

import io
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from stages.reporting.document import printable

WIDTH, HEIGHT = 4.4, 3.1  # inches
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#7f7f7f")
LINES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "svg.fonttype": "none",
    "svg.hashsalt": "report",
    "text.parse_math": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "axes.axisbelow": True,
    "path.simplify": True,
}
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
    """One bar with its label above it, and a second value to compare with."""

    label: str
    value: float
    other: float | None = None


@dataclass(frozen=True)
class Stack:
    """One bar of parts that stand one behind the other, with its label above it."""

    label: str
    parts: Sequence[float]


def lines(name: str, series: Sequence[Series], x_label: str, y_label: str, ticks: Sequence[str] = ()) -> str:
    """Draw lines over a common axis; `ticks` name its whole numbers from 0 where it is not one of numbers.

    Args:
        name: of the drawing; no two on a page may have the same.
        series: at least one with a point.
        x_label: what the axis is.
        y_label: what the values are.
        ticks: names in the place of numbers.
    """
    with _drawing() as figure_of:
        names = [one for one in series if one.label]
        legend_lines = -(-len(names) // 2)
        names_of_ticks = [_short(tick, 12 if len(ticks) < 5 else 16) for tick in ticks]
        slanted = sum(map(len, names_of_ticks)) > _FITTING
        below = 0.2 * legend_lines + (0.55 if slanted else 0.0)
        height = HEIGHT + below
        figure = figure_of(figsize=(WIDTH, height))
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
            figure.legend(loc="lower center", ncols=2, frameon=False, fontsize=9, borderaxespad=0.1)
        return _finished(figure, name)


def bars(name: str, found: Sequence[Bar], x_label: str, other: str) -> str:
    """Draw bars from the top down, labels and values above them; `other` names the diamonds' values."""
    with _drawing() as figure_of:
        height = 0.95 + 0.42 * len(found)
        figure = figure_of(figsize=(WIDTH, height))
        axes = figure.add_axes((0.04, 0.75 / height, 0.92, (height - 0.85) / height))
        at = range(len(found))
        axes.barh(at, [bar.value for bar in found], height=0.34, color=COLOURS[0])
        most = max([bar.value for bar in found] + [bar.other or 0.0 for bar in found] + [1e-9])
        for place, bar in zip(at, found, strict=True):
            both = f"{bar.value:.1f}" + ("" if bar.other is None else f" ({bar.other:.1f})")
            axes.text(0, place - 0.25, f"{_short(bar.label, 36)}  {both}", va="bottom", ha="left")
        there = [(bar.other, place) for place, bar in zip(at, found, strict=True) if bar.other is not None]
        if there:
            x, y = zip(*there, strict=True)
            named = f" {_short(other, 40)}"
            axes.plot(x, y, "D", color=COLOURS[1], markersize=5, label=named, linestyle="none")
            axes.plot([], [], "s", color=COLOURS[0], label="the model's")
            figure.legend(loc="lower center", ncols=2, frameon=False, fontsize=9, borderaxespad=0.1)
        axes.set_ylim(len(found) - 0.6, -0.75)
        axes.set_xlim(0, 1.05 * most)
        axes.set_yticks([])
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(_short(x_label, 40))
        return _finished(figure, name)


def stacks(name: str, found: Sequence[Stack], parts: Sequence[str], x_label: str) -> str:
    """Draw stacked bars from the top down, labels above them; `parts` names the parts of every bar."""
    with _drawing() as figure_of:
        height = 0.95 + 0.46 * len(found)
        figure = figure_of(figsize=(WIDTH, height))
        axes = figure.add_axes((0.04, 0.75 / height, 0.92, (height - 0.85) / height))
        for at, part in enumerate(parts):
            before = [sum(bar.parts[:at]) for bar in found]
            values = [bar.parts[at] for bar in found]
            colour = COLOURS[(0, 7, 1)[at % 3]]
            axes.barh(range(len(found)), values, left=before, height=0.34, color=colour, label=f" {part}")
        for place, bar in enumerate(found):
            values_text = " / ".join(f"{value:.1f}" for value in bar.parts)
            axes.text(0, place - 0.25, f"{_short(bar.label, 30)}  {values_text}", va="bottom", ha="left")
        figure.legend(loc="lower center", ncols=len(parts), frameon=False, fontsize=9, borderaxespad=0.1)
        axes.set_ylim(len(found) - 0.6, -0.75)
        axes.set_yticks([])
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(_short(x_label, 40))
        return _finished(figure, name)


def _draw(axes: Any, one: Series) -> None:
    joined = "none" if one.line is None else LINES[one.line % len(LINES)]
    style = {"color": COLOURS[one.colour % len(COLOURS)], "linestyle": joined}
    marker = MARKERS[one.colour % len(MARKERS)] if one.points or len(one.x) == 1 else ""
    # a label that begins with an underscore is none to matplotlib
    label = f" {_short(one.label, 26)}" if one.label else "_nolegend_"
    axes.plot(one.x, one.y, marker=marker, markersize=5, linewidth=1.6, label=label, **style)
    for x, bound in zip(one.x, one.bounds, strict=False):
        if bound is not None:
            axes.plot([x, x], bound, color=style["color"], linewidth=1, marker="_", markersize=6)


@contextmanager
def _drawing() -> Iterator[Any]:
    """Give matplotlib's Figure, in this module's style and none of the user's."""
    import matplotlib  # here, since it takes a moment to load
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield Figure


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
