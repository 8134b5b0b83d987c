"""The stores of two studies."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from rating.app.store import Store
from tests.support.rating_store import make_store, make_study


@pytest.fixture
def pointwise(tmp_path: Path) -> Iterator[Store]:
    store = make_store(tmp_path, make_study(tmp_path, "pointwise"))
    yield store
    store.close()


@pytest.fixture
def pairwise(tmp_path: Path) -> Iterator[Store]:
    store = make_store(tmp_path, make_study(tmp_path, "pairwise"))
    yield store
    store.close()
