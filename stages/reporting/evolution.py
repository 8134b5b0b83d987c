"""Every number of every model over the iterations, from what `stages.iterations` put together."""

from collections.abc import Mapping, Sequence
from typing import Any

from stages.reporting.cells import NOT_RUN, bounds, shown
from stages.reporting.document import Block, Cell, Gallery, Group, Row, Table, Text
from stages.reporting.figures import chains, figure
from stages.reporting.plots import Series
from stages.reporting.reading import Run, is_number, mapping, number
from stages.reporting.scores import Scores

FILE = "iterations.json"
ASIDE = 0.05
# line of the table -> what it is, and where its interval stands (group and metric of the scores)
DRAWN: dict[str, tuple[str, tuple[str, str] | None]] = {
    "text.paper.bleu_2": ("BLEU-2", ("paper", "bleu_2")),
    "text.paper.bleu_3": ("BLEU-3", ("paper", "bleu_3")),
    "text.paper.rouge_l": ("ROUGE-L", ("paper", "rouge_l")),
    "text.paper.meteor": ("METEOR", ("paper", "meteor")),
    "text.paper.bertscore": ("BERTScore", ("paper", "bertscore")),
    "text.paper.distinct_2": ("Distinct-2 of responses", ("paper", "distinct_2")),
    "text.paper.distinct_3": ("Distinct-3 of responses", ("paper", "distinct_3")),
    "text.standard.distinct_2": ("Distinct-2 of the corpus", ("standard", "distinct_2")),
    "text.mean_words": ("words a response", None),
    "phrases.model.in_top_openings.mean": ("% with a common opening", None),
    "facts.own_share": ("own facts, %", ("facts", "own_share")),
    "facts.generic": ("generic responses, %", ("facts", "generic")),
    "capability.score.average": ("benchmarks, average", None),
    "relevance.margin.mean": ("margin of the pairs' relevance", None),
}


def evolution_blocks(run: Run) -> list[Block]:
    """Return a figure a score, how the margin changes, and the whole table; or that there is none."""
    document = run.json(FILE)
    where = run.where(run.metrics_path(FILE))
    if document is None:
        return [
            Text.of(run.says(f"all numbers over the iterations: {NOT_RUN} (python -m stages.iterations)."))
        ]
    metrics = mapping(document, "metrics", file=where)
    scores = Scores(run)
    found = []
    for line, (label, interval) in DRAWN.items():
        row = mapping(metrics, line, file=where)
        all_chains = chains(run)
        series = [_series(row, models, at, scores, interval) for at, models in enumerate(all_chains)]
        ticks = ["start", *map(str, range(1, max(map(len, all_chains), default=1)))]
        found += figure(run, f"evolution-{line}", label, series, ("iteration", label), ticks)
    blocks: list[Block] = [Gallery(tuple(found))] if found else []
    sentences = _stale(metrics, scores, where) + _changes(
        mapping(document, "margin_change", file=where), where
    )
    blocks += [Text(tuple(sentences))] if sentences else []
    return [*blocks, _table(run, metrics, where)]


def _series(
    row: Mapping[str, Any], models: Sequence[str], at: int, scores: Scores, interval: tuple[str, str] | None
) -> Series:
    """Return a chain's line, without a point where none of its iterations has a number.

    Chains stand a little beside each other, so that one does not hide another.
    """
    numbers = [(place, model, row.get(model)) for place, model in enumerate(models)]
    there = [(place, model, value) for place, model, value in numbers if is_number(value)]
    if not any(model in scores.run.iterations for _, model, _ in there):
        there = []
    bounds_of = [
        None
        if interval is None or not _same(scores.value(model, *interval), value)
        else scores.interval(model, *interval)
        for _, model, value in there
    ]
    x = [place + ASIDE * at for place, _, _ in there]
    y = [value for _, _, value in there]
    return Series(" → ".join(models), x, y, bounds_of, colour=at, line=at, points=True)


def _stale(metrics: Mapping[str, Any], scores: Scores, where: str) -> list[str]:
    """Say which models have other scores now than when their numbers were put together."""
    lines = {line: place for line, (_, place) in DRAWN.items() if place is not None}
    changed = {
        model: None
        for line, place in lines.items()
        for model, value in mapping(metrics, line, file=where).items()
        if is_number(value) and not _same(scores.value(model, *place), value)
    }
    return [f"{where} is older than the scores of {', '.join(changed)}: make it anew."] if changed else []


def _same(now: float | None, value: float) -> bool:
    """Tell whether a number is the one that the scores have now: only then is their interval its own."""
    return now is not None and abs(now - value) < 1e-6


def _changes(changes: Mapping[str, Any], where: str) -> list[str]:
    sentences = []
    for model in changes:
        change = mapping(changes, model, file=where)
        begin = f"The margin of relevance of {model}'s pairs less that of {change.get('from')}'s: "
        mean, low, high = (number(change, key, file=where) for key in ("mean", "low", "high"))
        if mean is None:
            sentences.append(f"{begin}{change.get('change', NOT_RUN)}.")
            continue
        verdict = (
            "it shrinks"
            if change.get("shrinks")
            else "it grows"
            if change.get("grows")
            else "no clear change"
        )
        sentences.append(f"{begin}{mean:+.3f} {bounds(low, high, 3)}: {verdict}.")
    return sentences


def _table(run: Run, metrics: Mapping[str, Any], where: str) -> Table:
    models = list(dict.fromkeys(model for line in metrics for model in mapping(metrics, line, file=where)))
    rows = []
    for line in metrics:
        row = mapping(metrics, line, file=where)
        rows.append(Row((line,), tuple(_cell(row.get(model)) for model in models)))
    caption = f"Every number of every model{run.behind}"
    name, note = f"evolution-{run.name}", f"From {where}."
    return Table(name, caption, ("number",), tuple(models), (Group("", tuple(rows)),), (note,), folded=True)


def _cell(value: Any) -> Cell:
    if is_number(value):
        return Cell(str(value) if isinstance(value, int) else shown(value, 4))
    return Cell(str(value), kind="absent")
