"""A merge ends with the stage that asked for it, however that stage ends."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from selfevolve.policies.policy import read_policy
from tests.conftest import ROOT

PROGRAM = """
import sys
from pathlib import Path
from selfevolve.policies.merge import merged
from selfevolve.policies.policy import read_policy
with merged(read_policy(Path(sys.argv[1])), Path(".scratch")) as folder:
    print(folder)
"""


def exports(folder: Path) -> list[psutil.Process]:
    """The processes that merge below a folder, and their guards."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()) == folder and "selfevolve.policies.merge_worker" in process.cmdline():
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_stage_that_is_killed_in_mid_merge_leaves_no_process_behind(backbone: Path, tmp_path: Path):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    adapter = tmp_path / "m0"
    lora = LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    get_peft_model(AutoModelForCausalLM.from_pretrained(backbone), lora).save_pretrained(adapter)
    parent = {"parent": os.path.relpath(backbone, adapter), "parent_digest": read_policy(backbone).digest}
    (adapter / "policy.json").write_text(json.dumps(parent), encoding="utf-8")
    command = [sys.executable, "-c", PROGRAM, str(adapter)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=tmp_path, env=environment) as stage:
        wait_until(lambda: bool(exports(tmp_path)))
        stage.send_signal(signal.SIGKILL)
    time.sleep(2)  # a merge takes longer than that: it must not have ended by itself
    assert exports(tmp_path) == []
    assert not [path for path in (tmp_path / ".scratch/merged").iterdir() if path.name[0] != "."]
