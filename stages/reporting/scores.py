"""The scores of a run's models as cells: with intervals, marks of significance, gains and absences.

An interval or a test is shown only if it is of the very score that stands beside it: files that were made at
different times may disagree, and then a note says so.
"""

from collections.abc import Sequence
from typing import Any

from stages.reporting.cells import bounds, gain, not_available, not_run, p_value, shown, without_folders
from stages.reporting.document import Cell
from stages.reporting.reading import Run, mapping, number

GROUP_FILES = {"paper": "text.json", "standard": "text.json", "facts": "facts.json"}
TESTS = ("p_bootstrap_holm", "p_randomisation_holm")
STARS = ((0.001, "***"), (0.01, "**"), (0.05, "*"))
LEGEND = (
    "In brackets below a number of ours: its interval over dialogues (the parameters name its level).",
    "↑ or ↓: higher or lower than the model named below the table; * p < 0.05, ** p < 0.01, *** p < 0.001, "
    "where p is the larger one of two tests' p-values after Holm's correction. ≈: no such difference was "
    "found. No sign: not compared.",
    "“not run”: there is no metrics file. “not available”: it was run and has no such number; the reason "
    "stands below the table. “–”: the paper has no such number. None of them is a zero.",
)
_SAME = 1e-6


class Scores:
    """Scores of one run. `notes` grows with what had to be said while cells were made."""

    def __init__(self, run: Run):
        """Read the comparisons; models are read when they are asked for."""
        self.run = run
        self.notes: dict[str, None] = {}
        self._files: dict[str, dict[str, Any] | None] = {}
        self.pairs = list(_pairs(run))

    def cells(
        self, model: str, group: str, metrics: Sequence[str], against: str | None = None, gains: bool = False
    ) -> tuple[Cell, ...]:
        """Return a model's scores, compared with another model's where that is named.

        Args:
            model: a folder of the metrics.
            group: `paper`, `standard` or `facts`.
            metrics: names within the group.
            against: another model.
            gains: show the relative change from that model as well.
        """
        path = f"{model}/{GROUP_FILES[group]}"
        if self._json(path) is None:
            return (not_run(len(metrics)),)
        return tuple(self._cell(model, group, metric, against, gains) for metric in metrics)

    def value(self, model: str, group: str, metric: str) -> float | None:
        """Return one score, None where there is none."""
        path = f"{model}/{GROUP_FILES[group]}"
        keys = (metric,) if group == "facts" else (group, metric)
        return number(self._json(path), *keys, file=self._where(path))

    def interval(self, model: str, group: str, metric: str) -> tuple[float, float] | None:
        """Return the bounds of a score's interval, None where it has none or one of another score."""
        path = f"{model}/intervals.json"
        found = [
            number(self._json(path), "models", model, group, metric, key, file=self._where(path))
            for key in ("value", "low", "high")
        ]
        value, low, high = found
        if value is None or low is None or high is None:
            return None
        now = self.value(model, group, metric)
        if now is None or abs(value - now) > _SAME:
            self._note(f"The intervals in {self._where(path)} are of other scores than those now: left out.")
            return None
        return low, high

    def test(self, first: str, last: str, group: str, metric: str) -> dict[str, float] | None:
        """Return what a comparison found, None where there is none or one of other scores."""
        for where, pair in self.pairs:
            if (pair.get("first"), pair.get("last")) == (first, last):
                found = _numbers(mapping(pair, group, metric, file=where), where)
                values = [self.value(model, group, metric) for model in (first, last)]
                if "difference" not in found or None in values:
                    return None
                if abs(values[1] - values[0] - found["difference"]) > _SAME:
                    self._note(f"{where} compares other scores than those now: left out.")
                    return None
                return found
        return None

    def _cell(self, model: str, group: str, metric: str, against: str | None, gains: bool) -> Cell:
        value = self.value(model, group, metric)
        if value is None:
            self._note(f"{metric} of {model} is not available: {self._reason(model, group, metric)}.")
            return not_available()
        mark, meaning = ("", "") if against is None else self._mark(against, model, group, metric)
        details = [bounds(*(self.interval(model, group, metric) or (None, None)))]
        before = self.value(against, group, metric) if gains and against is not None else None
        details += [gain(100 * (value - before) / before)] if before else []
        return Cell(shown(value), detail=" ".join(filter(None, details)), mark=mark, meaning=meaning)

    def _mark(self, first: str, last: str, group: str, metric: str) -> tuple[str, str]:
        found = self.test(first, last, group, metric)
        if found is None or not all(test in found for test in TESTS):
            return "", ""
        p = max(found[test] for test in TESTS)
        stars = next((signs for bound, signs in STARS if p < bound), "")
        if not stars or found["difference"] == 0:
            return "≈", f"no significant difference from {first}, p {p_value(p)}"
        higher = found["difference"] > 0
        words = f"{'higher' if higher else 'lower'} than {first}, p {p_value(p)}"
        return ("↑" if higher else "↓") + stars, words

    def _reason(self, model: str, group: str, metric: str) -> str:
        path = f"{model}/{GROUP_FILES[group]}"
        reasons = mapping(self._json(path), "not_available", file=self._where(path))
        return without_folders(str(reasons.get(metric, f"not in {self._where(path)}")))

    def _json(self, path: str) -> dict[str, Any] | None:
        if path not in self._files:
            self._files[path] = self.run.json(path)
        return self._files[path]

    def _where(self, path: str) -> str:
        return self.run.where(self.run.metrics_path(path))

    def _note(self, text: str) -> None:
        self.notes[text] = None


def _pairs(run: Run) -> list[tuple[str, dict[str, Any]]]:
    """Return every compared pair with the file it stands in."""
    found: list[tuple[str, dict[str, Any]]] = []
    for path in run.files.below(run.metrics_path("comparisons")):
        if not path.endswith(".json"):
            continue
        pairs = (run.json_at(path) or {}).get("pairs", [])
        for pair in pairs if isinstance(pairs, list) else [pairs]:
            found.append((run.where(path), mapping(pair, file=run.where(path))))
    return found


def _numbers(values: dict[str, Any], where: str) -> dict[str, float]:
    found = {name: number(values, name, file=where) for name in values}
    return {name: value for name, value in found.items() if value is not None}
