"""What several tests of trainings start from."""

import shutil
from pathlib import Path

import pytest

from tests.support.trainings import write_samples


@pytest.fixture(scope="module")
def models(backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the backbone and the data of both phases."""
    folder = tmp_path_factory.mktemp("training")
    shutil.copytree(backbone, folder / "backbone")
    write_samples(folder)
    return folder
