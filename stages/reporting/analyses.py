"""Figures 5 and 6: relevance of chosen and rejected responses, and the phrases that models repeat."""

from collections.abc import Mapping, Sequence
from typing import Any

from stages.reporting.cells import bounds, not_available, p_value, shown, shown_count, without_folders
from stages.reporting.document import Block, Cell, Figure, Group, Row, Table, Text, anchor
from stages.reporting.figures import cell, chains, figure, gallery, points
from stages.reporting.plots import Bar, Series, bars
from stages.reporting.reading import Run, is_number, mapping, number

DENSITY = {"chosen_density": "chosen", "rejected_density": "rejected"}
PERCENT = {"chosen_percent": "chosen", "rejected_percent": "rejected"}
SIDES = ("chosen", "rejected", "margin")
ALL = "all"
_NOTHING = 1e-3  # a density below this is the tail of no value


def relevance_blocks(run: Run) -> list[Block]:
    """Return figure 5: distributions and margins of every iteration, and the numbers behind them."""
    found: list[Figure] = []
    missing: list[str] = []
    for model in run.iterations:
        found += _distribution(run, model)
        missing += [model] if run.json(model, "relevance.json") is None else []  # else its reason is below
    margins = [one for at, models in enumerate(chains(run)) if (one := _margins(run, models, at)) is not None]
    most = max((int(x) + 1 for one in margins for x in one.x), default=0)
    ticks = [f"iteration {at + 1}" for at in range(most)]
    caption = "Figure 5b: margin of relevance, chosen minus rejected, with intervals over dialogues"
    found += figure(run, "margin", caption, margins, ("", "margin"), ticks)
    return [*gallery(found, run, "relevance of the pairs of", missing), *_relevance_table(run)]


def phrase_blocks(run: Run) -> list[Block]:
    """Return figure 6: the commonest openings and phrases of every model, the golden responses' beside."""
    found: list[Figure] = []
    missing = [model for model in run.models if run.csv(model, "openings.csv") is None]
    silent: list[str] = []
    for model in run.models:
        openings = _phrases(run, model, "openings.csv")
        if not openings:
            silent += [] if model in missing else [model]
            continue
        name = anchor(f"figure-{run.name}-openings-{model}")
        words = "; ".join(f"{bar.label} {bar.value:.1f} %" for bar in openings)
        svg = bars(name, openings, "percent of the responses", "golden responses (in brackets)")
        found.append(Figure(name, f"Figure 6: openings of {model}{run.behind}", svg, words))
    none = f"no phrase of the length asked for stands in any response of {', '.join(silent)}."
    said = [Text.of(run.says(none))] if silent else []
    return [*gallery(found, run, "phrases of", missing), *said, *_phrase_table(run)]


def _distribution(run: Run, model: str) -> list[Figure]:
    file = (model, "relevance.csv")
    table = run.csv(*file) or []
    columns = DENSITY if any(row.get("chosen_density") for row in table) else PERCENT
    both = [points(run, file, table, "relevance", column) for column in columns]
    there = [at for x, y in both for at, value in zip(x, y, strict=True) if value > _NOTHING]
    series = []
    for at, ((x, y), side) in enumerate(zip(both, columns.values(), strict=True)):
        kept = [(a, b) for a, b in zip(x, y, strict=True) if there and min(there) <= a <= max(there)]
        series.append(Series(side, [a for a, _ in kept], [b for _, b in kept], colour=at, line=at))
    unit = "density" if columns is DENSITY else "percent of the pairs"
    return figure(run, f"relevance-{model}", f"Figure 5a: {model}'s pairs", series, ("relevance", unit))


def _margins(run: Run, models: Sequence[str], colour: int) -> Series | None:
    own = [model for model in models if model in run.iterations]
    x: list[float] = []
    y: list[float] = []
    intervals: list[tuple[float, float] | None] = []
    for at, model in enumerate(own):
        mean, low, high = _measured(run.json(model, "relevance.json"), _where(run, model), "margin")
        if mean is not None:
            x.append(at)
            y.append(mean)
            intervals.append(None if low is None or high is None else (low, high))
    return Series(" → ".join(own), x, y, intervals, colour, colour, points=True) if x else None


def _relevance_table(run: Run) -> list[Block]:
    rows = []
    notes = {
        "Relevance: the mean cosine between the response and each of the seeker's turns. Where a golden "
        "response stands in for a refined one, the margin says nothing of refinement: see the single "
        "sources.": None
    }
    for model in run.iterations:
        document, where = run.json(model, "relevance.json"), _where(run, model)
        if document is None:
            continue
        rows.append(Row((model, ALL), _relevance(document, where)))
        sources = mapping(document, "by_source", file=where)
        rows += [
            Row((model, source), _relevance(mapping(sources, source, file=where), where))
            for source in sources
        ]
        for name, reason in mapping(document, "not_available", file=where).items():
            notes[f"{where}: {name} is not available: {without_folders(str(reason))}."] = None
    if not rows:
        return []
    columns = ("pairs", *SIDES, "p of the margin", "overlap")
    caption = f"Relevance in numbers{run.behind}"
    heads, groups = ("iteration", "chosen from"), (Group("", tuple(rows)),)
    return [Table(f"relevance-{run.name}", caption, heads, columns, groups, tuple(notes), folded=True)]


def _relevance(document: Mapping[str, Any], where: str) -> tuple[Cell, ...]:
    pairs = number(document, "pairs", file=where)
    cells = [not_available() if pairs is None else Cell(shown_count(pairs))]
    for side in SIDES:
        mean, low, high = _measured(document, where, side)
        cells.append(not_available() if mean is None else Cell(shown(mean, 3), detail=bounds(low, high, 3)))
    p = number(document, "margin", "p", file=where)
    cells.append(not_available() if p is None else Cell(p_value(p)))
    overlap = document.get("overlap")
    return (*cells, Cell(shown(overlap, 3)) if is_number(overlap) else not_available())


def _measured(
    document: Mapping[str, Any] | None, where: str, side: str
) -> tuple[float | None, float | None, float | None]:
    mean, low, high = (number(document, side, key, file=where) for key in ("mean", "low", "high"))
    return mean, low, high


def _phrases(run: Run, model: str, file: str) -> list[Bar]:
    where = run.where(run.metrics_path(model, file))
    return [
        Bar(
            f"“{row.get('phrase') or ''}”",
            cell(row, "percent", where) or 0.0,
            cell(row, "golden_percent", where),
        )
        for row in run.csv(model, file) or []
    ]


def _phrase_table(run: Run) -> list[Block]:
    rows = [
        Row(
            (model, bar.label),
            (Cell(shown(bar.value)), not_available() if bar.other is None else Cell(shown(bar.other))),
        )
        for model in run.models
        for bar in _phrases(run, model, "phrases.csv")
    ]
    if not rows:
        return []
    caption = f"The commonest phrases of every length{run.behind}"
    columns, note = ("percent of the responses", "of the golden ones"), "From metrics/MODEL/phrases.csv."
    groups = (Group("", tuple(rows)),)
    return [Table(f"phrases-{run.name}", caption, ("model", "phrase"), columns, groups, (note,), folded=True)]


def _where(run: Run, model: str) -> str:
    return run.where(run.metrics_path(model, "relevance.json"))
