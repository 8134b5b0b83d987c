"""A Hub cache with what a plan reads of the paper's backbones."""

import json
from pathlib import Path

import pytest

from tests.support.hub_cache import COMMIT, CONFIGS


@pytest.fixture
def hub_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Hub cache that holds the config.json of the paper's backbones, and nothing else of them."""
    cache = tmp_path_factory.mktemp("hub")
    for name, config in CONFIGS.items():
        snapshot = cache / f"models--{name.replace('/', '--')}" / "snapshots" / COMMIT
        snapshot.mkdir(parents=True)
        (snapshot / "config.json").write_text(json.dumps(config))
        refs = snapshot.parents[1] / "refs"
        refs.mkdir()
        (refs / "main").write_text(COMMIT)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    return cache
