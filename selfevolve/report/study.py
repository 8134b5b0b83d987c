"""The study over seeds with its controls, as tables: of metrics/study/study.json, where it has been run."""

from collections.abc import Sequence
from statistics import fmean, mean, stdev

from selfevolve.metrics.labels import LABELS
from selfevolve.metrics.statistics import t_interval
from selfevolve.report.described import table
from selfevolve.report.document import Block, Gallery, Text
from selfevolve.report.figures import figure, in_order
from selfevolve.report.plots import Series
from selfevolve.report.reading import Part, Run
from selfevolve.report.table import Cell, Row, Table, bounds, not_available, shown

FILE = ("study", "study.json")
HEADS = {
    "effects": ("name",),
    "controls": ("arm", "symptom", "seeds"),
    "variants": ("arm", "difference", "seeds"),
    "losses": ("arm", "difference", "seeds"),
    "sessions": ("name", "seeds"),
    "sources": ("source", "number", "seeds"),
    "best_of": ("name", "seeds"),
    "rewards": ("reward", "seeds"),
    "instruments": ("name", "seeds", "models"),
}
SCORES = ("own_share", "personal", "generic", "garbled", "wrong", "words", "bleu_2_paper", "bleu_2_standard")
SCORES += ("distinct_2_paper", "distinct_2_standard", "capability")
TURNS = ("fields_right", "profile_named", "wrong")
OF_M0 = "m1-synesc"  # where a base's reflections of M0 are
LAST = "m2"
DRAWN = 3  # seeds: the interval of two is so wide that the others could not be told apart
OF_BASE = {"m0": "M0", "best_of": "M0, best of seven"}
AXES = ("wrong facts, % of responses", "own facts, %")
FRONTIER = "Own facts against wrong facts, the last model of each arm"
METHOD = {"base": ("vanilla", "m0"), "self": ("m1", "m2")}  # its models by the arm that measures them
IN_SHORT = ("own_share", "personal", "wrong", "words", "bleu_2_paper", "rouge_l_paper", "distinct_2_paper")


def study_blocks(run: Run) -> list[Block]:
    """Return the study's tables, or that it was not run."""
    study = run.json(*FILE)
    if not study.there:
        return [Text.of(run.says("the study with its controls: not run (make study)."))]
    drawn = figure(
        FRONTIER, _frontier(study.objects("runs")), ("wrong facts, % of responses", "own facts, %")
    )
    return [*([Gallery(tuple(drawn))] if drawn else []), *study_tables(study, run)]


def _frontier(runs: Sequence[Part]) -> list[Series]:
    """Return a point an arm: the wrong facts of its last model, and its own facts with their interval.

    What is higher and further to the left is better in both. M0 is where all arms start.
    """
    points = []
    for (arm, model), seeds in _by_model(runs).items():
        both = [(one.number("wrong"), one.number("own_share")) for one in seeds]
        pairs = [(wrong, own) for wrong, own in both if wrong is not None and own is not None]
        label = OF_BASE.get(model) if arm == "base" else arm if model == LAST else None
        if label and len(pairs) >= DRAWN:
            wrong, own = zip(*pairs, strict=True)
            found = t_interval(own)
            within = [(found.low, found.high)]
            points.append(Series(label, [fmean(wrong)], [found.mean], within, len(points), None, True))
    return points


def study_tables(study: Part, run: Run) -> list[Table]:
    """Return the tables of a study.json: of HEADS, of the method, of M0's reflections and of every model."""
    seeds = ", ".join(map(str, study.items("seeds")))
    left_out = ", ".join(map(str, study.items("not_available")))
    how = "Student's intervals over seeds; Holm's correction over all rows with a p"
    notes = [f"Of commit {study.said('commit')}, seeds {seeds}; {how}."]
    notes += [f"Not run, or not measured in every seed, so left out: {left_out}."] if left_out else []
    found: list[Table] = []
    for kind, heads in HEADS.items():
        rows = [(tuple(map(one.said, heads)), one) for one in study.objects(kind)]
        found += table(f"study {kind}", run, rows, notes=notes)
    runs = study.objects("runs")
    return [*found, *_method(run, runs), *table("study turns", run, _turns(runs)), *_models(run, runs)]


def _turns(runs: Sequence[Part]) -> list[tuple[str, Part]]:
    """Return M0's reflections by the number of seeker turns: means over the contexts of all seeds."""
    groups: dict[str, list[Part]] = {}
    for one in runs:
        for turns, group in one.at("iterations", OF_M0, "by_seeker_turns").parts().items():
            groups.setdefault(turns, []).append(group)
    rows = []
    for turns in sorted(groups, key=in_order):
        sizes = [group.number("contexts") or 0 for group in groups[turns]]
        numbers: dict[str, float | None] = {"contexts": sum(sizes)}
        for name in TURNS:
            values = [group.number(name) for group in groups[turns]]
            whole = sum(sizes) > 0 and None not in values
            numbers[name] = fmean([v or 0.0 for v in values], sizes) if whole else None
        rows.append((turns, Part("", numbers)))
    return rows


def _by_model(runs: Sequence[Part]) -> dict[tuple[str, str], list[Part]]:
    """Return what every seed measured, by arm and model."""
    found: dict[tuple[str, str], list[Part]] = {}
    for one in runs:
        for model, numbers in one.at("models").parts().items():
            found.setdefault((one.said("arm"), model), []).append(numbers)
    return found


def _method(run: Run, runs: Sequence[Part]) -> list[Table]:
    """Return a few scores of the method's models, means over the seeds with their intervals."""
    found = _by_model(runs)
    models = [(model, found.get((arm, model), [])) for arm, models in METHOD.items() for model in models]
    rows = [
        Row((model, str(len(seeds))), tuple(_interval(seeds, name) for name in IN_SHORT))
        for model, seeds in models
        if seeds
    ]
    return table("study method", run, rows, [_label(name).removesuffix(" (paper)") for name in IN_SHORT])


def _interval(seeds: Sequence[Part], name: str) -> Cell:
    """Return the mean of a score over the seeds with its interval, where every one of at least two has it."""
    values = [value for one in seeds if (value := one.number(name)) is not None]
    if len(values) < max(len(seeds), 2):
        return not_available()
    found = t_interval(values)
    return Cell(shown(found.mean), bounds((found.low, found.high)))


def _models(run: Run, runs: Sequence[Part]) -> list[Table]:
    """Return every model of every arm, the mean over the seeds with its standard deviation."""
    found = _by_model(runs)
    there = {name for seeds in found.values() for numbers in seeds for name in numbers.value}
    names = [*SCORES, *sorted(there - set(SCORES))]
    spreads = {heads: [_spread(seeds, name) for name in names] for heads, seeds in found.items()}
    rows = [Row(heads, (Cell(str(len(found[heads]))), *cells)) for heads, cells in spreads.items()]
    return table("study models", run, rows, ["seeds", *map(_label, names)])


def _spread(seeds: Sequence[Part], name: str) -> Cell:
    values = [value for one in seeds if (value := one.number(name)) is not None]
    if len(values) < len(seeds):
        return not_available()
    return Cell(shown(mean(values)), f"± {shown(stdev(values))}" if len(values) > 1 else "")


def _label(name: str) -> str:
    """Return a score's label, with the protocol behind it; `bleu_2_paper` is of the paper's protocol."""
    score, _, protocol = name.rpartition("_")
    if protocol in ("paper", "standard") and score in LABELS:
        return f"{LABELS[score]} ({protocol})"
    return {"capability": "benchmarks, average"}.get(name, LABELS.get(name, name))
