"""What merging loses is measured along the update, and every way to run a chain is in the table."""

import json
from pathlib import Path

import pytest
import torch

from bench import rounding
from selfevolve.records.jsonl import write_records
from selfevolve.records.schema import Preference, ShareGptMessage
from selfevolve.runtime.errors import InputError
from tests.conftest import SYSTEM, TEXTS
from tests.support.bfloat16 import add_adapter, in_bfloat16


def test_what_is_kept_lies_along_the_update_and_the_rest_is_noise():
    base, update = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.5, 0.0, 0.0])
    beside = torch.tensor([0.0, 0.25, 0.0])
    ways = {"all": base + update, "none": base, "half and noise": base + update / 2 + beside}
    found = {name: rounding.kept({"w": base}, {"w": base + update}, {"w": w}) for name, w in ways.items()}
    assert found["all"] == {"kept": 1, "noise": 0}
    assert found["none"] == {"kept": 0, "noise": 0}
    assert found["half and noise"] == {"kept": 0.5, "noise": 0.5}


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    said = [ShareGptMessage(from_="human", value=TEXTS[0])]
    answers = {
        name: ShareGptMessage(from_="gpt", value=TEXTS[n]) for n, name in ((1, "chosen"), (3, "rejected"))
    }
    pair = Preference(id="p", system=SYSTEM, conversations=said, **answers, chosen_source="refined")
    write_records(tmp_path / "pairs.jsonl", [pair])
    return tmp_path / "pairs.jsonl"


def test_unmerged_keeps_what_merging_loses(backbone: Path, pairs: Path, tmp_path: Path):
    in_bfloat16(backbone, tmp_path / "backbone")
    add_adapter(tmp_path / "m0", tmp_path / "backbone", 1e-5)
    out = tmp_path / "out.json"
    rounding.main(["--policy", str(tmp_path / "m0"), "--pairs", str(pairs), "--out", str(out)])
    result = json.loads(out.read_text())
    rows = result["rows"]
    assert result["rms_b"] == pytest.approx(1e-5, rel=0.1)
    assert rows["backbone alone"]["kept"] == 0 < rows["merged once"]["kept"] < 0.5
    assert rows["unmerged"]["kept"] == pytest.approx(1, abs=2e-3)
    # So small an update moves the probabilities by less than float32 can tell: no KL is compared here.
    assert all(abs(row["kl_float32"]) < 1e-6 for row in rows.values() if "kl_float32" in row)


def test_in_float32_there_is_nothing_to_measure(backbone: Path, pairs: Path, tmp_path: Path):
    with pytest.raises(InputError, match="in float32 nothing is rounded"):
        rounding.main(["--policy", str(backbone), "--pairs", str(pairs), "--out", str(tmp_path / "out.json")])
