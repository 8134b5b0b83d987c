"""Whole stages with a server of their own: LLaMA-Factory's api, killed; a disk that is full."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from selfevolve.policies.merge import merged
from selfevolve.policies.policy import read_policy
from selfevolve.records.jsonl import read_records
from selfevolve.records.schema import Response
from selfevolve.runtime.errors import InputError
from tests.conftest import ROOT, stage_command, stage_environment
from tests.engines.test_server_engine import mine, wait_until_alone

CONF = yaml.safe_load((ROOT / "conf/engine/llamafactory.yaml").read_text())["engine"]


@pytest.fixture(scope="module")
def adapter(backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA adapter on the small policy, as a policy folder."""
    import torch
    from peft import LoraConfig, get_peft_model

    from selfevolve.policies.policy import load_policy, write_adapter

    folder = tmp_path_factory.mktemp("tuned") / "m1"
    loaded = load_policy(backbone)
    torch.manual_seed(2)
    tuned = get_peft_model(loaded.model, LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))
    tuned.save_pretrained(folder)
    write_adapter(folder, os.path.relpath(backbone, folder), loaded.digest)
    return folder


@pytest.fixture
def line(
    adapter: Path, contexts_file: Path, params_file: Callable[..., Path], tmp_path: Path
) -> list[object]:
    """A respond stage whose engine is conf/engine/llamafactory.yaml."""
    params = params_file({"engine": CONF, "respond.sampling.max_new_tokens": 48})
    arguments = ["--policy", adapter, "--contexts", contexts_file, "--params", params, "--prompt", "plain"]
    return [*arguments, "--out", "out.jsonl", "--metrics", "m.json"]


def journal(folder: Path) -> list[str]:
    """The ids in the journal, so far."""
    files = (folder / ".scratch" / "respond").glob("*/journal.jsonl")
    return [json.loads(row)["id"] for file in files for row in file.read_text().split("\n")[:-1]]


def wait_for(condition: Callable[[], object], stage: "subprocess.Popen[bytes]", seconds: float = 150) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert stage.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.slow
def test_server_killed_stage_killed_and_all_is_answered_once(line: list[object], tmp_path: Path):
    """The server is killed, then the stage that has started it again; the next run ends the work."""
    begin = {"cwd": tmp_path, "env": stage_environment(), "stderr": subprocess.PIPE}
    stage = subprocess.Popen(stage_command("respond", *line), **begin)
    try:
        wait_for(lambda: len(journal(tmp_path)) >= 4, stage)
        [server] = [
            p for p in mine(tmp_path) if "api" in p.cmdline() and "guard" not in " ".join(p.cmdline())
        ]
        server.kill()
        answered = len(journal(tmp_path))
        wait_for(lambda: len(journal(tmp_path)) >= answered + 6, stage)
    finally:
        stage.send_signal(signal.SIGKILL)
        said = stage.communicate()[1].decode()
    assert "the server died: starting it again" in said
    assert not (tmp_path / "out.jsonl").exists()
    wait_until_alone(tmp_path)
    before = journal(tmp_path)
    done = subprocess.run(
        stage_command("respond", *line),
        cwd=tmp_path,
        env=stage_environment(),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert journal(tmp_path)[: len(before)] == before
    responses = read_records(tmp_path / "out.jsonl", Response)
    assert len(responses) == len({response.id for response in responses}) == len(journal(tmp_path)) == 40
    assert {response.model for response in responses} == {"m1"}
    assert len(list((tmp_path / ".scratch" / "merged").glob("*/*.safetensors"))) == 1
    wait_until_alone(tmp_path)


@pytest.mark.slow
def test_a_disk_that_is_full_is_one_line_and_leaves_nothing(adapter: Path, tmp_path: Path):
    """A small tmpfs in place of .scratch: too small for the merged model, then large enough."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a tmpfs cannot be mounted here: it needs root")
    try:
        policy = read_policy(adapter)
        with pytest.raises(InputError, match="No space left on device") as caught, merged(policy, disk):
            pass
        assert "\n" not in str(caught.value)
        assert not [path for path in (disk / "merged").iterdir() if path.is_dir()]
        larger = ["mount", "-o", "remount,size=20m", str(disk)]
        subprocess.run(larger, check=True)
        with merged(policy, disk) as folder:
            assert (folder / "model.safetensors").exists()
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_merged_models_that_nobody_uses_go_and_one_in_use_stays(
    adapter: Path, backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Merging itself is left out: what is kept does not depend on what it writes."""
    monkeypatch.setattr("selfevolve.policies.merge.merge", lambda policy, out: out.mkdir())
    policy = read_policy(adapter)
    home = tmp_path / "merged"
    with merged(policy, tmp_path) as first:
        (home / "0123456789abcdef").mkdir()
        (home / f".{first.name}.1.part").mkdir()
        with merged(replace(policy, digest="f" * 64), tmp_path) as second:
            assert sorted(path.name for path in home.iterdir() if path.is_dir()) == sorted(
                [f".{first.name}.1.part", first.name, second.name]
            )
    with merged(replace(policy, digest="e" * 64), tmp_path) as third:
        assert [path for path in home.iterdir() if path.is_dir()] == [third]
    with merged(read_policy(backbone), tmp_path) as folder:
        assert folder == backbone
