"""The study as tables in Markdown."""

from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any

from stages.findings.controls import Control
from stages.findings.effects import Effect
from stages.findings.runs import Run

MODEL_COLUMNS = {
    "own_share": "own facts",
    "personal": "personal",
    "generic": "generic",
    "wrong": "wrong",
    "words": "words",
    "bleu_2_paper": "B-2 (paper)",
    "bleu_2_standard": "B-2 (std)",
    "distinct_2_paper": "D-2 (paper)",
    "distinct_2_standard": "D-2 (std)",
    "capability": "capability",
}


def effects_table(effects: Sequence[Effect]) -> str:
    """Return one row an expectation."""
    rows = [
        [e.name, e.expected, _interval(e.mean, e.low, e.high), _p(e.p), "yes" if e.holds else "**no**"]
        for e in effects
    ]
    return _table(["what", "expected", "measured [95 %]", "p", "as expected"], rows)


def controls_table(controls: Sequence[Control]) -> str:
    """Return one row a symptom."""
    rows = [
        [c.arm, str(c.seeds), c.symptom, _interval(c.mean, c.low, c.high), "yes" if c.shown else "**no**"]
        for c in controls
    ]
    return _table(["control", "seeds", "symptom", "measured [95 %]", "shown"], rows)


def models_table(rows: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """Return one row a model: mean over seeds and standard deviation.

    Args:
        rows: label -> numbers of a model, one mapping a seed.
    """
    table = [
        [label, *(_spread([numbers[name] for numbers in seeds if name in numbers]) for name in MODEL_COLUMNS)]
        for label, seeds in rows.items()
    ]
    return _table(["model", *MODEL_COLUMNS.values()], table)


def sources_table(sources: Sequence[dict[str, Any]]) -> str:
    """Return one row a source of preferences."""
    columns = ("m0", "m1", "m2", "first gain", "second gain", "behind")
    rows = [[s["source"], *(_interval(**s[column]) for column in columns)] for s in sources]
    return _table(["source", "M0", "M1", "M2", "M1 - M0", "M2 - M1", "the method's M2 - M1, more by"], rows)


def turns_table(
    bases: Sequence[Run], keys: Sequence[str] = ("fields_right", "profile_named", "wrong")
) -> str:
    """Return how M0's reflections grow with the number of seeker turns, means over seeds."""
    by_turns = [base.iterations.get("m1-synesc", {}).get("by_seeker_turns", {}) for base in bases]
    turns = sorted({int(turn) for groups in by_turns for turn in groups})
    rows = []
    for turn in turns:
        groups = [found[str(turn)] for found in by_turns if str(turn) in found]
        contexts = sum(group["contexts"] for group in groups)
        cells = [f"{sum(g[key] * g['contexts'] for g in groups) / contexts:.1f}" for key in keys]
        rows.append([str(turn), str(contexts), *cells])
    return _table(["seeker turns", "contexts", "fields right", "whole profile named", "wrong"], rows)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _interval(mean: float, low: float, high: float) -> str:
    # rewards are hundredths: two decimals would hide on which side of zero they lie
    places = 4 if 0 < max(abs(low), abs(high)) < 0.1 else 2
    return f"{mean:.{places}f} [{low:.{places}f}, {high:.{places}f}]"


def _spread(values: Sequence[float]) -> str:
    if not values:
        return ""
    return f"{mean(values):.2f} ± {stdev(values):.2f}" if len(values) > 1 else f"{values[0]:.2f}"


def _p(p: float | None) -> str:
    return "" if p is None else f"{p:.4f}" if p >= 0.0001 else "< 0.0001"
