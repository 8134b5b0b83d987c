"""Two checks that the paper leaves to others: what reflections infer of the seeker, and other test sets."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from stages.reporting.cells import bounds, not_available, not_run, shown, shown_count
from stages.reporting.certainty import NAMES, PROTOCOLS, flat
from stages.reporting.document import Block, Cell, Figure, Group, Row, Table, Text
from stages.reporting.figures import figure, gallery
from stages.reporting.plots import Series
from stages.reporting.reading import Run, is_number, mapping, number
from stages.reporting.scores import Scores

INFERENCE = "profile_inference.json"
KINDS = ("emotion", "problem")
TOGETHER = 5  # models in a drawing
ASIDE = 0.05
UNSEEN = "unseen"
COUNTED = ("dialogues.json", "contexts.json")


def inference_blocks(run: Run) -> list[Block]:
    """Return how often reflections name emotion and problem, by the number of seeker turns seen."""
    found = {model: run.json(model, INFERENCE) for model in run.models}
    groups = {
        model: mapping(document, "by_seeker_turns", file=_where(run, model))
        for model, document in found.items()
        if document is not None
    }
    turns = sorted({name for of_one in groups.values() for name in of_one}, key=_in_order)
    figures = [one for kind in KINDS for one in _figures(run, groups, kind, turns)]
    missing = [model for model, document in found.items() if document is None]
    blocks = gallery(figures, run, "what reflections infer of the seeker, by", missing)
    rows = [
        Row((model, name), _inferred(mapping(of_one, name, file=_where(run, model)), _where(run, model)))
        for model, of_one in groups.items()
        for name in of_one
    ]
    if not rows:
        return blocks
    columns = ["contexts", "no valid JSON"]
    columns += [part for kind in KINDS for part in (f"{kind} named", "by chance")]
    notes = (
        "In percent of the reflections; in brackets an interval over dialogues. “By chance”: how often a "
        "reflection names what is true of another dialogue. What counts is the distance between the two.",
        f"From {run.layout.metrics}/MODEL/{INFERENCE}.",
    )
    caption, heads = f"What reflections infer{run.behind}", ("model", "seeker turns")
    table = Table(f"inference-{run.name}", caption, heads, tuple(columns), (Group("", tuple(rows)),), notes)
    return [*blocks, table]


def unseen_blocks(run: Run) -> list[Block]:
    """Return the scores on every further test set that the parameters name, and what was left out of it."""
    sets = _names(run, "sets")
    if not sets:
        return [Text.of(run.says("no further test set is named (unseen.sets in the parameters)."))]
    return [block for name in sets for block in _unseen(run, name)]


def unseen_folders(run: Run) -> list[str]:
    """Return the folders below the metrics folder that hold the numbers of further test sets."""
    found: list[str] = []
    for name in _names(run, "sets"):
        found += [f"{UNSEEN}/{name}", *(f"{UNSEEN}/{name}/{model}" for model in _names(run, "asked"))]
    return found


def _figures(
    run: Run, groups: Mapping[str, Mapping[str, Any]], kind: str, turns: Sequence[str]
) -> list[Figure]:
    """Return drawings of a few models each: of all in one nobody could tell them apart."""
    found: list[Figure] = []
    axes = ("seeker turns seen", "% of reflections")
    for start in range(0, len(groups), TOGETHER):
        few = list(groups.items())[start : start + TOGETHER]
        series = [_line(run, model, of_one, kind, turns, at) for at, (model, of_one) in enumerate(few)]
        caption = f"Reflections that name the {kind}: {', '.join(model for model, _ in few)}"
        found += figure(run, f"inference-{kind}-{start}", caption, series, axes, turns)
    return found


def _line(
    run: Run, model: str, groups: Mapping[str, Any], kind: str, turns: Sequence[str], at: int
) -> Series:
    x: list[float] = []
    y: list[float] = []
    intervals: list[tuple[float, float] | None] = []
    for place, name in enumerate(turns):
        mean, low, high = _named(mapping(groups, name, file=_where(run, model)), kind, _where(run, model))
        if mean is not None:
            x.append(place + ASIDE * at)
            y.append(mean)
            intervals.append(None if low is None or high is None else (low, high))
    return Series(model, x, y, intervals, colour=at, line=at, points=True)


def _named(
    group: Mapping[str, Any], kind: str, where: str
) -> tuple[float | None, float | None, float | None]:
    mean, low, high = (number(group, kind, "named", key, file=where) for key in ("mean", "low", "high"))
    return mean, low, high


def _inferred(group: Mapping[str, Any], where: str) -> tuple[Cell, ...]:
    contexts = number(group, "contexts", file=where)
    invalid = number(group, "invalid", "mean", file=where)
    cells = [
        not_available() if contexts is None else Cell(shown_count(contexts)),
        not_available() if invalid is None else Cell(shown(invalid)),
    ]
    for kind in KINDS:
        mean, low, high = _named(group, kind, where)
        chance = mapping(group, kind, file=where).get("by_chance")
        cells.append(not_available() if mean is None else Cell(shown(mean), detail=bounds(low, high)))
        cells.append(Cell(shown(chance)) if is_number(chance) else not_available())
    return tuple(cells)


def _unseen(run: Run, name: str) -> list[Block]:
    own = replace(run, layout=replace(run.layout, metrics=run.metrics_path(UNSEEN, name)))
    counts = {file: own.json(file) for file in COUNTED}
    if all(document is None for document in counts.values()):
        return [Text.of(run.says(f"the further test set {name}: not run (make analyses)."))]
    blocks: list[Block] = []
    for protocol in PROTOCOLS:
        scores = Scores(own)
        rows = [Row((model,), scores.cells(model, protocol, list(NAMES))) for model in _names(run, "asked")]
        rows = rows or [Row(("all",), (not_run(len(NAMES)),))]
        caption = f"{name}, a further test set: {protocol} protocol{run.behind}"
        groups, notes = (Group("", tuple(rows)),), tuple(scores.notes)
        table = f"unseen-{run.name}-{name}-{protocol}"
        blocks.append(Table(table, caption, ("model",), tuple(NAMES.values()), groups, notes))
    numbers = [
        Row((file.removesuffix(".json"), key), (Cell(shown_count(value)),))
        for file, document in counts.items()
        for key, value in flat(document or {}).items()
    ]
    caption = f"{name}: dialogues and contexts that were found, shortened, left out{run.behind}"
    note = f"From {own.where(own.layout.metrics)}."
    heads, groups = ("of", "count"), (Group("", tuple(numbers)),)
    table = f"unseen-{run.name}-{name}-counts"
    return [*blocks, Table(table, caption, heads, ("number",), groups, (note,), folded=True)]


def _names(run: Run, key: str) -> list[str]:
    """Return the names in a list of section `unseen`, which older parameters do not have."""
    found = mapping(run.params, UNSEEN, file=run.where(run.layout.params)).get(key)
    one_by_one = found if isinstance(found, list) else []
    return [str(one["name"]) for one in one_by_one if isinstance(one, Mapping) and "name" in one]


def _in_order(turns: str) -> tuple[bool, int, str]:
    return (not turns.isdecimal(), int(turns) if turns.isdecimal() else 0, turns)


def _where(run: Run, model: str) -> str:
    return run.where(run.metrics_path(model, INFERENCE))
