"""The stage compare, on files that the stage score writes."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from selfevolve.metrics.facts import summarize
from selfevolve.metrics.statistics import cluster_bootstrap, holm, paired_permutation
from selfevolve.records.jsonl import read_records
from selfevolve.records.schema import FactMentions, TextScores
from selfevolve.runtime.files import publish_json
from stages import compare
from tests.conftest import stage_environment
from tests.support.corpora import MODELS, change_details, make_corpus, options, write_models

CORPUS = make_corpus(24, 3, seed=1)
TESTS = ("p_bootstrap", "p_randomisation")


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of contexts, and of each model's files, as the pipeline leaves them."""
    return write_models(tmp_path_factory.mktemp("scored"), CORPUS)


def run(folder: Path, *arguments: str) -> dict[str, Any]:
    compare.main(list(arguments))
    return json.loads((folder / "out.json").read_text(encoding="utf-8"))


def load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def compared(scored: Path) -> dict[str, Any]:
    return run(scored, *options(scored, *MODELS), "--pair", "m0:m1")


# --- intervals


@pytest.mark.parametrize("name", MODELS)
def test_every_score_of_both_protocols_has_an_interval(scored: Path, compared: dict[str, Any], name: str):
    text, found = load(scored / name / "text.json"), compared["models"][name]
    for protocol in ("paper", "standard"):
        assert list(found[protocol]) == list(text[protocol])
        assert len(found[protocol]) >= 8
        for metric, value in text[protocol].items():
            interval = found[protocol][metric]
            assert interval["value"] == pytest.approx(value, abs=1e-9)
            assert interval["low"] < value < interval["high"]
            assert interval["dialogues"] == 24
    assert found["signatures"] == text["signatures"]
    assert "version:" in found["signatures"]["standard_bleu"]
    assert (compared["dialogues"], compared["responses"]) == (24, len(CORPUS.ids))
    assert (compared["seed"], compared["resamples"], compared["level"]) == (3, 1000, 0.95)


@pytest.mark.parametrize("name", MODELS)
def test_the_facts_are_those_of_the_summary_and_of_the_dialogues_that_know_any(
    scored: Path, compared: dict[str, Any], name: str
):
    records = read_records(scored / name / "facts.jsonl", FactMentions)
    found = compared["models"][name]["facts"]
    assert {metric: one["value"] for metric, one in found.items()} == pytest.approx(summarize(records))
    knowing = {r.id.split("#")[0] for r in records if r.known}
    assert found["own_share"]["dialogues"] == len(knowing) < 24 == found["words"]["dialogues"]


def test_an_interval_is_that_of_the_details_alone_and_the_same_in_every_report(
    scored: Path, compared: dict[str, Any]
):
    details = read_records(scored / "m0/scores.jsonl", TextScores)
    values, dialogues = [d.bleu_2 for d in details], [d.id.split("#")[0] for d in details]
    alone = cluster_bootstrap(values, dialogues, seed=3, resamples=1000)
    found = compared["models"]["m0"]["paper"]["bleu_2"]
    assert (found["value"], found["low"], found["high"]) == pytest.approx(alone)
    run(scored, *options(scored, *MODELS), "--pair", "m0:m1")
    before = (scored / "out.json").read_bytes()
    assert run(scored, *options(scored, "m0"))["models"]["m0"] == compared["models"]["m0"]
    run(scored, *options(scored, *MODELS), "--pair", "m0:m1")
    assert (scored / "out.json").read_bytes() == before


# --- differences


def test_every_score_has_a_difference_and_two_tests(scored: Path, compared: dict[str, Any]):
    (pair,) = compared["pairs"]
    assert (pair["first"], pair["last"]) == MODELS
    for group in ("paper", "standard", "facts"):
        first, last = (compared["models"][name][group] for name in MODELS)
        assert pair[group].keys() == first.keys()
        for metric, found in pair[group].items():
            assert found["difference"] == pytest.approx(last[metric]["value"] - first[metric]["value"])
            assert found["low"] <= found["difference"] <= found["high"]
            assert all(0 < found[test] <= found[f"{test}_holm"] <= 1 for test in TESTS)
    rows = [read_records(scored / name / "scores.jsonl", TextScores) for name in MODELS]
    sides = [[row.rouge_l for row in side] for side in rows]
    p = paired_permutation(*sides, [row.id.split("#")[0] for row in rows[0]], seed=8)
    assert pair["paper"]["rouge_l"]["p_randomisation"] == pytest.approx(p, abs=0.03)
    assert pair["paper"]["rouge_l"] | {f"{t}_holm": 0 for t in TESTS} == pair["standard"]["rouge_l"] | {
        f"{t}_holm": 0 for t in TESTS
    }


