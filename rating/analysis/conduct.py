"""How the study went: who took part, what counts, time on task, order effects, attention checks."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from rating.analysis.estimates import by_rater, not_available, ratio
from rating.analysis.export import ITEM, SUBMITTED, Attention, Comparison, Export, Rating, Session, session_of
from selfevolve.metrics.statistics import Resampling

R = TypeVar("R", Rating, Comparison)


def split(export: Export, records: Sequence[R]) -> tuple[list[R], list[R]]:
    """Return the records of submitted sessions, and those of fixed items that are no attention checks."""
    done = {one.session for one in export.sessions if one.state == SUBMITTED}
    checked = {(one.rater, one.unit) for one in export.attention}
    items = [one for one in records if one.unit.startswith(ITEM) and (one.rater, one.unit) not in checked]
    return [one for one in records if session_of(one.unit) in done], items


def counts(export: Export) -> dict[str, Any]:
    """Return what there is, by its state, and what of it counts; nothing goes uncounted."""
    state = {one.session: one.state for one in export.sessions}
    models = Counter(" and ".join(one.shown) or "none yet" for one in export.sessions)
    raters = {one.rater for group in (export.sessions, export.ratings, export.comparisons) for one in group}
    return {
        "raters": len(raters | {one.rater for one in export.attention}),
        "raters_withdrawn": export.withdrawals,
        "sessions": {"n": len(export.sessions), **Counter(one.state for one in export.sessions)},
        "sessions_by_model": dict(sorted(models.items())),
        "ratings": _by_state(export.ratings, state, export, "pointwise"),
        "comparisons": _by_state(export.comparisons, state, export, "pairwise"),
    }


def time_on_task(export: Export) -> dict[str, Any]:
    """Return seconds of attention a submitted session by model(s), and seconds a comparison."""
    found: dict[str, list[float | None]] = defaultdict(list)
    for one in export.sessions:
        if one.state == SUBMITTED:
            found["all sessions"].append(one.active_s)
            found[" and ".join(sorted(one.shown))].append(one.active_s)
    if export.comparisons:
        sessions, items = split(export, export.comparisons)
        found["a comparison"] = [one.seconds for one in [*sessions, *items]]
    return {name: _spread(seconds) for name, seconds in found.items()}


def position(comparisons: Sequence[Comparison], how: Resampling) -> dict[str, Any]:
    """Return how often the answer shown first won, of those that either won.

    `p` is scipy's exact binomial test against one half, which takes comparisons for independent; the
    interval is over raters and does not.
    """
    decided = [one for one in comparisons if one.winner != "tie"]
    n = {"n": len(decided), "ties": len(comparisons) - len(decided)}
    if not decided:
        return not_available("no comparison was decided", **n)
    from scipy.stats import binomtest  # here, since it takes a second to load

    first = [float(one.winner == "first") for one in decided]
    sums = by_rater(first, [one.rater for one in decided])
    p = binomtest(int(sum(first)), len(first), 0.5).pvalue
    return {**ratio(sums, how), "p": float(p), **n, "raters": len(sums)}


def drift(ratings: Sequence[Rating], sessions: Sequence[Session], how: Resampling) -> dict[str, Any]:
    """Return by how much a rater's ratings change from one session to the next, in points of the scale.

    The slope of a session's mean rating over its number among the rater's sessions (by when they began),
    within raters, after the models' means are taken off, so that neither severe raters nor good models count
    as a drift. Raters of a single session say nothing and are counted.
    """
    given: dict[str, list[int]] = defaultdict(list)
    for one in ratings:
        given[one.unit].append(one.score)
    level = {name: float(np.mean(scores)) for name, scores in given.items()}
    rated = [one for one in sessions if one.session in level]
    by_rater: dict[str, list[Session]] = defaultdict(list)
    of_model: dict[str, list[float]] = defaultdict(list)
    for session in rated:
        if session.started_at is not None:
            by_rater[session.rater].append(session)
            of_model[str(session.model)].append(level[session.session])
    usual = {model: float(np.mean(levels)) for model, levels in of_model.items()}
    sums = {}
    for rater, several in by_rater.items():
        ordered = sorted(several, key=lambda one: (one.started_at, one.session))
        y = np.array([level[one.session] - usual[str(one.model)] for one in ordered])
        x = np.arange(len(y)) - (len(y) - 1) / 2
        if len(y) > 1:
            sums[rater] = (float(x @ (y - y.mean())), float(x @ x))
    n = {
        "n": sum(len(by_rater[rater]) for rater in sums),
        "raters": len(sums),
        "raters_of_one_session": len(by_rater) - len(sums),
        "sessions_without_time": sum(one.started_at is None for one in rated),
    }
    if not sums:
        return not_available("no rater has two sessions", **n)
    return {**ratio(sums, how), **n}


def attention(checks: Sequence[Attention]) -> dict[str, Any]:
    """Return how many checks were passed, and how many raters failed any."""
    return {
        "n": len(checks),
        "passed": sum(one.passed for one in checks),
        "raters": len({one.rater for one in checks}),
        "raters_who_failed": len(failed(checks)),
    }


def failed(checks: Sequence[Attention]) -> set[str]:
    """Return the raters who failed any check."""
    return {one.rater for one in checks if not one.passed}


def without(export: Export, raters: set[str]) -> Export:
    """Return an export without these raters."""
    lists = {name: getattr(export, name) for name in ("sessions", "ratings", "comparisons", "attention")}
    kept = {name: [one for one in records if one.rater not in raters] for name, records in lists.items()}
    return replace(export, **kept)


def _by_state(
    records: Sequence[Rating] | Sequence[Comparison], state: dict[str, str], export: Export, mode: str
) -> dict[str, int]:
    """Return how many records are of submitted sessions, of items, and how many are left out, and why."""
    if export.study.mode != mode:
        return {"n": len(records), "left_out_other_mode": len(records)}
    checked = {(one.rater, one.unit) for one in export.attention}
    of: Counter[str] = Counter()
    for one in records:
        if one.unit.startswith(ITEM):
            of["left_out_attention_checks" if (one.rater, one.unit) in checked else "items"] += 1
        else:
            its_state = state[str(session_of(one.unit))]
            of["sessions" if its_state == SUBMITTED else f"left_out_{its_state}"] += 1
    used = {"n": len(records), "sessions": of.pop("sessions", 0), "items": of.pop("items", 0)}
    return used | dict(sorted(of.items()))


def _spread(seconds: Sequence[float | None]) -> dict[str, Any]:
    there = [one for one in seconds if one is not None]
    n = {"n": len(there), "without_time": len(seconds) - len(there)}
    if not there:
        return not_available("no time was taken", **n)
    quarter, median, three = (float(one) for one in np.quantile(there, [0.25, 0.5, 0.75]))
    return {"median": median, "quarter": quarter, "three_quarters": three, "mean": float(np.mean(there)), **n}
