"""From contexts to preference pairs: appendix A's rules, and numbers that add up."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfevolve.preferences.pairs import SOURCES, PairParams, count_pairs, make_pairs
from selfevolve.records.jsonl import read_records, write_records
from selfevolve.records.schema import Preference
from tests.conftest import run_here
from tests.support.preferences import CONTEXT, PARAMS, direct, refined


def pairs_of_one(
    rejected: str, refinement: str | None, params: PairParams = PARAMS, finish_reason: str = "stop"
) -> Any:
    """The pair of CONTEXT, or the reason that it has none."""
    response = direct(rejected, CONTEXT.id, finish_reason)
    return make_pairs([CONTEXT], {CONTEXT.id: response}, {CONTEXT.id: refined(refinement)}, "S", params)


@pytest.mark.parametrize(
    ("rejected", "refinement", "chosen", "source"),
    [
        ("one two", "a b c d", "a b c d", "refined"),  # exactly twice as long is not longer than twice
        ("one two", "a b c d e", CONTEXT.golden, "golden_length"),
        ("one two", None, CONTEXT.golden, "golden_parse"),
    ],
)
def test_who_is_chosen(rejected: str, refinement: str | None, chosen: str, source: str):
    (pair,) = pairs_of_one(rejected, refinement)[0]
    assert (pair.chosen.value, pair.chosen_source, pair.rejected.value) == (chosen, source, rejected)
    assert [message.value for message in pair.conversations] == ["I am sad."]


def test_the_length_rule_can_take_the_golden_response_as_measure():
    params = PARAMS.model_copy(update={"length_against": ["rejected", "golden"]})
    (pair,) = pairs_of_one("w " * 9, "w " * 10, params)[0]
    assert pair.chosen_source == "golden_length"  # 10 words against the golden response's 4


@pytest.mark.parametrize(
    ("rejected", "refinement", "reason"),
    [("a  b", "a b", "equal"), (CONTEXT.golden, None, "equal"), ("\u200b \ufeff", "a", "empty_rejected")],
)
def test_what_is_dropped_has_a_reason(rejected: str, refinement: str | None, reason: str):
    pairs, dropped = pairs_of_one(rejected, refinement)
    assert (pairs, +dropped) == ([], {reason: 1})


@pytest.mark.parametrize("finish_reason", ["length", "content_filter"])
@pytest.mark.parametrize("refinement", ["a b", None, "a b c d e"])
def test_a_rejected_response_without_an_end_of_its_own_makes_no_pair(
    finish_reason: str, refinement: str | None
):
    pairs, dropped = pairs_of_one("one two", refinement, finish_reason=finish_reason)
    assert (pairs, +dropped) == ([], {"cut_rejected": 1})


@pytest.mark.parametrize("too_long", ["golden", "drop", "ask_again"])
def test_what_becomes_of_a_long_response_is_a_parameter(too_long: str):
    params = PARAMS.model_copy(update={"too_long": too_long})
    pairs, dropped = pairs_of_one("one two", "a b c d e", params)
    if too_long == "drop":
        assert (pairs, +dropped) == ([], {"too_long": 1})
    else:
        assert [pair.chosen_source for pair in pairs] == ["golden_length"]
    (short,) = pairs_of_one("one two", "a b c d", params)[0]
    assert short.chosen_source == "refined"
    (unread,) = pairs_of_one("one two", None, params)[0]
    assert unread.chosen_source == "golden_parse"


def test_a_golden_response_in_place_of_a_long_one_can_be_as_long():
    contexts = [CONTEXT.model_copy(update={"id": f"d{n}#3", "golden": "g " * 2 * n}) for n in range(1, 5)]
    responses = {one.id: direct("one two", one.id) for one in contexts}
    texts = dict(zip(responses, ["w " * 9, "w " * 9, "w " * 4, None], strict=True))
    refinements = {name: refined(text, name) for name, text in texts.items()}
    pairs, dropped = make_pairs(contexts, responses, refinements, "S", PARAMS)
    counts = count_pairs(pairs, dropped, list(refinements.values()), 2.0)
    assert counts["by_source"] == {
        "refined": {
            "pairs": 1,
            "percent": 25,
            "length_ratio": 2,
            "length_ratio_max": 2,
            "over_length_rule": 0,
        },
        "golden_length": {
            "pairs": 2,
            "percent": 50,
            "length_ratio": 1.5,
            "length_ratio_max": 2,
            "over_length_rule": 0,
        },
        "golden_parse": {
            "pairs": 1,
            "percent": 25,
            "length_ratio": 4,
            "length_ratio_max": 4,
            "over_length_rule": 1,
        },
    }
    without = count_pairs(pairs, dropped, [], None)["by_source"]
    assert not any("over_length_rule" in source for source in without.values())
    assert without["golden_parse"]["length_ratio_max"] == 4


def write_inputs(folder: Path) -> dict[str, int]:
    """Sixty contexts of twenty dialogues; every third reflection failed, some are long or equal."""
    contexts, responses, refinements = [], [], []
    expected = dict.fromkeys((*SOURCES, "equal"), 0)
    for n in range(60):
        identity = f"d{n // 3:02d}#{2 * (n % 3) + 1}"
        contexts.append(CONTEXT.model_copy(update={"id": identity}))
        responses.append(direct("a b", identity))
        kind = ["golden_parse", "refined", "golden_length", "equal"][n % 4]
        text = {"golden_parse": None, "refined": "c d", "golden_length": "a b c d e", "equal": "a b"}[kind]
        refinements.append(refined(text, identity))
        expected[kind] += 1
    write_records(folder / "contexts.jsonl", contexts)
    write_records(folder / "rejected.jsonl", responses)
    write_records(folder / "refined.jsonl", refinements)
    return expected


def run_pair(folder: Path, params: Path) -> Any:
    arguments = ["--contexts", "contexts.jsonl", "--rejected", "rejected.jsonl", "--refined", "refined.jsonl"]
    return run_here("pair", *arguments, "--out", "out", "--metrics", "m.json", "--params", params, cwd=folder)


def test_every_context_is_accounted_for(tmp_path: Path, params_file: Callable[..., Path]):
    expected = write_inputs(tmp_path)
    done = run_pair(tmp_path, params_file({"pair.valid_share": 0.2}))
    assert done.returncode == 0, done.stderr
    counts = json.loads((tmp_path / "m.json").read_text())
    assert counts["contexts"] == 60 == counts["pairs"] + sum(counts["dropped"].values())
    none = dict.fromkeys(("empty_rejected", "cut_rejected", "too_long", "unsupported"), 0)
    assert counts["dropped"] == {"equal": expected.pop("equal"), **none}
    assert counts["chosen_source"] == expected
    parts = [read_records(tmp_path / "out" / f"{name}.jsonl", Preference) for name in ("train", "valid")]
    assert [len(part) for part in parts] == [counts["train"], counts["valid"]]
    dialogues = [{pair.id.split("#")[0] for pair in part} for part in parts]
    assert not dialogues[0] & dialogues[1]
    assert len(dialogues[1]) == 4


def test_a_context_without_a_refinement_is_named(tmp_path: Path, params_file: Callable[..., Path]):
    write_inputs(tmp_path)
    lines = (tmp_path / "refined.jsonl").read_text().splitlines()
    (tmp_path / "refined.jsonl").write_text("\n".join(lines[1:]))
    done = run_pair(tmp_path, params_file())
    assert (done.returncode, done.stderr) == (
        1,
        "error: refined.jsonl: record d00#1: has no record of this id\n",
    )
    assert not (tmp_path / "out").exists()


def test_without_a_length_rule_long_refined_responses_stay(tmp_path: Path, params_file: Callable[..., Path]):
    write_inputs(tmp_path)
    done = run_pair(tmp_path, params_file({"pair.max_length_ratio": None}))
    assert done.returncode == 0, done.stderr
    counts = json.loads((tmp_path / "m.json").read_text())
    assert counts["chosen_source"] == dict.fromkeys(SOURCES, 0) | {"refined": 30, "golden_parse": 15}
