"""Relevance of chosen and rejected responses, with the real encoder that comes with the installation."""

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfevolve.metrics import semantic
from selfevolve.metrics.relevance import EDGES, Asked, density, overlap, sentence_vectors, shares
from selfevolve.metrics.relevance import relevance as relevance_of
from selfevolve.records.jsonl import write_records
from selfevolve.records.schema import Preference, ShareGptMessage
from selfevolve.runtime.errors import InputError
from stages.analyses import relevance

SAID = [
    "I lost my job at the bakery last week.",
    "My sister does not speak to me since the funeral.",
    "I cannot sleep before my chemistry exam.",
    "My husband moved out and took the dog.",
]
NEAR = [
    "Losing the job at the bakery last week must hurt.",
    "Your sister has not spoken to you since the funeral, I see.",
    "An exam in chemistry that costs you your sleep is hard.",
    "Your husband moved out, and the dog is gone as well.",
]
FAR = "Bananas are yellow."


# --- vectors, relevance and distributions


@pytest.fixture(scope="module")
def minilm() -> semantic.Encoder:
    return semantic.find_encoder("minilm")


def test_sentence_vectors_are_those_of_sentence_transformers(minilm: semantic.Encoder):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    texts = [*SAID, FAR, "ok", "so sad " * 30]
    vectors, truncated = sentence_vectors(texts, minilm, batch_size=3)
    expected = sentence_transformers.SentenceTransformer(str(minilm.folder), device="cpu").encode(texts)
    assert truncated == 0
    for text, theirs in zip(texts, expected, strict=True):
        assert vectors[text] == pytest.approx(theirs, abs=1e-5)
        assert math.isclose(float(np.linalg.norm(vectors[text])), 1, abs_tol=1e-5)
    alone, _ = sentence_vectors([FAR], minilm)
    assert alone[FAR] == pytest.approx(vectors[FAR], abs=1e-5)


def test_relevance_is_the_mean_cosine_to_what_the_seeker_said(minilm: semantic.Encoder):
    found, truncated = relevance_of([Asked(SAID[:2], [NEAR[0], SAID[0], "so " * 900])], minilm)
    vectors, _ = sentence_vectors([*SAID[:2], NEAR[0]], minilm)
    by_hand = [float(vectors[said] @ vectors[NEAR[0]]) for said in SAID[:2]]
    assert found.shape == (1, 3)
    assert found[0, 0] == pytest.approx(sum(by_hand) / 2, abs=1e-5)
    assert found[0, 1] == pytest.approx((1 + float(vectors[SAID[0]] @ vectors[SAID[1]])) / 2, abs=1e-5)
    assert truncated == 1


def test_the_overlap_of_two_normal_distributions_is_the_known_one():
    rng = np.random.default_rng(1)
    first = rng.normal(0.1, 0.1, 1500)
    for apart in (0.0, 0.1, 0.2):
        known = math.erfc(apart / 0.2 / math.sqrt(2))  # 2 * Phi(-d / 2 sigma)
        assert overlap(first, rng.normal(0.1 + apart, 0.1, 1500)) == pytest.approx(known, abs=0.04)
    assert overlap(first, first) == pytest.approx(1, abs=1e-3)
    assert overlap(first - 1, first + 1) == pytest.approx(0, abs=1e-3)


def test_values_that_do_not_differ_have_no_density():
    assert density([0.5, 0.5, 0.5]) is None
    assert density([0.5]) is None
    assert overlap([0.5, 0.5], [0.1, 0.9]) is None


@given(st.lists(st.floats(-1.001, 1.001), min_size=1, max_size=30))
def test_every_value_falls_into_a_bin(values: list[float]):
    assert sum(shares(values)) == pytest.approx(100)
    assert len(shares(values)) == len(EDGES) - 1


# --- the stage


def pair(number: int, chosen: str, rejected: str, source: str = "refined") -> Preference:
    said = [("human", "Hello."), ("gpt", "Hi, what is it?"), ("human", SAID[number % 4])]
    return Preference(
        id=f"d{number // 2:02d}#{2 * (number % 2) + 3}",
        system="S",
        conversations=[ShareGptMessage(from_=role, value=text) for role, text in said],
        chosen=ShareGptMessage(from_="gpt", value=chosen),
        rejected=ShareGptMessage(from_="gpt", value=rejected),
        chosen_source=source,
    )


