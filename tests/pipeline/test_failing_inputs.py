"""Inputs that once failed, where a folder `failing` of them lies beside the repository; else skipped."""

import json
from pathlib import Path

import pytest

from selfevolve.data.cleaning import clean_corpus
from selfevolve.data.corpus import load_corpus
from selfevolve.prompts.answers import parse_reflection
from selfevolve.records.schema import Response
from selfevolve.runtime.errors import InputError, ParseError
from stages import score
from tests.conftest import SHARED

FAILING = SHARED / "failing"
REFLECTIONS = FAILING / "reflections.json"
ANSWERS = json.loads(REFLECTIONS.read_text(encoding="utf-8")) if REFLECTIONS.is_file() else []
pytestmark = pytest.mark.skipif(not FAILING.is_dir(), reason=f"no {FAILING}")


@pytest.mark.parametrize("case", ANSWERS, ids=lambda case: case["name"])
def test_a_reflection_is_read_as_it_should_be(case: dict[str, str]):
    answer = Response(
        id="d#1", text=case["answer"], finish_reason=case["finish_reason"], attempt=1, model="m"
    )
    try:
        found = parse_reflection(answer).value.refined_response
    except ParseError:
        found = "parse failure"
    expected = case["expected"]
    if expected.startswith("any outcome but a traceback"):
        found.encode("utf-8")
    elif expected.startswith("parse failure"):
        assert found == "parse failure"
    elif expected.startswith("parsed: "):
        assert found == expected.removeprefix("parsed: ")
    else:
        text = case["answer"].rpartition('"refined_response": ')[2].rpartition("}")[0].strip()
        assert found == json.loads(text)  # the last one, whole


def test_all_files_of_a_folder_are_read():
    assert len(load_corpus(FAILING / "folder", "esconv")) == 16  # four in each of its four files


def test_an_invisible_utterance_is_blank_and_counted():
    raw = load_corpus(FAILING / "invisible_utterance.json", "esconv")
    cleaned, counts = clean_corpus(raw, 2)
    assert counts.metrics()["cleaning"]["blank_dropped"] == 1
    assert all(turn.text.strip("\u200b\ufeff ") for dialogue in cleaned for turn in dialogue.turns)


def test_a_cut_corpus_is_refused_with_line_and_column():
    with pytest.raises(InputError, match=r"cut_corpus\.json: .*line \d+.*column \d+"):
        load_corpus(FAILING / "cut_corpus.json", "esconv")


def test_equal_texts_of_any_script_never_score_0(tmp_path: Path):
    (tmp_path / "params.yaml").write_text("score: {semantic: false}\n", encoding="utf-8")
    files = ["--pairs", str(FAILING / "zh.jsonl"), "--out", str(tmp_path / "scores.json"), "--no-semantic"]
    score.main([*files, "--params", str(tmp_path / "params.yaml")])
    scores = json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))
    for protocol in ("paper", "standard"):
        assert scores[protocol]["rouge_l"] == pytest.approx(100)
        assert all(value != 0 for value in scores[protocol].values())
