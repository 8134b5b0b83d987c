"""What people said: the human evaluation's results (figures 3 and 4), where a study was analysed."""

from collections.abc import Mapping, Sequence
from typing import Any

from stages.records.errors import InputError
from stages.reporting.cells import bounds, p_value, shown
from stages.reporting.document import Block, Cell, Figure, Gallery, Group, Row, Table, Text, anchor
from stages.reporting.plots import Series, Stack, lines, stacks
from stages.reporting.reading import Run, mapping, number

FOLDER = "human"
NO_NUMBERS = (
    "The paper draws its figures 3 and 4 without printing their numbers, and reports no agreement of raters, "
    "so nothing of the paper's stands beside these."
)
_AGREEMENT = {
    "alpha": "Krippendorff's alpha",
    "fleiss_kappa": "Fleiss' kappa",
    "cohen_kappa": "Cohen's kappa",
}
_POINTS = {"by_model": "a point a model", "by_context": "a point a response to a fixed item"}


def people_blocks(run: Run) -> list[Block]:
    """Return the results of every analysed study of a run, or that there is none.

    Raises:
        InputError: a file is not what stages.human_report writes.
    """
    folder = run.metrics_path(FOLDER)
    paths = [path for path in run.files.below(folder) if path.endswith(".json")]
    if not paths:
        return [Text.of(run.says("figures 3 and 4 are not run, nobody has rated anything yet."))]
    blocks: list[Block] = [Text.of(NO_NUMBERS)]
    for path in paths:
        blocks += _Study(run, path).blocks()
    return blocks


