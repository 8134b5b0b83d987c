"""Two models compared by card and seed: what differs, what cannot be compared, and what is no comparison."""

from pathlib import Path
from typing import Any

import pytest

from selfevolve.metrics.comparison import CompareParams
from selfevolve.metrics.statistics import holm
from selfevolve.records.jsonl import write_records
from selfevolve.runtime.errors import InputError
from selfevolve.sessions.comparison import compare_sessions
from selfevolve.sessions.session import Session
from tests.conftest import run_here
from tests.support.talks import session

HOW = CompareParams(seed=1, resamples=1000, level=0.95)


def sessions(ends: list[int], answer: str = "I hear you.", **changes: Any) -> list[Session]:
    """Two sessions with each of some cards, which end at these levels."""
    return [
        session(f"c{card}#{n}", ("Hi.", 5, []), answer, ("Hm.", end, []), **changes)
        for card, end in enumerate(ends)
        for n in range(2)
    ]


def compared(folder: Path, **models: list[Session]) -> dict[str, Any]:
    files = {}
    for name, found in models.items():
        files[name] = folder / f"{name}.jsonl"
        write_records(files[name], found)
    names = list(models)
    return compare_sessions(files, [(names[0], names[1])], HOW)


def test_a_model_whose_seekers_all_calm_down_differs(tmp_path: Path):
    found = compared(tmp_path, m0=sessions([5, 4, 5, 5, 4, 5, 5, 5]), m2=sessions([2, 2, 3, 2, 1, 2, 2, 3]))
    (pair,) = found["pairs"]
    change = pair["scores"]["emotion_change"]
    assert (pair["first"], pair["last"]) == ("m0", "m2")
    assert change["difference"] == pytest.approx(-2.625)
    assert change["low"] <= change["difference"] <= change["high"] < 0
    assert (change["sessions"], change["dialogues"], found["cards"]) == (16, 8, 8)
    assert change["p_randomisation"] == 2 / 2**8  # every exchange of eight cards, and two as extreme
    adjusted = holm({name: score["p_randomisation"] for name, score in pair["scores"].items()})
    assert change["p_randomisation_holm"] == adjusted["emotion_change"] > change["p_randomisation"]
    assert found["models"]["m2"]["emotion_end"]["value"] == pytest.approx(2.125)


def test_the_same_sessions_do_not_differ(tmp_path: Path):
    same = sessions([5, 1, 3, 2])
    (pair,) = compared(tmp_path, a=same, b=same)["pairs"]
    for score in pair["scores"].values():
        assert (score["difference"], score["p_randomisation_holm"]) == (0.0, 1.0)


def test_a_score_that_too_few_sessions_have_is_said_to_be_absent(tmp_path: Path):
    models = {"a": sessions([5, 1, 3], facts=None), "b": sessions([2, 2, 2], facts=None)}
    (pair,) = compared(tmp_path, **models)["pairs"]
    assert pair["not_available"]["taken_up"].startswith("both models have it with 0 sessions")
    assert "taken_up" not in pair["scores"]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (sessions([1, 2]), r"b\.jsonl: record c2#0: has no such session"),
        (sessions([1, 2, 3, 4]), r"a\.jsonl: record c3#0: has no such session"),
        (sessions([1, 2, 3], seed=2), r"b\.jsonl: record c0#0: field seed: is not what it is in .*a\.jsonl"),
        (sessions([1, 2, 3], seeker="x"), r"b\.jsonl: record c0#0: field seeker: is not what it is"),
        ([], r"b\.jsonl: has no sessions"),
    ],
)
def test_sessions_with_other_seekers_are_no_comparison(tmp_path: Path, other: list[Session], message: str):
    with pytest.raises(InputError, match=message):
        compared(tmp_path, a=sessions([1, 2, 3]), b=other)


def test_the_stage_compares_and_refuses_a_model_that_it_was_not_given(tmp_path: Path, params_file: Any):
    files = {"m0": sessions([5, 4, 5]), "m2": sessions([2, 1, 2])}
    for name, found in files.items():
        write_records(tmp_path / f"{name}.jsonl", found)
    given = [part for name in files for part in ("--sessions", f"{name}={name}.jsonl")]
    given += ["--out", "out.json", "--params", params_file({"compare.resamples": 1000})]
    done = run_here("stages.analyses.compare_sessions", *given, "--pair", "m0:m2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "m2 - m0: emotion_change" in done.stdout
    refused = run_here("stages.analyses.compare_sessions", *given, "--pair", "m0:m9", cwd=tmp_path)
    assert refused.returncode == 2
    assert "two of the models that --sessions names" in refused.stderr
