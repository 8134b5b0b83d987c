"""All iterations side by side, of files that are there and of files that are not."""

import csv
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfevolve.metrics.statistics import cluster_bootstrap
from selfevolve.report import iterations
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import publish_json

MODELS = ("vanilla", "m0", "m1", "m2", "m3")
POLICY = {"policy": "models/x", "prompt": "task"}
CHAIN = {f"m{n}": {"prev": f"m{n - 1}", "part": 1} for n in (1, 2, 3)}


def margin(mean: float, half: float) -> dict[str, Any]:
    return {"margin": {"mean": mean, "low": mean - half, "high": mean + half}, "overlap": 0.5}


Run = Callable[[dict[str, Any]], tuple[dict[str, Any], dict[str, dict[str, str]]]]


@pytest.fixture
def run(tmp_path: Path, params_file: Callable[..., Path]) -> Run:
    """Write metrics files by their paths, and return both tables that are made of them."""
    params = str(params_file({"iterations": CHAIN, "models": dict.fromkeys(MODELS, POLICY)}))

    def tables(files: dict[str, Any]) -> tuple[dict[str, Any], dict[str, dict[str, str]]]:
        for path, value in files.items():
            publish_json(tmp_path / "metrics" / path, value)
        out = ["--out", str(tmp_path / "out.json"), "--table", str(tmp_path / "out.csv")]
        iterations.main(["--metrics", str(tmp_path / "metrics"), *out, "--params", params])
        with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
            rows = {row.pop("metric"): row for row in csv.DictReader(file)}
        return json.loads((tmp_path / "out.json").read_text(encoding="utf-8")), rows

    return tables


def test_what_has_not_run_is_never_a_zero(run: Run, capsys: pytest.CaptureFixture[str]):
    text = {"paper": {"bleu_1": 0.0}, "mean_words": 12, "signatures": {"x": "y"}, "flag": True}
    files = {
        "vanilla/text.json": text,
        "m0/text.json": {**text, "paper": {}},
        "m1/text.json": text,
        "m1/relevance.json": margin(0.2, 0.1),
    }
    found, rows = run(files)
    table = found["metrics"]
    assert table["text.paper.bleu_1"] == {
        **{"vanilla": 0.0, "m0": "not available", "m1": 0.0},
        **{"m2": "not run", "m3": "not run"},
    }
    assert table["relevance.margin.mean"] == {
        **{"vanilla": "no iteration", "m0": "no iteration", "m1": 0.2},
        **{"m2": "not run", "m3": "not run"},
    }
    assert set(table["facts"].values()) == {"not run"}
    assert table["preferences"]["vanilla"] == "no iteration"
    assert not [name for name in table if "signatures" in name or "flag" in name]
    assert rows == {name: {m: str(v) for m, v in row.items()} for name, row in table.items()}
    printed = {line[:10].strip(): line[10:] for line in capsys.readouterr().out.splitlines()}
    assert printed[""].split() == sorted(MODELS)  # as the fixture writes them
    assert printed["words"].split() == ["12.000", "12.000", "not", "run", "not", "run", "12.000"]
    assert printed["margin"].split() == ["no", "iteration", "0.200", *["not", "run"] * 2, "no", "iteration"]


@pytest.mark.parametrize(
    ("second", "shrinks", "grows"), [(0.05, True, False), (0.18, False, False), (0.4, False, True)]
)
def test_the_margin_shrinks_where_its_interval_says_so(run: Run, second: float, shrinks: bool, grows: bool):
    found, _ = run({"m1/relevance.json": margin(0.2, 0.03), "m2/relevance.json": margin(second, 0.04)})
    change = found["margin_change"]["m2"]
    assert change["mean"] == pytest.approx(second - 0.2)
    assert change["high"] - change["mean"] == pytest.approx(0.05)  # the root of 0.03^2 + 0.04^2
    assert (change["shrinks"], change["grows"]) == (shrinks, grows)
    assert found["margin_change"]["m3"] == {"from": "m2", "change": "not run"}
    assert list(found["margin_change"]) == ["m2", "m3"]


def test_the_interval_of_a_change_is_that_of_a_bootstrap_of_both():
    rng = random.Random(5)
    first = [rng.gauss(0.3, 1) for _ in range(300)]
    second = [rng.expovariate(2) for _ in range(200)]
    ends = [cluster_bootstrap(v, range(len(v)), seed=1) for v in (first, second)]
    rows = {f"relevance.margin.{part}": {} for part in ("mean", "low", "high")}
    for model, end in zip(("m1", "m2"), ends, strict=True):
        for part, value in end._asdict().items():
            rows[f"relevance.margin.{part}"][model] = value
    change = iterations.margin_changes(rows, {"m1": "m0", "m2": "m1"})["m2"]
    draws = sorted(
        sum(rng.choices(second, k=200)) / 200 - sum(rng.choices(first, k=300)) / 300 for _ in range(2000)
    )
    assert (change["low"], change["high"]) == pytest.approx((draws[50], draws[1950]), abs=0.02)


def test_a_lopsided_interval_goes_to_the_right_side(run: Run):
    first = {"margin": {"mean": 0.2, "low": 0.19, "high": 0.26}}
    second = {"margin": {"mean": 0.1, "low": 0.02, "high": 0.1}}
    change = run({"m1/relevance.json": first, "m2/relevance.json": second})[0]["margin_change"]["m2"]
    # At its lowest the second is 0.08 below its mean and the first 0.06 above its own.
    assert [change[part] for part in ("low", "high")] == pytest.approx([-0.1 - 0.1, -0.1 + 0.01])


def test_relevance_without_its_encoder_is_not_available(run: Run):
    absent = {"pairs": 3, "not_available": {"relevance": "no encoder"}}
    found, _ = run({"m1/relevance.json": absent, "m2/relevance.json": absent})
    assert found["margin_change"]["m2"] == {"from": "m1", "change": "not available"}


def test_a_file_that_is_no_metrics_file_is_an_error(run: Run, tmp_path: Path):
    with pytest.raises(InputError, match=r"m1/text.json: not a JSON object"):
        run({"m1/text.json": [1]})
    assert not list(tmp_path.glob("out.*"))


def test_plots_have_the_iterations_that_were_measured(tmp_path: Path, params_file: Callable[..., Path]):
    params = {"iterations": CHAIN, "models": dict.fromkeys(MODELS, POLICY), "headline": "m3"}
    for model, own in {"vanilla": 0.0, "m0": 1.5, "m1": 4, "m3": 6.0}.items():
        publish_json(tmp_path / f"metrics/{model}/facts.json", {"own_share": own})
    args = ["--metrics", str(tmp_path / "metrics"), "--out", str(tmp_path / "out.json")]
    args += ["--table", str(tmp_path / "out.csv"), "--plots", str(tmp_path / "plots")]
    iterations.main([*args, "--params", str(params_file(params))])
    (plot,) = (tmp_path / "plots").iterdir()  # nothing but facts was measured
    assert plot.name == "facts.own_share.csv"
    assert plot.read_text(encoding="utf-8").split() == ["iteration,value", "0,1.5", "1,4", "3,6.0"]
