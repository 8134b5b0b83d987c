"""How many words a refined response may have, and where the numbers come from."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from selfevolve.preferences.length_rule import LengthRule, is_longer, read_length_rule
from selfevolve.runtime.errors import InputError
from tests.conftest import ROOT

MEASURES = st.lists(st.sampled_from(["rejected", "golden"]), unique=True)


@given(st.none() | st.floats(0.1, 9), MEASURES, st.integers(0, 40), st.integers(1, 40), st.integers(0, 99))
def test_a_text_is_too_long_if_it_is_so_for_any_text_it_is_held_against(
    ratio: float | None, against: list[str], rejected: int, golden: int, words: int
):
    rule = LengthRule(too_long="golden", max_length_ratio=ratio, length_against=against)
    measures = {"rejected": rejected, "golden": golden}
    expected = ratio is not None and any(words > ratio * measures[name] for name in against)
    assert is_longer("w " * words, rule.most_words("r " * rejected, "g " * golden)) == expected


def test_the_rule_is_read_from_the_section_of_the_pairs(params_file: Callable[..., Path]):
    rule = read_length_rule(params_file({"pair.too_long": "ask_again", "pair.max_length_ratio": None}))
    assert rule == LengthRule(too_long="ask_again", max_length_ratio=None, length_against=["rejected"])
    with pytest.raises(
        InputError, match=r"params\.yaml: field pair\.too_long: .*'ask_again'.* got \"never\""
    ):
        read_length_rule(params_file({"pair.too_long": "never"}))


def test_dvc_runs_refine_again_where_the_rule_changes_and_nothing_else_of_the_section():
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    declared = [name for name in stages["refine"]["do"]["params"] if name.startswith("pair")]
    assert sorted(declared) == sorted(f"pair.{key}" for key in LengthRule.model_fields)
