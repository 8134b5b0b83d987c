"""Figures of a run, none of them empty: training curves, relevance, phrases, what reflections infer."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from selfevolve.report.described import report, table
from selfevolve.report.document import Block, Figure, Gallery, Text, anchor
from selfevolve.report.plots import Bar, Series, bars, lines
from selfevolve.report.reading import Part, Run
from selfevolve.report.table import NOT_RUN, shown
from selfevolve.runtime.errors import InputError

CURVES, OPENINGS, PHRASES = "curves.csv", "openings.csv", "phrases.csv"
DENSITY = {"chosen_density": "chosen", "rejected_density": "rejected"}
PERCENT = {"chosen_percent": "chosen", "rejected_percent": "rejected"}
KINDS = ("emotion", "problem")
TOGETHER = 5  # models in a drawing: of more nobody could tell them apart
ASIDE = 0.05  # by how much lines stand beside each other, so that one does not hide another
_NOTHING = 1e-3  # a density below this is the tail of no value


def curve_blocks(run: Run) -> list[Block]:
    """Return what was kept of every training of a run, its curves, and which models have none."""
    sft = list(run.params.at("sft").value)
    tables: list[Block] = []
    for name, models in (("fine-tunings", sft), ("preference trainings", run.iterations)):
        files = {model: run.json(model, "training.json") for model in models}
        tables += table(name, run, {model: file for model, file in files.items() if file.there})
    found: list[Figure] = []
    for words, column in report()["sft_curves"].items():
        series = [_curve(run, model, (CURVES, "step", column), model, at, at) for at, model in enumerate(sft)]
        found += figure(f"Fine-tuning: {words}{run.behind}", series, ("step", words))
    for models in run.chains():
        for title, columns in report()["dpo_curves"].items():
            series = [
                _curve(run, model, (CURVES, "step", column), f"{model} {words}", at, line)
                for at, model in enumerate(models)
                if model in run.iterations
                for line, (column, words) in enumerate(columns.items())
            ]
            caption = f"Preference training, {' → '.join(models)}: {title}{run.behind}"
            found += figure(caption, series, ("step", title))
    missing = [model for model in (*sft, *run.iterations) if not run.csv(model, CURVES)]
    return [*tables, *gallery(found, run, "training curves of", missing)]


def relevance_blocks(run: Run) -> list[Block]:
    """Return figure 5: distributions and margins of every iteration, and the numbers behind them."""
    files = {model: run.json(model, "relevance.json") for model in run.iterations}
    found = [one for model in files for one in _distribution(run, model)]
    margins = []
    for at, chain in enumerate(run.chains()):
        own = [model for model in chain if model in files]
        margins.append(measured(" → ".join(own), [files[model].at("margin") for model in own], at))
    most = max((int(x) + 1 for one in margins for x in one.x), default=0)
    ticks = [f"iteration {at + 1}" for at in range(most)]
    caption = "Figure 5b: margin of relevance, chosen minus rejected, with intervals over dialogues"
    found += figure(f"{caption}{run.behind}", margins, ("", "margin"), ticks)
    rows = {
        (model, source): part
        for model, file in files.items()
        for source, part in ({"all": file} | file.at("by_source").parts() if file.there else {}).items()
    }
    reasons = [sentence for file in files.values() for sentence in file.absences()]
    missing = [model for model, file in files.items() if not file.there]
    blocks = gallery(found, run, "relevance of the pairs of", missing)
    return [*blocks, *table("relevance", run, rows, notes=reasons)]


def phrase_blocks(run: Run) -> list[Block]:
    """Return figure 6: the commonest openings and phrases of every model, the golden responses' beside."""
    found: list[Figure] = []
    missing, silent = [], []
    for model in run.models:
        if openings := _phrases(run, model, OPENINGS):
            names = ("percent of the responses", ["the model's"], "golden responses (in brackets)")
            found += bar_figure(f"Figure 6: openings of {model}{run.behind}", openings, *names)
        else:
            (silent if run.has(run.metrics_path(model, OPENINGS)) else missing).append(model)
    none = f"no phrase of the length asked for stands in any response of {', '.join(silent)}."
    said = [Text.of(run.says(none))] if silent else []
    rows = [
        ((model, bar.label), Part("", {"percent": bar.parts[0], "golden": bar.other}))
        for model in run.models
        for bar in _phrases(run, model, PHRASES)
    ]
    return [*gallery(found, run, "phrases of", missing), *said, *table("phrases", run, rows)]


def inference_blocks(run: Run) -> list[Block]:
    """Return how often reflections name emotion and problem, by the number of seeker turns seen."""
    files = {model: run.json(model, "profile_inference.json") for model in run.models}
    groups = {model: file.at("by_seeker_turns").parts() for model, file in files.items() if file.there}
    turns = sorted({seen for of_one in groups.values() for seen in of_one}, key=in_order)
    found: list[Figure] = []
    for kind in KINDS:
        for start in range(0, len(groups), TOGETHER):
            few = list(groups)[start : start + TOGETHER]
            named = [
                [files[model].at("by_seeker_turns", seen, kind, "named") for seen in turns] for model in few
            ]
            series = [measured(model, named[at], at, ASIDE * at) for at, model in enumerate(few)]
            caption = f"Reflections that name the {kind}: {', '.join(few)}{run.behind}"
            found += figure(caption, series, ("seeker turns seen", "% of reflections"), turns)
    missing = [model for model in files if model not in groups]
    rows = {(model, seen): part for model, of_one in groups.items() for seen, part in of_one.items()}
    blocks = gallery(found, run, "what reflections infer of the seeker, by", missing)
    return [*blocks, *table("inference", run, rows)]


