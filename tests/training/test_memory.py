"""What a training needs of memory, and what is said where a machine has less."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from selfevolve.policies.policy import read_policy
from selfevolve.runtime.errors import InputError
from selfevolve.training import memory
from selfevolve.training.configuration import Hardware, method_arguments
from tests.conftest import ROOT

METHOD = {"learning_rate": 1e-3, "cutoff_len": 512}
BOTH = [("sft", 1), ("dpo", 2)]  # a pair is two sequences


def hardware(name: str) -> Hardware:
    return Hardware(**yaml.safe_load((ROOT / f"conf/hardware/{name}.yaml").read_text())["hardware"])


def arguments(method: str, name: str = "local") -> dict[str, Any]:
    config = ROOT / "llamafactory_configs" / f"{method}.yaml"
    return method_arguments(config, METHOD, hardware(name).training, "params.yaml")


def has(monkeypatch: pytest.MonkeyPatch, there: float) -> None:
    monkeypatch.setattr(memory, "memory_there", lambda _: ("this machine", there))


@pytest.mark.parametrize(("method", "sequences"), BOTH)
def test_a_training_that_fits_is_let_pass_and_one_that_does_not_is_told_what_fits(
    backbone: Path, monkeypatch: pytest.MonkeyPatch, method: str, sequences: int
):
    policy, shape = read_policy(backbone), memory.read_shape(str(backbone), None)
    of = {n: memory.training_bytes(shape, "float32", n * sequences * 300, 8) for n in (1, 2, 4)}
    has(monkeypatch, of[4])
    memory.require_memory(policy, arguments(method), hardware("local"), 300)
    for there, advice in ((of[4] - 1, "make it 2"), (of[2] - 1, "make it 1"), (of[1] - 1, "one at a time")):
        has(monkeypatch, there)
        with pytest.raises(InputError, match=advice) as refused:
            memory.require_memory(policy, arguments(method), hardware("local"), 300)
        assert "field hardware.training.batch: 4 samples of 300 tokens at once need some" in str(
            refused.value
        )


def test_two_processes_of_one_machine_need_twice_as_much_of_it(
    backbone: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(ROOT)
    policy, shape = read_policy(backbone), memory.read_shape(str(backbone), None)
    one = memory.training_bytes(shape, "float32", 4 * 300, 8)
    has(monkeypatch, 2 * one)
    memory.require_memory(policy, arguments("sft", "gloo2"), hardware("gloo2"), 300)
    has(monkeypatch, 2 * one - 1)
    with pytest.raises(InputError, match="make it 2"):
        memory.require_memory(policy, arguments("sft", "gloo2"), hardware("gloo2"), 300)


def test_of_a_backbone_of_unknown_sizes_nothing_is_said(
    backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    policy = read_policy(backbone)
    elsewhere = policy.backbone.model_copy(update={"weights": str(tmp_path / "gone")})
    has(monkeypatch, 1.0)
    unknown = type(policy)(policy.folder, elsewhere, policy.backbone_folder, (), policy.digest)
    memory.require_memory(unknown, arguments("sft"), hardware("local"), 300)


def test_the_machine_s_memory_is_at_most_what_it_has():
    import torch

    if torch.cuda.is_available():
        pytest.skip("a training runs on the GPU here")
    where, there = memory.memory_there({})
    total = int(Path("/proc/meminfo").read_text().split()[1]) * 1024
    assert where == "this machine"
    assert 0 < there <= total * 1.01