class _Study:
    """One file of results, as blocks of the report."""

    def __init__(self, run: Run, path: str):
        self.run, self.where = run, run.where(path)
        self.document = run.json_at(path) or {}
        self.key = f"{run.name}-{path.rpartition('/')[2].removesuffix('.json')}"
        self.mode = self.document.get("mode")
        if self.mode not in ("pointwise", "pairwise"):
            raise InputError("is not pointwise or pairwise", file=self.where, field="mode")
        self.models = [str(model) for model in self._list(self.document, "models")]
        self.behind = f"; {self.document.get('study')}{run.behind}"

    def blocks(self) -> list[Block]:
        """Return what took part, the results, and the results without raters who failed a check."""
        found: list[Block] = [self._counts(), *self._results(self._in("all"), "")]
        without = self._in("without_failed_attention")
        left_out = number(without, "raters_left_out", file=self.where)
        if left_out is None:
            reason = without.get("not_available", "not said")
            return [*found, Text.of(f"Results without raters who failed an attention check: {reason}.")]
        return [*found, *self._results(without, f", without {left_out:g} who failed an attention check")]

    def _counts(self) -> Block:
        counts = self._in("counts")
        said = [
            f"{self.document.get('study')} ({self.mode}): {_count(counts, 'raters')} raters, "
            f"{_count(counts, 'raters_withdrawn')} withdrawn, of whom nothing else is left."
        ]
        for name in ("sessions", "ratings", "comparisons", "sessions_by_model"):
            parts = mapping(counts, name, file=self.where)
            said.append(f"{name.replace('_', ' ').capitalize()}: {_pairs(parts)}.")
        said.append(f"Attention checks: {_pairs(self._in('attention'))}.")
        for name, seconds in self._in("time_on_task").items():
            said.append(f"Seconds of {name}: {_pairs(mapping(seconds, file=self.where))}.")
        resampling = self._in("resampling")
        said.append(f"Intervals by bootstrap: {_pairs(resampling)}. From {self.where}.")
        return Text(tuple(said))

    def _results(self, results: Mapping[str, Any], whose: str) -> list[Block]:
        if self.mode == "pointwise":
            return self._pointwise(results, whose)
        return self._pairwise(results, whose)

    def _pointwise(self, results: Mapping[str, Any], whose: str) -> list[Block]:
        means = mapping(results, "means", file=self.where)
        items = mapping(results, "item_means", file=self.where)
        of_items: list[Block] = [Text.of(f"Ratings of fixed items: {items.get('not_available')}.")]
        if "not_available" not in items:
            of_items = [self._means(items, f"Mean ratings of the fixed items{whose}", "items", folded=True)]
        drift = Text.of(
            "Drift of a rater's ratings from one session to the next, in points of the scale: "
            f"{_said(mapping(results, 'drift', file=self.where))}."
        )
        return [
            self._means(means, f"Figure 3. Mean ratings by people, from 1 to 5{whose}", "means"),
            *self._drawn_means(means, whose),
            self._differences(results, whose),
            *of_items,
            self._agreement(mapping(results, "agreement", file=self.where), whose),
            drift,
            *self._judge(mapping(results, "judge", file=self.where), whose),
        ]

    def _pairwise(self, results: Mapping[str, Any], whose: str) -> list[Block]:
        terry = mapping(results, "bradley_terry", file=self.where)
        scores = mapping(terry, "scores", file=self.where)
        rows = [
            Row((model,), (self._cell(mapping(one, file=self.where), 3),)) for model, one in scores.items()
        ]
        absent: Block = Text.of(f"Bradley-Terry scores{whose}: {_said(terry)}.")
        if rows:
            note = f"Logarithms of strengths, together 0; a tie is half a win for each. {_n(terry)}."
            absent = self._table(
                "terry", f"Bradley-Terry scores{whose}", ("model",), ("score",), rows, (note,)
            )
        position = mapping(results, "position", file=self.where)
        agreement = {"the winner": results.get("agreement")}
        pairs = [mapping(one, file=self.where) for one in self._list(results, "pairs")]
        return [
            self._pairs(pairs, f"Figure 4. Comparisons by people{whose}", "pairs"),
            *self._drawn_pairs(pairs, whose),
            absent,
            self._agreement(agreement, whose),
            Text.of(f"Share of wins of the answer shown first{whose}: {_said(position)}."),
            *self._item_pairs(results, whose),
        ]

    def _means(self, means: Mapping[str, Any], caption: str, name: str, folded: bool = False) -> Table:
        rows = []
        for dimension, by_model in means.items():
            found = [mapping(by_model, model, file=self.where) for model in self.models]
            rows.append(Row((dimension,), tuple(self._cell(one, 2, sizes=True) for one in found)))
        notes = ("Intervals over raters, each drawn with all of his or her ratings.",)
        return self._table(name, caption, ("dimension",), self.models, rows, notes, folded)

    def _differences(self, results: Mapping[str, Any], whose: str) -> Table:
        rows = []
        for one in self._list(results, "differences"):
            of_one = mapping(one, file=self.where)
            pair = f"{of_one.get('model')} minus {of_one.get('minus')}"
            design = f"{of_one.get('design')}, {_count(of_one, 'left_out')} left out"
            cells = (self._cell(of_one, 2), *self._tests(of_one), Cell(_count(of_one, "n"), detail=design))
            rows.append(Row((str(of_one.get("dimension")), pair), cells))
        notes = ("Differences of raters' own means; permutation tests (scipy), with Holm over all rows.",)
        heads, columns = ("dimension", "models"), ("difference", "p", "with Holm", "raters")
        return self._table("differences", f"Differences{whose}", heads, columns, rows, notes, folded=True)

    def _pairs(
        self, pairs: Sequence[Mapping[str, Any]], caption: str, name: str, folded: bool = False
    ) -> Table:
        rows = []
        for one in pairs:
            rate = mapping(one, "win_rate", file=self.where)
            counts = (Cell(_count(one, key)) for key in ("win", "tie", "loss"))
            ends = (*self._tests(one), Cell(_count(one, "n")), Cell(_count(one, "raters")))
            heads = (f"{one.get('model')} against {one.get('against')}",)
            rows.append(Row(heads, (*counts, self._cell(rate, 3), *ends)))
        columns = ("win", "tie", "loss", "win rate, ties half", "p", "with Holm", "comparisons", "raters")
        notes = ("Intervals over raters. p against one half: wins and losses of whole raters exchanged.",)
        return self._table(name, caption, ("models",), columns, rows, notes, folded)

    def _item_pairs(self, results: Mapping[str, Any], whose: str) -> list[Block]:
        found = results.get("item_pairs")
        if isinstance(found, Mapping):
            return [Text.of(f"Comparisons of fixed items{whose}: {found.get('not_available')}.")]
        pairs = [mapping(one, file=self.where) for one in self._list(results, "item_pairs")]
        return [self._pairs(pairs, f"Comparisons of the fixed items{whose}", "item-pairs", folded=True)]

    def _agreement(self, by_what: Mapping[str, Any], whose: str) -> Table:
        rows = []
        for name, found in by_what.items():
            cells = []
            for kind in _AGREEMENT:
                one = mapping(found, kind, file=self.where)
                value = {**one, "value": one.get("value", one.get("mean"))}
                cells.append(self._cell({key: v for key, v in value.items() if v is not None}, 3))
            sizes = mapping(found, file=self.where)
            counts = [Cell(_count(sizes, key)) for key in ("units", "values", "raters", "units_of_one_rater")]
            rows.append(Row((name,), (*cells, *counts)))
        columns = (*_AGREEMENT.values(), "units", "values", "raters", "units of one rater, left out")
        notes = (
            "Alpha: ordinal of ratings, nominal of comparisons, interval over units. Cohen's kappa: mean "
            "over pairs of raters, quadratic weights of ratings.",
        )
        return self._table("agreement", f"Agreement{whose}", ("of",), columns, rows, notes)

    def _judge(self, found: Mapping[str, Any], whose: str) -> list[Block]:
        blocks: list[Block] = []
        for level, words in _POINTS.items():
            of_level = mapping(found, level, file=self.where)
            if "not_available" in of_level:
                blocks.append(Text.of(f"Correlation with a judge, {words}: {of_level['not_available']}."))
                continue
            rows = []
            for name, one in of_level.items():
                if isinstance(one, Mapping):
                    kinds = [mapping(one, kind, file=self.where) or one for kind in ("pearson", "spearman")]
                    cells = (*(self._cell(kind, 3) for kind in kinds), Cell(_count(one, "n")))
                    rows.append(Row((name,), cells))
            notes = (
                f"Interval over points. Points without a judge's score: {_count(of_level, 'without_judge')}; "
                f"a judge's without people's: {_count(of_level, 'without_people')}.",
            )
            caption, columns = f"Correlation with a judge, {words}{whose}", ("Pearson", "Spearman", "points")
            blocks.append(self._table(level, caption, ("dimension",), columns, rows, notes))
        return blocks

    def _drawn_means(self, means: Mapping[str, Any], whose: str) -> list[Block]:
        series = []
        for at, model in enumerate(self.models):
            found = [mapping(by_model, model, file=self.where) for by_model in means.values()]
            there = [(place, one) for place, one in enumerate(found) if "value" in one]
            if there:
                shift = 0.12 * (at - (len(self.models) - 1) / 2)
                x = [place + shift for place, _ in there]
                y = [number(one, "value", file=self.where) or 0.0 for _, one in there]
                limits = [_bounds(one, self.where) for _, one in there]
                series.append(Series(model, x, y, limits, colour=at, line=None, points=True))
        if not series:
            return []
        name = anchor(f"figure-people-{self.key}-means{whose}")
        words = "; ".join(f"{one.label}: {', '.join(shown(y) for y in one.y)}" for one in series)
        drawing = lines(name, series, "dimension", "mean rating", [str(dimension) for dimension in means])
        caption = f"Figure 3, drawn: mean ratings by people{whose}{self.behind}"
        return [Gallery((Figure(name, caption, drawing, f"In the order of the table: {words}"),))]

    def _drawn_pairs(self, pairs: Sequence[Mapping[str, Any]], whose: str) -> list[Block]:
        kinds = ("win", "tie", "loss")
        found = []
        for one in pairs:
            label = f"{one.get('model')} against {one.get('against')}"
            parts = [number(one, key, file=self.where) or 0 for key in kinds]
            if sum(parts):
                found.append(Stack(label, [100 * part / sum(parts) for part in parts]))
        if not found:
            return []
        name = anchor(f"figure-people-{self.key}-pairs{whose}")
        words = "; ".join(
            f"{one.label}: "
            + ", ".join(f"{k} {shown(v, 1)} %" for k, v in zip(kinds, one.parts, strict=True))
            for one in found
        )
        caption = f"Figure 4, drawn: comparisons by people{whose}{self.behind}"
        return [
            Gallery((Figure(name, caption, stacks(name, found, kinds, "percent of comparisons"), words),))
        ]

    def _table(
        self,
        name: str,
        caption: str,
        heads: tuple[str, ...],
        columns: Sequence[str],
        rows: Sequence[Row],
        notes: tuple[str, ...] = (),
        folded: bool = False,
    ) -> Table:
        name = f"people-{self.key}-{name}-{caption}"
        groups = (Group("", tuple(rows)),)
        return Table(name, f"{caption}{self.behind}", heads, tuple(columns), groups, notes, folded)

    def _cell(self, found: Mapping[str, Any], decimals: int, sizes: bool = False) -> Cell:
        """Return a number with its interval, or the reason for its absence."""
        value = number(found, "value", file=self.where)
        if value is None:
            reason = str(found.get("not_available", "not said"))
            return Cell("not available", detail=reason, kind="absent")
        limits = _bounds(found, self.where)
        detail = bounds(*limits, decimals) if limits else str(found.get("no_interval", ""))
        if "pairs" in found:
            detail += f"{_count(found, 'pairs')} pairs, {_value(found.get('units_per_pair'))} units each"
        if sizes:
            detail += f" {_n(found)}"
        return Cell(shown(value, decimals), detail=detail)

    def _tests(self, found: Mapping[str, Any]) -> list[Cell]:
        ps = [number(found, key, file=self.where) for key in ("p", "p_holm")]
        return [Cell("no test", kind="absent") if p is None else Cell(p_value(p)) for p in ps]

    def _in(self, name: str) -> dict[str, Any]:
        return mapping(self.document, name, file=self.where)

    def _list(self, document: Mapping[str, Any], name: str) -> list[Any]:
        found = document.get(name, [])
        if not isinstance(found, list):
            raise InputError("is not a list", file=self.where, field=name)
        return found


def _bounds(found: Mapping[str, Any], where: str) -> tuple[float, float] | None:
    low, high = number(found, "low", file=where), number(found, "high", file=where)
    return None if low is None or high is None else (low, high)


def _said(found: Mapping[str, Any]) -> str:
    return _pairs({key: value for key, value in found.items() if not isinstance(value, Mapping | list)})


def _n(found: Mapping[str, Any]) -> str:
    return f"n = {_count(found, 'n')}, {_count(found, 'raters')} raters"


def _count(found: Mapping[str, Any], key: str) -> str:
    return str(found.get(key, "not said"))


def _pairs(found: Mapping[str, Any]) -> str:
    return ", ".join(f"{key.replace('_', ' ')} {_value(value)}" for key, value in found.items()) or "none"


def _value(value: Any) -> str:
    return shown(value, 3) if isinstance(value, float) else str(value)
