"""Simulated studies of known truth: over several of them, the intervals hold the truth as often as they say.

Seeds are fixed, so that these tests do not change by chance. Percentile intervals of few raters are a
little narrow, and those of one study stand or fall together: of 95 % intervals, 85 to 88 % is asked for.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rating import report as human_report
from rating.analysis import simulate
from rating.analysis.analyse import analyse
from rating.analysis.export import read_export
from rating.analysis.pointwise import means
from selfevolve.metrics.statistics import Resampling

SEEDS = range(20)
HOW = Resampling(seed=7, resamples=400)
TRUTH = simulate.Truth()


def holds(found: Mapping[str, Any], truth: float) -> bool:
    return bool(found["low"] <= truth <= found["high"])


def share(held: list[bool]) -> float:
    return sum(held) / len(held)


def test_point_wise_means_and_alpha_are_recovered(tmp_path: Path):
    averages, alphas, errors = [], [], []
    for seed in SEEDS:
        truth = simulate.pointwise(tmp_path / str(seed), TRUTH, simulate.Size(raters=24), seed)
        found = analyse(read_export(tmp_path / str(seed)), HOW, {}, {})["all"]
        for dimension in TRUTH.dimensions:
            of_it = found["means"][dimension]
            averages += [holds(of_it[model], truth["means"][dimension][model]) for model in TRUTH.models]
            alpha = found["agreement"][dimension]["alpha"]
            alphas.append(holds(alpha, truth["alpha"][dimension]))
            errors.append(alpha["value"] - truth["alpha"][dimension])
    assert len(averages) == 120
    assert share(averages) >= 0.88
    assert share(alphas) >= 0.85
    assert abs(sum(errors) / len(errors)) < 0.05


@pytest.mark.parametrize("truth", [TRUTH, replace(TRUTH, position=0.5, ties=0.25)], ids=["plain", "biased"])
def test_win_rates_scores_and_position_are_recovered(tmp_path: Path, truth: simulate.Truth):
    rates, scores, first, errors = [], [], [], []
    for seed in SEEDS:
        expected = simulate.pairwise(tmp_path / str(seed), truth, simulate.Size(raters=24, items=0), seed)
        found = analyse(read_export(tmp_path / str(seed)), HOW, {}, {})["all"]
        for pair in found["pairs"]:
            rates.append(holds(pair["win_rate"], expected["win_rates"][pair["model"], pair["against"]]))
        for model, score in found["bradley_terry"]["scores"].items():
            scores.append(holds(score, expected["scores"][model]))
            errors.append(score["value"] - expected["scores"][model])
        first.append(holds(found["position"], expected["first"]))
    assert share(rates) >= 0.88
    assert share(scores) >= 0.88
    assert share(first) >= 0.85
    assert max(map(abs, errors)) < 0.25


def test_without_ties_and_bias_scores_are_the_strengths_themselves(tmp_path: Path):
    expected = simulate.pairwise(tmp_path, TRUTH, simulate.Size(raters=2, items=0), 1)["scores"]
    assert list(expected.values()) == pytest.approx(list(TRUTH.strengths), abs=1e-6)


def test_an_interval_that_ignored_raters_would_not_hold_the_truth(tmp_path: Path):
    """What makes clustering necessary: severe raters, many ratings each."""
    severe = replace(TRUTH, severity=1.0, item=0.1, noise=0.3)
    held, naive = [], []
    for seed in SEEDS:
        truth = simulate.pointwise(tmp_path / str(seed), severe, simulate.Size(sessions=18, items=0), seed)
        export = read_export(tmp_path / str(seed))
        alone = [one.model_copy(update={"rater": one.unit}) for one in export.ratings]
        expected = truth["means"]["overall"]["m1"]
        for ratings, into in ((export.ratings, held), (alone, naive)):
            found = means(ratings, ["overall"], TRUTH.models, HOW)["overall"]["m1"]
            into.append(holds(found, expected))
    assert share(held) >= 0.85
    assert share(naive) < 0.75


def test_the_command_prints_truth_beside_what_it_found(capsys: pytest.CaptureFixture[str]):
    human_report.main(["--simulate", "--resamples", "50"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["truth", "found"]
    row = next(line for line in lines if line.startswith("m1 against m0"))
    truth, found = map(float, row.removeprefix("m1 against m0").split()[:2])
    assert abs(truth - found) < 0.05
