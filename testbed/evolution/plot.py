"""Draw what five iterations did: a panel a number, a line an arm, the models in order below."""

import io
from collections.abc import Mapping
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from selfevolve.report.plots import COLOURS, MARKERS, NO_METADATA, STYLE

# Panels: where the numbers are, and which; in the order in which they are read.
PANELS = (
    ("models", "own_share"),
    ("models", "wrong"),
    ("models", "personalisation"),
    ("models", "distinct_2"),
    ("models", "words"),
    ("models", "from_backbone"),
    ("models", "similar"),
    ("iterations", "pair_overlap"),
    ("iterations", "margin"),
)
COLUMNS, SIZE = 3, (10.5, 8.4)
APART = 0.06  # between the arms' points, so that intervals do not cover each other


def draw(found: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    """Return the plot of an evolution.json as SVG; the same numbers give the same bytes.

    Args:
        found: the numbers, means over seeds with their intervals.
        labels: of the panels, by the names of the numbers.
    """
    with matplotlib.rc_context(fname=STYLE):
        matplotlib.rcParams["svg.hashsalt"] = "evolution"
        figure = Figure(figsize=SIZE)
        arms = list(dict.fromkeys(row["arm"] for row in found["models"]))
        for place, (kind, name) in enumerate(PANELS, start=1):
            axes = figure.add_subplot(-(-len(PANELS) // COLUMNS), COLUMNS, place)
            axes.set_title(labels[name], fontsize=10)
            for at, arm in enumerate(arms):
                rows = [row for row in found[kind] if row["arm"] == arm and name in row]
                numbers = [int(row["model"][1:]) + APART * (at - (len(arms) - 1) / 2) for row in rows]
                means = [row[name]["mean"] for row in rows]
                style = {"color": COLOURS[at % len(COLOURS)], "marker": MARKERS[at % len(MARKERS)]}
                axes.plot(numbers, means, label=arm, **style)
                for x, row in zip(numbers, rows, strict=True):
                    axes.plot(
                        [x, x], [row[name]["low"], row[name]["high"]], color=style["color"], linewidth=0.8
                    )
            axes.set_xticks(range(found["last"] + 1), [f"M{model}" for model in range(found["last"] + 1)])
        figure.subplots_adjust(left=0.06, right=0.98, top=0.96, bottom=0.09, hspace=0.32, wspace=0.22)
        figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="lower center", ncols=len(arms))
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata=NO_METADATA)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"
