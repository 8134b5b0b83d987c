"""Small corpora for every test of this folder."""

import json
from pathlib import Path

import pytest
import yaml

from tests.support.raw_corpora import PARAMS, esconv, extes


@pytest.fixture
def corpora(tmp_path: Path) -> Path:
    """Twenty usable ESConv sessions and one too short, five ExTES sessions, no ServeForEmo."""
    sessions = [*[esconv(number) for number in range(20)], esconv(20, exchanges=4)]
    (tmp_path / "esconv.json").write_text(json.dumps(sessions), encoding="utf-8")
    (tmp_path / "extes.json").write_text(json.dumps([extes(n) for n in range(5)]), encoding="utf-8")
    (tmp_path / "serveforemo.jsonl").write_text("", encoding="utf-8")
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"prepare": PARAMS}), encoding="utf-8")
    return tmp_path
