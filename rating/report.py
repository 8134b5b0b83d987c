"""Analyse an exported rating study: `python -m rating.report --export FOLDER --out FILE`.

Means, win rates, Bradley-Terry scores, agreement, time, order effects, attention checks, and how well a
judge's scores go with people's. docs/rating-analysis.md says what every number is. `make report` shows
what is in metrics/human/, which it makes with `--exports`. `--simulate` takes studies of known truth instead,
and prints the truth beside what is found.

This is no DVC stage: people's answers are not made by the pipeline.
"""

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rating.analysis import simulate
from rating.analysis.analyse import analyse
from rating.analysis.export import read_export
from selfevolve.judge.verdicts import Judged
from selfevolve.metrics.statistics import Resampling
from selfevolve.records.jsonl import read_records
from selfevolve.runtime.command import run
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import publish_json, read_json


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, analyse, publish and print the main results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--export", type=Path, help="folder that the rating application exported")
    source.add_argument("--exports", type=Path, help="folder of such folders, for all studies")
    source.add_argument("--simulate", action="store_true", help="studies of known truth, of --seed")
    parser.add_argument("--out", type=Path, help="the results (JSON); with --exports their folder")
    parser.add_argument("--metrics", type=Path, default=Path("metrics"), help="has MODEL/judge.json")
    parser.add_argument("--data", type=Path, default=Path("data"), help="has MODEL/verdicts.jsonl")
    parser.add_argument("--seed", type=int, default=1, help="of the resampling, not negative")
    parser.add_argument("--resamples", type=int, default=2000, help="at least 1")
    args = parser.parse_args(argv)
    if args.seed < 0 or args.resamples < 1:
        parser.error("--seed must not be negative, and --resamples at least 1")
    how = Resampling(args.seed, args.resamples)
    if args.simulate:
        _simulate(how)
        return
    if args.out is None:
        parser.error("--out is needed")
    studies = [(args.export, args.out)] if args.export else []
    if args.exports:
        folders = sorted(file.parent for file in args.exports.glob("*/study.json"))
        studies = [(folder, args.out / f"{folder.name}.json") for folder in folders]
    for folder, out in studies:
        export = read_export(folder)
        models = export.study.models
        found = analyse(export, how, judge_means(args.metrics, models), judge_scores(args.data, models))
        publish_json(out, found)
        if args.export:
            for name, value in _headline(found["all"]).items():
                print(f"{name:<28} {_shown(value)}")
        print(f"{out}: {found['counts']['raters']} raters, {found['counts']['sessions']['n']} sessions")


def judge_means(metrics: Path, models: Sequence[str]) -> dict[tuple[str, str], float]:
    """Return a judge's mean of every (model, dimension), of those models that have a judge.json."""
    found = {}
    for model in models:
        path = metrics / model / "judge.json"
        if not path.is_file():
            continue
        try:
            scores = read_json(path)["scores"]
            found |= {(model, name): float(one["mean"]) for name, one in scores.items() if "mean" in one}
        except (ValueError, KeyError, TypeError, AttributeError):
            raise InputError("no judge's scores", file=path, field="scores") from None
    return found


def judge_scores(data: Path, models: Sequence[str]) -> dict[tuple[str, str, str], float]:
    """Return a judge's score of every (model, context, dimension), of those models that have verdicts."""
    return {
        (model, judged.id, verdict.dimension): float(verdict.score)
        for model in models
        if (path := data / model / "verdicts.jsonl").is_file()
        for judged in read_records(path, Judged)
        for verdict in judged.verdicts
        if verdict.score is not None
    }


def _simulate(how: Resampling) -> None:
    """Print truth and what the analysis finds of a point-wise and a pair-wise study."""
    truth, size = simulate.Truth(position=0.3, ties=0.2), simulate.Size(raters=50, sessions=10, items=60)
    with tempfile.TemporaryDirectory() as folder:
        one, two = Path(folder) / "pointwise", Path(folder) / "pairwise"
        expected = simulate.pointwise(one, truth, size, how.seed)
        true = {f"{d}, {m}": v for d, of_it in expected["means"].items() for m, v in of_it.items()}
        true |= {f"{d}, alpha": v for d, v in expected["alpha"].items()}
        expected = simulate.pairwise(two, truth, size, how.seed)
        true |= {f"{a} against {b}": rate for (a, b), rate in expected["win_rates"].items()}
        true |= {f"{model}, Bradley-Terry": score for model, score in expected["scores"].items()}
        true["shown first"] = expected["first"]
        found = [_headline(analyse(read_export(folder), how, {}, {})["all"]) for folder in (one, two)]
    print(f"{'':<28} {'truth':>7}  found")
    for name, value in true.items():
        print(f"{name:<28} {value:>7.3f}  {_shown((found[0] | found[1])[name])}")


def _headline(results: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the main results by a name."""
    if "means" in results:
        means = {f"{d}, {m}": v for d, of_it in results["means"].items() for m, v in of_it.items()}
        return means | {f"{d}, alpha": of_it["alpha"] for d, of_it in results["agreement"].items()}
    found = {f"{one['model']} against {one['against']}": one["win_rate"] for one in results["pairs"]}
    terry = results["bradley_terry"]
    found |= {f"{model}, Bradley-Terry": score for model, score in terry.get("scores", {}).items()}
    if "scores" not in terry:
        found["Bradley-Terry"] = terry
    return found | {"shown first": results["position"], "alpha": results["agreement"]["alpha"]}


def _shown(found: Mapping[str, Any]) -> str:
    if "value" not in found:
        return f"not available: {found['not_available']}"
    return f"{found['value']:.3f}" + (f" [{found['low']:.3f}, {found['high']:.3f}]" if "low" in found else "")


if __name__ == "__main__":
    run(main)