def figure(
    caption: str, series: Sequence[Series], axes: tuple[str, str], ticks: Sequence[str] = ()
) -> list[Figure]:
    """Return a figure of the lines that have a point, or none; no two may have the same caption.

    `axes` say what the axes are; `ticks` name the whole numbers from 0 where the first is not one of numbers.
    """
    there = [one for one in series if len(one.x)]
    if not there:
        return []
    name = anchor(f"figure {caption}")
    return [Figure(name, caption, lines(name, there, *axes, ticks), "; ".join(map(_in_words, there)))]


def bar_figure(
    caption: str, found: Sequence[Bar], axis: str, parts: Sequence[str], other: str = ""
) -> list[Figure]:
    """Return a figure of bars, or none where there is no bar; the arguments are those of `bars`."""
    name = anchor(f"figure {caption}")
    of_one = [" " if len(parts) == 1 else f" {part} " for part in parts]
    shares = [[f"{part}{v:.1f} %" for part, v in zip(of_one, bar.parts, strict=True)] for bar in found]
    words = "; ".join(f"{bar.label}:{','.join(share)}" for bar, share in zip(found, shares, strict=True))
    return [Figure(name, caption, bars(name, found, axis, parts, other), words)] if found else []


def gallery(figures: Sequence[Figure], run: Run, what: str, missing: Sequence[str]) -> list[Block]:
    """Return figures side by side, and a sentence that says of which models there are none."""
    blocks: list[Block] = [Gallery(tuple(figures))] if figures else []
    sentence = f"{what} {', '.join(missing)}: {NOT_RUN}."
    return [*blocks, *([Text.of(run.says(sentence))] if missing else [])]


def measured(label: str, parts: Sequence[Part], at: int, aside: float = 0.0, of: str = "mean") -> Series:
    """Return a line through a number of these parts, with its intervals; `at` chooses its colour."""
    there = [(place, part) for place, part in enumerate(parts) if part.number(of) is not None]
    x, y = [place + aside for place, _ in there], [part.number(of) or 0.0 for _, part in there]
    return Series(label, x, y, [part.interval() for _, part in there], colour=at, line=at, points=True)


def _curve(run: Run, model: str, columns: tuple[str, str, str], label: str, colour: int, line: int) -> Series:
    """Return a line through the rows of a CSV file that have both numbers; `columns` begin with the file."""
    file, *axes = columns
    where = run.where(run.metrics_path(model, file))
    both = [[_cell(row, axis, where) for axis in axes] for row in run.csv(model, file)]
    there = [(x, y) for x, y in both if x is not None and y is not None]
    return Series(label, [x for x, _ in there], [y for _, y in there], colour=colour, line=line)


def _distribution(run: Run, model: str) -> list[Figure]:
    """Return the distribution of relevance over the pairs, without the tails where there is none."""
    file = "relevance.csv"
    columns = DENSITY if any(row.get("chosen_density") for row in run.csv(model, file)) else PERCENT
    both = [_curve(run, model, (file, "relevance", c), columns[c], at, at) for at, c in enumerate(columns)]
    there = [x for one in both for x, y in zip(one.x, one.y, strict=True) if y > _NOTHING]
    series = []
    for one in both:
        kept = [at for at, x in enumerate(one.x) if there and min(there) <= x <= max(there)]
        series.append(replace(one, x=[one.x[at] for at in kept], y=[one.y[at] for at in kept]))
    unit = "density" if columns is DENSITY else "percent of the pairs"
    return figure(f"Figure 5a: {model}'s pairs{run.behind}", series, ("relevance", unit))


def _phrases(run: Run, model: str, file: str) -> list[Bar]:
    where = run.where(run.metrics_path(model, file))
    found = []
    for row in run.csv(model, file):
        percent, golden = (_cell(row, column, where) for column in ("percent", "golden_percent"))
        found.append(Bar(f"“{row.get('phrase') or ''}”", [percent or 0.0], golden))
    return found


def _cell(row: Mapping[str, str], column: str, where: str) -> float | None:
    """Return a number of a line of a CSV file, None where there is none; InputError where it is no number."""
    text = row.get(column)
    try:
        return float(text) if text else None
    except (TypeError, ValueError):
        raise InputError("is not a number", file=where, field=column) from None


def _in_words(one: Series) -> str:
    if one.line is None:
        return f"{one.label}: {', '.join(map(shown, one.y))}"
    first, last = shown(one.y[0], 3), shown(one.y[-1], 3)
    if len(one.y) == 1:
        return f"{one.label}: {first}"
    return f"{one.label}: {len(one.y)} points, from {first} to {last}, at most {shown(max(one.y), 3)}"


def in_order(turns: str) -> tuple[bool, int, str]:
    """Return the key by which numbers of turns are sorted; words come last."""
    return (not turns.isdecimal(), int(turns) if turns.isdecimal() else 0, turns)
