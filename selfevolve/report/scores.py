"""The scores of a run's models as cells with intervals, marks of significance and gains, and their tables.

An interval or a test is shown only if it is of the very score that stands beside it: files that were made at
different times may disagree, and then a note says so.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from selfevolve.metrics.labels import FACTS, GROUPS, LABELS, PERSONALISATION, TEXT
from selfevolve.report.controls import personalisation_controls
from selfevolve.report.described import Column, cells, columns_of, table
from selfevolve.report.document import Block, Text
from selfevolve.report.reading import Part, Run
from selfevolve.report.table import Cell, Row, bounds, not_available, not_run, p_value, shown

GROUP_FILES = {"paper": "text.json", "standard": "text.json", "facts": "facts.json"}
GROUP_FILES["personalisation"] = "personalisation.json"
TESTS = ("p_bootstrap_holm", "p_randomisation_holm")
STARS = ((0.001, "***"), (0.01, "**"), (0.05, "*"))
PROTOCOLS = ("paper", "standard")
UNSEEN = "unseen"
COUNTED = ("dialogues", "contexts")
_SAME = 1e-6


class Scores:
    """Scores of one run. `notes` grows with what had to be said while cells were made."""

    def __init__(self, run: Run, notes: dict[str, None] | None = None):
        """Read the comparisons; models are read when they are asked for."""
        self.run = run
        self.notes = {} if notes is None else notes
        self.pairs = [pair for file in run.jsons("comparisons") for pair in file.objects("pairs")]

    def cells(
        self, model: str, group: str, metrics: Sequence[str], against: str | None = None, gains: bool = False
    ) -> tuple[Cell, ...]:
        """Return a model's scores of a group: `paper`, `standard`, `facts` or `personalisation`.

        They are compared with the model `against`; `gains` shows the relative change from it as well.
        """
        if not self.run.json(model, GROUP_FILES[group]).there:
            return (not_run(len(metrics)),)
        return tuple(self._cell(model, group, metric, against, gains) for metric in metrics)

    def value(self, model: str, group: str, metric: str) -> float | None:
        """Return one score, None where there is none."""
        keys = (group, metric) if group in PROTOCOLS else (metric,)
        return self.run.json(model, GROUP_FILES[group]).number(*keys)

    def interval(self, model: str, group: str, metric: str) -> tuple[float, float] | None:
        """Return the bounds of a score's interval, None where it has none or one of another score."""
        found = self.run.json(model, "intervals.json").at("models", model, group, metric)
        value = found.number("value")
        if value is None or found.interval() is None:
            return None
        if (now := self.value(model, group, metric)) is None or abs(value - now) > _SAME:
            self.notes[f"The intervals in {found.file} are of other scores than those now: left out."] = None
            return None
        return found.interval()

    def test(self, first: str, last: str, group: str, metric: str) -> dict[str, float] | None:
        """Return what a comparison found, None where there is none or one of other scores."""
        for pair in self.pairs:
            if (pair.value.get("first"), pair.value.get("last")) != (first, last):
                continue
            part = pair.at(group, metric)
            found = {name: value for name in part.value if (value := part.number(name)) is not None}
            before, after = (self.value(model, group, metric) for model in (first, last))
            if "difference" not in found or before is None or after is None:
                return None
            if abs(after - before - found["difference"]) > _SAME:
                self.notes[f"{pair.file} compares other scores than those now: left out."] = None
                return None
            return found
        return None

    def _cell(self, model: str, group: str, metric: str, against: str | None, gains: bool) -> Cell:
        value = self.value(model, group, metric)
        if value is None:
            file = self.run.json(model, GROUP_FILES[group])
            reasons = file.reasons()
            reason = reasons.get(metric) or reasons.get(f"{group}.{metric}", f"not in {file.file}")
            self.notes[f"{metric} of {model} is not available: {reason}."] = None
            return not_available()
        mark, meaning = ("", "") if against is None else self._mark(against, model, group, metric)
        details = [bounds(self.interval(model, group, metric))]
        if gains and against is not None and (before := self.value(against, group, metric)):
            details.append(f"{100 * (value - before) / before:+.2f} %")
        return Cell(shown(value), " ".join(filter(None, details)), mark, meaning)

    def _mark(self, first: str, last: str, group: str, metric: str) -> tuple[str, str]:
        found = self.test(first, last, group, metric)
        if found is None or not all(test in found for test in TESTS):
            return "", ""
        p = max(found[test] for test in TESTS)
        stars = next((signs for bound, signs in STARS if p < bound), "")
        if not stars or found["difference"] == 0:
            return "≈", f"no significant difference from {first}, p {p_value(p)}"
        higher = found["difference"] > 0
        arrow, word = ("↑", "higher") if higher else ("↓", "lower")
        return arrow + stars, f"{word} than {first}, p {p_value(p)}"


def score_tables(run: Run) -> list[Block]:
    """Return every model's scores, a table a protocol, and whether one can tell whose response it is."""
    texts = [block for protocol in PROTOCOLS for block in _scores(f"{protocol} scores", run, protocol, TEXT)]
    personal = _scores("personalisation", run, "personalisation", PERSONALISATION)
    return [*texts, *personal, *personalisation_controls(run)]


