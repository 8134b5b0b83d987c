"""The stage mini: its parameters, and a folder that is published whole or not at all."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stages.command import read_params
from stages.mini import MiniParams
from stages.records.errors import InputError
from tests.conftest import ROOT
from tests.sessions import DEFAULTS


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
    file.write_text(json.dumps({"mini": section}), encoding="utf-8")
    with pytest.raises(InputError, match=rf"params.yaml: field {re.escape(field)}: "):
        read_params("mini", MiniParams, file)


def test_defaults() -> None:
    assert MiniParams().model_dump() == DEFAULTS


def run_stage(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stages.mini", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_stage_publishes_a_folder_or_nothing(tmp_path: Path) -> None:
    params = tmp_path / "params.yaml"
    out = tmp_path / "mini"
    params.write_text("mini: {esconv_sessions: 0}\n", encoding="utf-8")
    failed = run_stage("--out", str(out), "--params", str(params))
    assert failed.returncode == 1
    assert failed.stderr.startswith(f"error: {params}: field mini.esconv_sessions: ")
    assert failed.stderr.count("\n") == 1
    assert not out.exists()
    sizes = "esconv_sessions: 2, esconv_test_sessions: 1, synesc_sessions: 2, alpaca_items: 3"
    params.write_text(f"mini: {{{sizes}}}\n", encoding="utf-8")
    done = run_stage("--out", str(out), "--params", str(params))
    assert (done.returncode, done.stderr) == (0, "")
    sizes = {path.stem: len(json.loads(path.read_text(encoding="utf-8"))) for path in out.iterdir()}
    assert sizes == {"esconv": 3, "extes": 1, "serveforemo": 1, "alpaca": 3}