def test_p_values_are_adjusted_within_a_group_and_a_test(compared: dict[str, Any]):
    (pair,) = compared["pairs"]
    for group in ("paper", "standard", "facts"):
        for test in TESTS:
            adjusted = {metric: found[f"{test}_holm"] for metric, found in pair[group].items()}
            assert adjusted == holm({metric: found[test] for metric, found in pair[group].items()})


def test_a_model_against_its_double_and_the_other_way_round(scored: Path, compared: dict[str, Any]):
    shutil.copytree(scored / "m1", scored / "double")
    pairs = ["--pair", "m1:double", "--pair", "m1:m0"]
    same, back = run(scored, *options(scored, "m0", "m1", "double"), *pairs)["pairs"]
    for group in ("paper", "standard", "facts"):
        for metric, found in same[group].items():
            assert {found[key] for key in ("difference", "low", "high")} == {0}
            assert {found[key] for key in found if key.startswith("p_")} == {1}
            forth = compared["pairs"][0][group][metric]
            mirrored = {key: -forth[key] for key in ("difference", "low", "high")}
            mirrored |= {"low": mirrored["high"], "high": mirrored["low"]}
            assert back[group][metric] == pytest.approx(forth | mirrored)


# --- what is not there


def test_what_is_not_available_has_its_reason_and_no_number(
    scored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    shutil.copytree(scored, tmp_path / "w")
    change_details(tmp_path / "w/m1", lambda row: row | {"bertscore": 50.0})
    text = load(tmp_path / "w/m1/text.json")
    for protocol in ("paper", "standard"):
        text[protocol]["bertscore"] = 50.0
    del text["not_available"]["bertscore"]
    publish_json(tmp_path / "w/m1/text.json", text)
    result = run(tmp_path / "w", *options(tmp_path / "w", *MODELS, facts=False), "--pair", "m0:m1")
    assert result["models"]["m0"]["not_available"]["bertscore"] == "switched off"
    assert "bertscore" not in result["models"]["m1"]["not_available"]
    assert result["models"]["m1"]["paper"]["bertscore"]["low"] == 50
    (pair,) = result["pairs"]
    assert pair["not_available"]["bertscore"] == "switched off"
    for group in (result["models"]["m0"]["paper"], pair["paper"], pair["standard"]):
        assert "bertscore" not in group
    assert "m0: bertscore: not available (switched off)" in capsys.readouterr().out
    assert "facts" not in pair
    assert "facts" not in result["models"]["m0"]["not_available"]


def test_without_gold_profiles_there_are_no_facts(scored: Path, tmp_path: Path):
    shutil.copytree(scored, tmp_path / "w")
    for name in MODELS:
        (tmp_path / "w" / name / "facts.jsonl").write_text("")
    result = run(tmp_path / "w", *options(tmp_path / "w", *MODELS), "--pair", "m0:m1")
    for part in (*result["models"].values(), *result["pairs"]):
        assert part["not_available"]["facts"] == "no dialogue has a gold profile"
        assert "facts" not in part


def test_one_dialogue_has_no_interval(tmp_path: Path):
    folder = write_models(tmp_path, make_corpus(1, 3, seed=4))
    result = run(folder, *options(folder, *MODELS, facts=False), "--pair", "m0:m1")
    for part in (*result["models"].values(), *result["pairs"]):
        assert part["paper"] == part["standard"] == {}
        assert part["not_available"]["bleu_1"] == "rests on one dialogue"


def test_it_loads_no_model_library(scored: Path):
    program = (
        "import sys; from stages.compare import main; light = set(sys.modules); main();"
        "assert not {'nltk', 'jieba', 'scipy', 'sacrebleu'} & light, 'import of the stage';"
        "heavy = {'torch', 'transformers', 'bert_score', 'jieba', 'sklearn', 'pandas', 'scipy.stats'};"
        "assert not heavy & set(sys.modules), 'run of the stage'"
    )
    command = [sys.executable, "-c", program, *options(scored, *MODELS), "--pair", "m0:m1"]
    done = subprocess.run(command, env=stage_environment(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
