"""What is repeated: phrases of texts known by hand, and the stage on responses that say so."""

import csv
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfevolve.metrics.phrases import commonest, in_responses, ngrams, opening, words
from selfevolve.records.jsonl import write_records
from selfevolve.records.schema import Context, Message, Response
from selfevolve.runtime.errors import InputError
from stages.analyses import phrases

GOLDEN = "What happened then?"


def test_words_are_lower_case_and_keep_their_inner_marks():
    assert words("It’s a well-known thing -- isn't it, Zoë?") == [
        *("it's", "a", "well-known", "thing", "isn't", "it", "zoë"),
    ]
    assert words("... !?") == []


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("It sounds like you are sad.", "it sounds like"),
        ("“Oh! I'm sorry to hear.", "oh i'm sorry"),
        ("Hello.", "hello"),
        (" \n", None),
    ],
)
def test_an_opening_is_the_first_words_of_a_response(text: str, first: str | None):
    assert opening(text, 3) == first


def test_phrases_lie_within_a_sentence():
    assert ngrams("I hear you. You are not alone", 2) == {
        *("i hear", "hear you", "you are", "are not", "not alone"),
    }
    assert ngrams("I hear you\nYou are", 3) == {"i hear you"}
    assert ngrams("It costs 2.50 or so", 2) == {"it costs", "costs 2", "2 50", "50 or", "or so"}
    assert ngrams("Yes.", 2) == set()


@given(st.text(max_size=200), st.integers(1, 5))
def test_every_phrase_has_its_words_and_is_found_again(text: str, order: int):
    for phrase in ngrams(text, order):
        assert len(words(phrase)) == order
        assert ngrams(phrase, order) == {phrase}


def test_a_phrase_counts_once_a_response_and_ties_go_by_the_alphabet():
    counts = in_responses(ngrams(text, 2) for text in ["so so so sad", "so sad", "a b"])
    assert counts == Counter({"so so": 1, "so sad": 2, "a b": 1})
    assert commonest(counts, 2) == ["so sad", "a b"]


# --- the stage


def write(folder: Path, texts: list[str], golden: list[str] | None = None) -> None:
    ids = [f"d{number // 2:02d}#{2 * (number % 2) + 1}" for number in range(len(texts))]
    goldens = golden or [GOLDEN] * len(texts)
    asked = [Message(role="user", content="I am sad.")]
    write_records(
        folder / "contexts.jsonl",
        [Context(id=i, messages=asked, golden=g) for i, g in zip(ids, goldens, strict=True)],
    )
    write_records(
        folder / "responses.jsonl",
        [
            Response(id=i, text=text, finish_reason="stop", attempt=1, model="m")
            for i, text in zip(ids, texts, strict=True)
        ],
    )


def run(folder: Path, params: Path) -> dict[str, Any]:
    names = {"--responses": "responses.jsonl", "--contexts": "contexts.jsonl", "--out": "p.json"}
    names |= {"--openings": "openings.csv", "--phrases": "phrases.csv"}
    arguments = [part for name, path in names.items() for part in (name, str(folder / path))]
    phrases.main([*arguments, "--params", str(params)])
    return json.loads((folder / "p.json").read_text(encoding="utf-8"))


def test_a_model_that_repeats_itself_is_told_from_people(tmp_path: Path, params_file: Callable[..., Path]):
    said = ["It sounds like you are sad."] * 5 + ["Tell me more please.", "Hello.", "", "Yes, I see it.", "?"]
    people = ["It sounds like rain.", *(f"{name} is my name today." for name in "ABCDEFGHI")]
    write(tmp_path, said, people)
    report = run(tmp_path, params_file({"phrases.top": 1, "phrases.orders": [2, 4]}))
    model, golden = report["model"], report["golden"]
    assert (model["responses"], model["empty"], model["different_openings"]) == (8, 2, 4)
    assert model["openings"] == [{"phrase": "it sounds like", "count": 5, "percent": 62.5}]
    assert model["in_top_openings"]["mean"] == 62.5
    assert model["in_top_openings"]["low"] < 62.5 < model["in_top_openings"]["high"]
    assert golden["in_top_openings"]["mean"] == 10
    assert {order: rows[0]["phrase"] for order, rows in model["phrases"].items()} == {
        "2": "are sad",
        "4": "it sounds like you",
    }
    assert list(csv.DictReader((tmp_path / "openings.csv").open())) == [
        {
            **{"phrase": "it sounds like", "words": "3", "count": "5", "percent": "62.5"},
            **{"golden_count": "1", "golden_percent": "10.0"},
        }
    ]
    lines = list(csv.DictReader((tmp_path / "phrases.csv").open()))
    assert [(line["phrase"], line["golden_count"]) for line in lines] == [
        ("are sad", "0"),
        ("it sounds like you", "0"),
    ]


def test_responses_without_a_word_are_an_error_and_leave_nothing(
    tmp_path: Path, params_file: Callable[..., Path]
):
    write(tmp_path, ["", "!"])
    with pytest.raises(InputError, match=r"responses.jsonl: holds no response with a word"):
        run(tmp_path, params_file())
    assert not list(tmp_path.glob("*.csv"))


def test_a_response_without_its_context_is_an_error(tmp_path: Path, params_file: Callable[..., Path]):
    write(tmp_path, ["One.", "Two."])
    other = Response(id="x#1", text="Three.", finish_reason="stop", attempt=1, model="m")
    write_records(tmp_path / "responses.jsonl", [other])
    with pytest.raises(InputError, match=r"contexts.jsonl: record x#1"):
        run(tmp_path, params_file())
