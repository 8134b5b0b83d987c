"""How many samples phase 1 has by the averages: long dialogues go on in a further one."""

import copy

import pytest

from bench.planning.tokens import Workload
from selfevolve.runtime.files import read_yaml
from tests.conftest import ROOT

PARAMS = read_yaml(ROOT / "params.yaml")


@pytest.mark.parametrize(("cutoff", "pieces"), [(4096, 1), (640, 2)])
def test_a_dialogue_that_is_too_long_for_a_sample_goes_on_in_the_next(cutoff: int, pieces: int):
    """An average dialogue of ESConv has more tokens than a sample of 640, and fewer than two of them."""
    params = copy.deepcopy(PARAMS)
    params["data"]["name"], params["prompts"]["dir"] = "public", "prompts/paper"
    params["backbone"]["name"] = "qwen05"
    params["sft_data"] |= {"dialogue_limit": 30, "alpaca_items": 10, "valid_share": 0.0}
    params["train"]["sft"]["cutoff_len"] = cutoff
    work = next(one for one in Workload(params, None).works(["m0"]) if one.stage == "sft@m0")
    assert work.requests == 30 * pieces + 10