def difference_tables(run: Run) -> list[Block]:
    """Return a table for every compared pair of models, or a sentence where a run compared none."""
    scores = Scores(run)
    if not scores.pairs:
        return [Text.of(run.says("no comparison of two models has been run."))]
    columns = columns_of("differences")
    blocks: list[Block] = []
    for pair in scores.pairs:
        first, last = pair.said("first"), pair.said("last")
        rows = []
        for group, label in GROUPS.items():
            for metric in pair.at(group).value:
                found = scores.test(first, last, group, metric)
                made = cells(Part("", found), columns) if found else (not_available(len(columns)),)
                rows.append(Row((LABELS.get(metric, metric),), made, label))
        notes = [*scores.notes, *pair.absences(), f"From {pair.file}."]
        blocks += table("differences", run, rows, notes=notes, words={"first": first, "last": last})
    return blocks


def fact_tables(run: Run) -> list[Block]:
    """Return which facts of the seeker responses name, and how good reflections are (mini world)."""
    files = [run.json(model, "facts.json") for model in run.models]
    if not any(file.value.get("with_profile") for file in files):
        there = any(file.there for file in files)
        reason = "these dialogues have no gold profiles" if there else "there are none"
        return [Text.of(run.says(f"no numbers of own facts, since {reason}."))]
    rows = {model: run.json(model, "reflections.json") for model in run.iterations}
    return [*_scores("facts", run, "facts", FACTS), *table("reflections", run, rows)]


def pair_tables(run: Run) -> list[Block]:
    """Return how long and how personal the responses of preference pairs are, by who wrote the chosen one."""
    rows: dict[tuple[str, str], Part] = {}
    for model in run.iterations:
        pairs = run.json(model, "preferences.json")
        facts = run.json(model, "reflections.json").at("facts_by_source")
        for source, part in pairs.at("by_source").parts().items():
            known = {"facts": facts.at(source).value}
            rows[model, source] = Part(pairs.file, {**part.value, **known})
    if not rows:
        return [Text.of(run.says("no preference pairs were counted by their source."))]
    return [*table("pairs", run, rows)]


def judge_tables(run: Run) -> list[Block]:
    """Return what a judge said of pairs of models, or that none was asked."""
    rows = [row for file in run.jsons("judge") for row in _preferred(file)]
    if not rows:
        return [Text.of(run.says("a judge's comparisons of two models are not run."))]
    return [*table("judge", run, rows, ["pairs"])]


def unseen_blocks(run: Run) -> list[Block]:
    """Return the scores on every further test set that the parameters name, and what was left out of it."""
    sets = _names(run, "sets")
    if not sets:
        return [Text.of(run.says("no further test set is named (unseen.sets in the parameters)."))]
    return [block for name in sets for block in _unseen(run, name)]


def unseen_folders(run: Run) -> list[str]:
    """Return the folders below the metrics folder that hold the numbers of further test sets."""
    asked = ("", *(f"/{model}" for model in _names(run, "asked")))
    return [f"{UNSEEN}/{name}{model}" for name in _names(run, "sets") for model in asked]


def _scores(
    name: str, run: Run, group: str, labels: dict[str, str], models: Sequence[str] = (), **words: str
) -> list[Block]:
    scores = Scores(run)
    rows = [Row((model,), scores.cells(model, group, list(labels))) for model in models or run.models]
    return [*table(name, run, rows, list(labels.values()), scores.notes, words)]


def _preferred(file: Part) -> Iterable[Row]:
    """Return a row of all pairs, and one of each stratum of their lengths."""
    name = Path(file.file).stem
    columns = columns_of("judge")
    decided, compared = (file.number("pairs", key) for key in ("decided", "compared"))
    there = decided is not None and compared is not None
    pairs = Cell(f"{decided:g} of {compared:g}") if there else not_available()
    yield Row((name, "all"), (*cells(file, columns), pairs))
    for stratum, part in file.at("by_length").parts().items():
        shares, dash = cells(part, columns[:-1]), Cell("–", kind="absent", meaning="not by length")
        yield Row((name, stratum), (*shares, dash, *cells(part, [Column("", "count", ("pairs",))])))


def _unseen(run: Run, name: str) -> list[Block]:
    own = replace(run, metrics=run.metrics_path(UNSEEN, name))
    counts = {file: own.json(f"{file}.json") for file in COUNTED}
    if not any(file.there for file in counts.values()):
        return [Text.of(run.says(f"the further test set {name}: not run (make analyses)."))]
    blocks: list[Block] = []
    for each in PROTOCOLS:
        blocks += _scores("unseen scores", own, each, TEXT, _names(run, "asked"), of=name, protocol=each)
    numbers = {
        (file, key): Part("", {"value": value})
        for file, part in counts.items()
        for key, value in part.numbers().items()
    }
    note = f"From {own.where(own.metrics)}."
    profiles = [
        ((model, field), part)
        for model in _names(run, "asked")
        for field, part in own.json(model, "profile.json").at("fields").parts().items()
    ]
    blocks += table("unseen profiles", own, profiles, words={"of": name})
    return [*blocks, *table("unseen counts", own, numbers, notes=[note], words={"of": name})]


def _names(run: Run, key: str) -> list[str]:
    """Return the names in a list of section `unseen`, which older parameters do not have."""
    return [one.said("name") for one in run.params.at(UNSEEN).objects(key) if "name" in one.value]
