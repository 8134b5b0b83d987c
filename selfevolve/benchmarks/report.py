"""The report of a benchmark, made from lm-eval's results: metrics in percent, a headline, and their mean."""

import math
from typing import Any

from selfevolve.benchmarks.catalogue import BENCHMARKS


def task_report(name: str, members: list[str], results: dict[str, Any], window: Any) -> dict[str, Any]:
    """Return the report of one benchmark.

    Args:
        name: the benchmark.
        members: the names of its tasks, `[name]` where it is no group.
        results: the results of `lm_eval.simple_evaluate`, with samples.
        window: the WindowedLM that answered.

    Returns:
        headline (the name of a metric), metrics {name: {value, stderr}} in percent (stderr null where lm-eval
        has none, as for members of a single item), items measured and items_total, version, num_fewshot,
        prompts_cut (items), and answer_tokens {asked, given} where answers were shortened.
    """
    metrics = _metrics(results["results"][name])
    if name == "ifeval":
        _add_instruction_errors(metrics, results["samples"][name])
    counts = [results["n-samples"][member] for member in members]
    report = {
        "headline": _readable(BENCHMARKS[name].headline),
        "metrics": metrics,
        "items": sum(count["effective"] for count in counts),
        "items_total": sum(count["original"] for count in counts),
        "version": str(results["versions"][name]),
        "num_fewshot": results["n-shot"][name],
        "prompts_cut": sum(len(window.cut.get(member, ())) for member in members),
    }
    shortened = [window.shortened[member] for member in members if member in window.shortened]
    if shortened:
        report["answer_tokens"] = {"asked": shortened[0][0], "given": shortened[0][1]}
    return report


def summary(reports: dict[str, dict[str, Any]]) -> dict[str, float | None]:
    """Return the headline value of every benchmark and their unweighted mean (the paper's Table 4)."""
    scores = {name: report["metrics"][report["headline"]]["value"] for name, report in reports.items()}
    return {**scores, "average": round(sum(scores.values()) / len(scores), 4) if scores else None}


def clustered_error(clusters: list[list[bool]]) -> float | None:
    """Return the standard error of the share of true values over all clusters, None for fewer than two.

    The values of a cluster (the instructions of one prompt) depend on each other, so the clusters are the
    sample: the linearised variance of a ratio of two sums.
    """
    n, total = len(clusters), sum(map(len, clusters))
    if n < 2 or total == 0:
        return None
    share = sum(map(sum, clusters)) / total
    squares = sum((sum(values) - share * len(values)) ** 2 for values in clusters)
    return math.sqrt(n / (n - 1) * squares) / total


def _metrics(row: dict[str, Any]) -> dict[str, dict[str, float | None]]:
    metrics = {}
    for key, value in sorted(row.items()):
        metric, comma, filter_name = key.partition(",")
        if comma and not metric.endswith("_stderr"):
            error = row.get(f"{metric}_stderr,{filter_name}")
            metrics[_readable(key)] = {"value": _percent(value), "stderr": _percent(error)}
    return metrics


def _add_instruction_errors(metrics: dict[str, dict[str, Any]], samples: list[dict[str, Any]]) -> None:
    for kind in ("strict", "loose"):  # lm-eval has no error for metrics with an aggregation of their own
        metric = f"inst_level_{kind}_acc"
        metrics[metric]["stderr"] = _percent(clustered_error([sample[metric] for sample in samples]))


def _readable(key: str) -> str:
    metric, _, filter_name = key.partition(",")
    return metric if filter_name == "none" else f"{metric}/{filter_name}"


def _percent(share: Any) -> float | None:
    """Return a share in percent; None for lm-eval's "N/A"."""
    return round(100 * float(share), 4) if isinstance(share, int | float) else None
