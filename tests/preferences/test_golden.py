"""Golden responses throughout ({HM, P} and {HL, P} of the paper): nothing to refine, pairs all the same."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from selfevolve.preferences.pairs import SOURCES
from stages import refine, reflections
from tests.support.preferences import pairs_made_in, sides, write_own
from tests.support.world_files import given as world_given
from tests.support.world_files import write_world


def test_golden_responses_throughout_need_no_refined_ones(tmp_path: Path, params_file: Callable[..., Path]):
    write_own(tmp_path, [3, 3, 3])
    (tmp_path / "refined.jsonl").unlink()
    params = params_file({"pair.supported_by": "facts"})  # and nothing to ask of them
    pairs = pairs_made_in(tmp_path, params, "--chosen", "golden")
    assert sides(pairs) == [(f"{made.id} golden", f"{made.id} direct") for made in pairs]
    assert len(pairs) == 9
    counts = json.loads((tmp_path / "m.json").read_text())
    assert counts["chosen_source"] == dict.fromkeys(SOURCES, 0) | {"golden": 9}
    assert not {"reflections_failed", "mean_attempts"} & set(counts)  # of none there is no mean


def test_golden_responses_are_taken_where_refined_ones_are_there(
    tmp_path: Path, params_file: Callable[..., Path]
):
    write_own(tmp_path, [3, 3, 3])
    more = ("--refined", str(tmp_path / "refined.jsonl"), "--chosen", "golden")
    assert {made.chosen_source for made in pairs_made_in(tmp_path, params_file(), *more)} == {"golden"}


def test_the_method_needs_refined_responses(
    tmp_path: Path, params_file: Callable[..., Path], capsys: pytest.CaptureFixture[str]
):
    write_own(tmp_path, [3, 3, 3])
    with pytest.raises(SystemExit):
        pairs_made_in(tmp_path, params_file())
    assert "--refined is needed where refined responses are chosen" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "m.json").exists()


def test_nothing_is_refined_and_no_model_is_asked(tmp_path: Path):
    given = ["--policy", "no-model", "--contexts", "none.jsonl", "--responses", "none.jsonl"]
    out = ["--out", str(tmp_path / "refined.jsonl"), "--metrics", str(tmp_path / "m.json")]
    refine.main([*given, *out, "--chosen", "golden"])
    assert (tmp_path / "refined.jsonl").read_bytes() == b""
    assert json.loads((tmp_path / "m.json").read_text()) == {"count": 0}
    files = ["--refined", str(tmp_path / "refined.jsonl"), "--rejected", "none.jsonl"]
    files += [*world_given(write_world(tmp_path)), "--out", str(tmp_path / "reflections.json")]
    reflections.main([*files, "--chosen", "golden"])
    assert json.loads((tmp_path / "reflections.json").read_text()) == {"count": 0}
