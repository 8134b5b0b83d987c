"""What people said: the results of rating studies (figures 3 and 4), where one was analysed."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from selfevolve.report.described import Column, report, table
from selfevolve.report.document import Block, Gallery, Text
from selfevolve.report.figures import bar_figure, figure, measured
from selfevolve.report.plots import Bar
from selfevolve.report.reading import Part, Run
from selfevolve.report.table import shown
from selfevolve.runtime.errors import InputError

FOLDER = "human"
POINTS = {"by_model": "a point a model", "by_context": "a point a response to a fixed item"}
KINDS = ("win", "tie", "loss")


def people_blocks(run: Run) -> list[Block]:
    """Return the results of every analysed rating study of a run, or that there is none."""
    files = run.jsons(FOLDER)
    if not files:
        return [Text.of(run.says("figures 3 and 4 are not run, nobody has rated anything yet."))]
    return [Text.of(report()["people"]), *(block for file in files for block in _Study(run, file).blocks())]


class _Study:
    """One file of results, as blocks of the report."""

    def __init__(self, run: Run, file: Part):
        self.run, self.file = run, file
        self.mode = file.value.get("mode")
        if self.mode not in ("pointwise", "pairwise"):
            raise InputError("is not pointwise or pairwise", file=file.file, field="mode")
        self.models = [str(model) for model in file.items("models")]
        self.behind = f"; {file.said('study')}{run.behind}"

    def blocks(self) -> list[Block]:
        """Return what took part, the results, and the results without raters who failed a check."""
        results = self._pointwise if self.mode == "pointwise" else self._pairwise
        found: list[Block] = [self._counts(), *results(self.file.at("all"), "")]
        without = self.file.at("without_failed_attention")
        left_out = without.number("raters_left_out")
        if left_out is None:
            reason = without.said("not_available")
            return [*found, Text.of(f"Results without raters who failed an attention check: {reason}.")]
        return [*found, *results(without, f", without {left_out:g} who failed an attention check")]

    def _counts(self) -> Block:
        counts = self.file.at("counts")
        withdrawn = f"{counts.said('raters_withdrawn')} withdrawn, of whom nothing else is left"
        kinds = ("sessions", "ratings", "comparisons", "sessions_by_model")
        said = {name.replace("_", " ").capitalize(): counts.at(name) for name in kinds}
        said["Attention checks"] = self.file.at("attention")
        said |= {f"Seconds of {of}": one for of, one in self.file.at("time_on_task").parts().items()}
        said["Intervals by bootstrap"] = self.file.at("resampling")
        lines = [f"{what}: {_pairs(one.value)}." for what, one in said.items()]
        lines[-1] += f" From {self.file.file}."
        begin = f"{self.file.said('study')} ({self.mode}): {counts.said('raters')} raters, {withdrawn}."
        return Text((begin, *lines))

    def _pointwise(self, results: Part, whose: str) -> list[Block]:
        rated = [Column(model, "rated", (model,)) for model in self.models]
        means, items = results.at("means"), results.at("item_means")
        of_items: list[Block] = [Text.of(f"Ratings of fixed items: {items.said('not_available')}.")]
        if "not_available" not in items.value:
            of_items = self._table("item means", items.parts(), whose, rated)
        differences = {
            (one.said("dimension"), f"{one.said('model')} minus {one.said('minus')}"): one
            for one in results.objects("differences")
        }
        drift = "Drift of a rater's ratings from one session to the next, in points of the scale: "
        return [
            *self._table("means", means.parts(), whose, rated),
            *self._drawn_means(means, whose),
            *self._table("rating differences", differences, whose),
            *of_items,
            *self._table("agreement", results.at("agreement").parts(), whose),
            Text.of(f"{drift}{_said(results.at('drift'))}."),
            *(block for level in POINTS for block in self._judge(results.at("judge", level), level, whose)),
        ]

    def _pairwise(self, results: Part, whose: str) -> list[Block]:
        terry = results.at("bradley_terry")
        sizes = f"n = {terry.said('n')}, {terry.said('raters')} raters"
        strengths = self._table("strengths", terry.at("scores").parts(), whose, sizes=sizes)
        pairs = {_against(one): one for one in results.objects("pairs")}
        fixed = results.value.get("item_pairs")
        if isinstance(fixed, Mapping):
            reason = results.at("item_pairs").said("not_available")
            of_items: list[Block] = [Text.of(f"Comparisons of fixed items{whose}: {reason}.")]
        else:
            of_pairs = {_against(one): one for one in results.objects("item_pairs")}
            of_items = self._table("item comparisons", of_pairs, whose)
        return [
            *self._table("comparisons", pairs, whose),
            *self._drawn_pairs(pairs, whose),
            *(strengths or [Text.of(f"Bradley-Terry scores{whose}: {_said(terry)}.")]),
            *self._table("agreement", {"the winner": results.at("agreement")}, whose),
            Text.of(f"Share of wins of the answer shown first{whose}: {_said(results.at('position'))}."),
            *of_items,
        ]

    def _judge(self, found: Part, level: str, whose: str) -> list[Block]:
        if "not_available" in found.value:
            reason = found.said("not_available")
            return [Text.of(f"Correlation with a judge, {POINTS[level]}: {reason}.")]
        rows = {name: found.at(name) for name, one in found.value.items() if isinstance(one, Mapping)}
        note = (
            f"Interval over points. Points without a judge's score: {found.said('without_judge')}; "
            f"a judge's without people's: {found.said('without_people')}."
        )
        return self._table("judge correlation", rows, whose, notes=[note], points=POINTS[level])

    def _drawn_means(self, means: Part, whose: str) -> list[Block]:
        series = []
        for at, model in enumerate(self.models):
            shift = 0.12 * (at - (len(self.models) - 1) / 2)
            found = [of_one.at(model) for of_one in means.parts().values()]
            series.append(replace(measured(model, found, at, shift, "value"), line=None))
        caption = f"Figure 3, drawn: mean ratings by people{whose}{self.behind}"
        found = figure(caption, series, ("dimension", "mean rating"), list(means.value))
        return [Gallery(tuple(found))] if found else []

    def _drawn_pairs(self, pairs: Mapping[str, Part], whose: str) -> list[Block]:
        counts = {label: [one.number(kind) or 0 for kind in KINDS] for label, one in pairs.items()}
        found = [
            Bar(label, [100 * n / sum(parts) for n in parts]) for label, parts in counts.items() if sum(parts)
        ]
        caption = f"Figure 4, drawn: comparisons by people{whose}{self.behind}"
        drawn = bar_figure(caption, found, "percent of comparisons", KINDS)
        return [Gallery(tuple(drawn))] if drawn else []

    def _table(
        self,
        name: str,
        rows: Mapping[Any, Part],
        whose: str,
        columns: Sequence[Column] = (),
        notes: Sequence[str] = (),
        **words: str,
    ) -> list[Block]:
        """Return a table; the keys of the rows are their heads."""
        words |= {"whose": whose}
        return [*table(name, self.run, rows, columns, notes, words, self.behind)]


def _against(pair: Part) -> str:
    return f"{pair.said('model')} against {pair.said('against')}"


def _said(found: Part) -> str:
    return _pairs({key: value for key, value in found.value.items() if not isinstance(value, Mapping | list)})


def _pairs(found: Mapping[str, Any]) -> str:
    shown_values = {key: shown(v, 3) if isinstance(v, float) else str(v) for key, v in found.items()}
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in shown_values.items()) or "none"