def near_and_far(number: int) -> Preference:
    source = "golden_parse" if number % 4 == 3 else "refined"
    return pair(number, NEAR[number % 4], f"{FAR} {number}", source)


def write(folder: Path, pairs: list[Preference]) -> None:
    (folder / "preferences").mkdir()
    write_records(folder / "preferences/train.jsonl", pairs[:-2])
    write_records(folder / "preferences/valid.jsonl", pairs[-2:])


Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(tmp_path: Path, params_file: Callable[..., Path]) -> Run:
    def measure(pairs: list[Preference], **params: Any) -> dict[str, Any]:
        write(tmp_path, pairs)
        paths = {"--preferences": "preferences", "--out": "r.json", "--plot": "r.csv"}
        given_ = [part for name, path in paths.items() for part in (name, str(tmp_path / path))]
        changes = {f"relevance.{key}": value for key, value in params.items()}
        relevance.main([*given_, "--params", str(params_file(changes))])
        return json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))

    return measure


def test_chosen_responses_that_take_up_the_seeker_are_nearer(run: Run, tmp_path: Path):
    report = run([near_and_far(number) for number in range(8)])
    assert (report["pairs"], report["dialogues"]) == (8, 4)
    assert report["margin"]["low"] > 0.1
    assert report["margin"]["mean"] == pytest.approx(report["chosen"]["mean"] - report["rejected"]["mean"])
    assert (report["chosen_nearer"], report["truncated"]) == (100, 0)
    assert report["overlap"] < 0.2
    assert report["words"]["rejected"]["mean"] == 4
    assert report["chosen_source"]["golden_parse"] == {"pairs": 2, "percent": 25}
    assert {name: one["pairs"] for name, one in report["by_source"].items()} == {
        "golden_parse": 2,
        "refined": 6,
    }
    assert report["equal"] == 0
    assert "encoder:minilm|layers:6|pooling:mean" in report["signature"]
    lines = list(csv.DictReader((tmp_path / "r.csv").open(encoding="utf-8")))
    for side in ("chosen", "rejected"):
        assert sum(float(line[f"{side}_percent"]) for line in lines) == pytest.approx(100, abs=1e-3)
        mean = sum(float(line["relevance"]) * float(line[f"{side}_percent"]) / 100 for line in lines)
        assert mean == pytest.approx(report[side]["mean"], abs=0.01)  # half a bin
        area = sum(float(line[f"{side}_density"]) for line in lines) * 0.02
        assert area == pytest.approx(1, abs=0.02)


def test_sides_that_change_places_change_the_sign(run: Run):
    report = run([pair(n, f"{FAR} {n}", NEAR[n % 4]) for n in range(4)])
    assert report["margin"]["high"] < 0
    assert report["chosen_nearer"] == 0


def test_equal_sides_are_counted_and_have_no_margin(run: Run, tmp_path: Path):
    report = run([pair(n, "I am here.", "I am  here.") for n in range(4)])
    assert report["equal"] == 4
    assert report["margin"]["mean"] == 0
    assert (report["margin"]["p"], report["chosen_nearer"]) == (1, 0)


def test_one_dialogue_has_means_but_no_interval(run: Run):
    report = run([pair(n, NEAR[n], FAR) for n in (0, 1)])
    assert report["margin"].keys() == {"mean", "p"}


def test_without_the_encoder_there_is_no_relevance_and_no_zero(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "empty"))
    report = run([near_and_far(number) for number in range(4)], encoder="nobody/no-such-encoder")
    assert "no-such-encoder" in report["not_available"]["relevance"]
    assert not {"chosen", "margin", "overlap", "by_source"} & report.keys()
    assert report["words"]["rejected"]["mean"] == 4
    assert (tmp_path / "r.csv").read_text().count("\n") == 1


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"chosen": ShareGptMessage(from_="gpt", value=" ")}, "valid.jsonl: record d01#5: field chosen"),
        ({"conversations": [ShareGptMessage(from_="gpt", value="Hi.")]}, "has no turn of the seeker"),
    ],
)
def test_a_pair_that_cannot_be_measured_is_named(
    run: Run, tmp_path: Path, changed: dict[str, Any], message: str
):
    pairs = [near_and_far(number) for number in range(4)]
    with pytest.raises(InputError, match=message):
        run([*pairs[:-1], pairs[-1].model_copy(update=changed)])
    assert not list(tmp_path.glob("r.*"))
