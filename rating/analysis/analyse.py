"""All results of an export, as the report reads them."""

from typing import Any

from rating.analysis import agreement, conduct, judge, pairwise, pointwise
from rating.analysis.estimates import not_available
from rating.analysis.export import ITEM, Export
from selfevolve.metrics.statistics import Resampling

_NO_ITEMS = not_available("the study has no fixed items, or nobody rated one")


def analyse(export: Export, how: Resampling, means: judge.Means, scores: judge.Scores) -> dict[str, Any]:
    """Return every result of a study, of all raters and without those who failed an attention check.

    `means` and `scores`, a judge's means and its scores of single responses, are empty if nobody asked one.
    """
    failed = conduct.failed(export.attention)
    reason = "no rater failed an attention check" if export.attention else "there were no attention checks"
    return {
        "study": export.study.name,
        "mode": export.study.mode,
        "models": export.study.models,
        "dimensions": dimensions_of(export),
        "digest": export.study.digest,
        "resampling": {
            **how._asdict(),
            "of": "raters (whole, with all they rated); alpha: units; correlations: points",
        },
        "counts": conduct.counts(export),
        "attention": conduct.attention(export.attention),
        "time_on_task": conduct.time_on_task(export),
        "all": results(export, how, means, scores),
        "without_failed_attention": {
            "raters_left_out": len(failed),
            **results(conduct.without(export, failed), how, means, scores),
        }
        if failed
        else not_available(reason),
    }


def dimensions_of(export: Export) -> list[str]:
    """Return the study's dimensions; where it does not name them, those of the ratings."""
    return export.study.dimensions or list(dict.fromkeys(one.dimension for one in export.ratings))


def results(export: Export, how: Resampling, means: judge.Means, scores: judge.Scores) -> dict[str, Any]:
    """Return the results of the study's mode. Sessions and fixed items are never put together."""
    if export.study.mode == "pointwise":
        return _pointwise(export, how, means, scores)
    return _pairwise(export, how)


def _pointwise(export: Export, how: Resampling, means: judge.Means, scores: judge.Scores) -> dict[str, Any]:
    names, models = dimensions_of(export), export.study.models
    sessions, items = conduct.split(export, export.ratings)
    nobody = not_available("no judge's scores were given")
    by_model = [((one.model, one.dimension), one.score) for one in sessions]
    by_context = [((one.model, one.unit.removeprefix(ITEM), one.dimension), one.score) for one in items]
    return {
        "means": pointwise.means(sessions, names, models, how),
        "differences": pointwise.differences(sessions, names, models, how),
        "item_means": pointwise.means(items, names, models, how) if items else _NO_ITEMS,
        "agreement": agreement.of_ratings([*sessions, *items], names, how),
        "drift": conduct.drift(sessions, export.sessions, how),
        "judge": {
            "by_model": judge.by_dimension(by_model, means, names, how) if means else nobody,
            "by_context": judge.by_dimension(by_context, scores, names, how) if scores else nobody,
        },
    }


def _pairwise(export: Export, how: Resampling) -> dict[str, Any]:
    models = export.study.models
    sessions, items = conduct.split(export, export.comparisons)
    return {
        "pairs": pairwise.pairs(sessions, models, how),
        "bradley_terry": pairwise.bradley_terry(sessions, models, how),
        "item_pairs": pairwise.pairs(items, models, how) if items else _NO_ITEMS,
        "agreement": agreement.of_comparisons([*sessions, *items], how),
        "position": conduct.position([*sessions, *items], how),
    }
