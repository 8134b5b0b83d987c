"""The stage mini: its parameters, and a folder that is published whole or not at all."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from selfevolve.runtime.errors import InputError
from selfevolve.runtime.parameters import read_params
from testbed.mini import MiniParams
from tests.conftest import ROOT, run_here
from tests.support.sessions import DEFAULTS


@pytest.mark.parametrize(
    ("section", "field"),
    [
        ({"esconv_sessions": 0}, "mini.esconv_sessions"),
        ({"esconv_test_sessions": -1}, "mini.esconv_test_sessions"),
        ({"synesc_sessions": 1}, "mini.synesc_sessions"),
        ({"alpaca_items": -5}, "mini.alpaca_items"),
        ({"alpaca_items": 10**9}, "mini.alpaca_items"),
        ({"seed": -1}, "mini.seed"),
        ({"seed": True}, "mini.seed"),
        ({"esconv_sessions": "many"}, "mini.esconv_sessions"),
        ({"esconv_sessions": 1.5}, "mini.esconv_sessions"),
        ({"sessions": 5}, "mini.sessions"),
        (None, "mini"),
    ],
)
def test_bad_parameters(section: Any, field: str, tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(json.dumps({"mini": section and DEFAULTS | section}), encoding="utf-8")
    with pytest.raises(InputError, match=rf"params.yaml: field {re.escape(field)}: "):
        read_params("mini", MiniParams, file)


def test_the_tests_use_the_sizes_of_the_pipeline() -> None:
    assert read_params("mini", MiniParams, ROOT / "params.yaml").model_dump() == DEFAULTS


def test_stage_publishes_a_folder_or_nothing(tmp_path: Path) -> None:
    params = tmp_path / "params.yaml"
    out = tmp_path / "mini"
    params.write_text("mini: {seed: 7, esconv_sessions: 0}\n", encoding="utf-8")
    failed = run_here("testbed.mini", "--out", out, "--params", params, cwd=tmp_path)
    assert failed.returncode == 1
    assert failed.stderr.startswith(f"error: {params}: field mini.esconv_sessions: ")
    assert failed.stderr.count("\n") == 1
    assert not out.exists()
    sizes = "seed: 7, esconv_sessions: 2, esconv_test_sessions: 1, synesc_sessions: 2, alpaca_items: 3"
    params.write_text(f"mini: {{{sizes}}}\n", encoding="utf-8")
    done = run_here("testbed.mini", "--out", out, "--params", params, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    sizes = {path.stem: len(json.loads(path.read_text(encoding="utf-8"))) for path in out.iterdir()}
    assert sizes == {"esconv": 3, "extes": 1, "serveforemo": 1, "alpaca": 3}
