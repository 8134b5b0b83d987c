"""Adapters on weights in bfloat16: small updates stay whole, and training computes what generation does."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, PreTrainedModel

from selfevolve.engines.local.attention import SlotCache
from selfevolve.engines.local.engine import Options, load
from selfevolve.policies.policy import load_policy, read_policy
from selfevolve.policies.unmerged import UPDATES, keep_unmerged, merge_once
from selfevolve.runtime.errors import InputError
from tests.conftest import run_stage
from tests.support.bfloat16 import add_adapter, in_bfloat16

LARGE, SMALL = 1e-2, 1e-5  # sizes of B: one that logits show, and one that merging in bfloat16 loses
IDS = torch.arange(5, 45)[None]


@pytest.fixture(scope="module")
def models(backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """M0 and M1 on a backbone in bfloat16, and two (`small`) whose updates are small."""
    folder = tmp_path_factory.mktemp("unmerged")
    in_bfloat16(backbone, folder / "backbone")
    for parent, name, size in (
        ("backbone", "m0", LARGE),
        ("m0", "m1", LARGE),
        ("backbone", "small0", SMALL),
        ("small0", "small1", SMALL),
    ):
        add_adapter(folder / name, folder / parent, size)
    return folder


def weights(model: PreTrainedModel) -> torch.Tensor:
    """What all linear layers multiply by, in one vector of float32."""
    found = []
    for name, layer in model.named_modules():
        if isinstance(layer, torch.nn.Linear) and name != "lm_head":
            weight = layer.weight.detach().float()
            for update in getattr(layer, UPDATES, ()):
                weight = weight + update.scaling * update.up.float() @ update.down.float()
            found.append(weight.flatten())
    return torch.cat(found)


def share_kept(models: Path, actual: PreTrainedModel) -> float:
    """How much of the chain's update a model has, along that update."""
    base = weights(load_policy(models / "backbone").model)
    update = weights(load_policy(models / "small1", "float32").model) - base
    return ((weights(actual) - base) @ update / (update @ update)).item()


def trained(models: Path, top: str) -> Any:
    """The newest adapter as LLaMA-Factory trains it: in float32, on the others, which are frozen."""
    model: Any = AutoModelForCausalLM.from_pretrained(models / "backbone", dtype="auto")
    *frozen, newest = (str(adapter) for adapter in read_policy(models / top).adapters)
    keep_unmerged(model, frozen)
    return PeftModel.from_pretrained(model, newest, is_trainable=True).eval()


@torch.no_grad()
def logits(model: Any, autocast: bool = False) -> torch.Tensor:
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        return model(IDS, use_cache=False).logits[0]


def test_a_small_update_is_kept_whole_which_merging_rounds_away(models: Path):
    merged: Any = load_policy(models / "backbone").model
    for name in ("small0", "small1"):
        merged = PeftModel.from_pretrained(merged, str(models / name)).merge_and_unload()
    unmerged = load_policy(models / "small1").model
    assert share_kept(models, merged) < 0.5
    assert share_kept(models, unmerged) == pytest.approx(1, abs=2e-3)
    merge_once(unmerged)
    assert share_kept(models, merged) < share_kept(models, unmerged) < 0.9


@pytest.mark.parametrize("top", ["m0", "m1"])
def test_generation_computes_what_training_computed(models: Path, top: str):
    model = trained(models, top)
    assert {w.dtype for n, w in model.named_parameters() if w.requires_grad} == {torch.float32}
    in_training = logits(model, autocast=True)
    assert torch.equal(logits(load_policy(models / top).model), in_training)
    assert not torch.equal(logits(load_policy(models / "backbone").model), in_training)


def test_the_local_engine_s_logits_are_those_of_training(models: Path):
    decoder = load(models / "m1", Options(kind="transformers", batch_tokens=4096))._decoder
    cache = SlotCache()
    cache.begin(1, 64)
    with torch.inference_mode():
        last = decoder.read(cache, IDS.tolist(), 0, [0])[0]
    assert torch.equal(last, logits(trained(models, "m1"), autocast=True)[-1])


def test_without_the_new_adapter_a_model_is_its_parent(models: Path):
    model = trained(models, "m1")
    with model.disable_adapter():
        below = logits(model, autocast=True)
    assert torch.equal(below, logits(load_policy(models / "m0").model))
    assert not torch.equal(below, logits(model, autocast=True))


def test_a_chain_is_exported_as_one_adapter(models: Path, tmp_path: Path):
    done = run_stage(
        *("selfevolve.policies.export", "--adapter", "--policy", models / "m1", "--out", "one"), cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    model: Any = AutoModelForCausalLM.from_pretrained(models / "backbone", dtype=torch.float32)
    served = weights(PeftModel.from_pretrained(model, str(tmp_path / "one")).merge_and_unload())
    exact, below = (weights(load_policy(models / name, "float32").model) for name in ("m1", "m0"))
    assert torch.allclose(served, exact, atol=1e-4)
    assert not torch.allclose(served, below, atol=1e-3)
    assert {path.suffix for path in (tmp_path / "one").iterdir()} == {".json", ".safetensors", ".jinja"}


def test_in_float32_adapters_are_merged(backbone: Path, tmp_path: Path):
    shutil.copytree(backbone, tmp_path / "backbone")
    merged: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "backbone")
    for name, parent in (("m0", "backbone"), ("m1", "m0")):
        add_adapter(tmp_path / name, tmp_path / parent, LARGE)
        merged = PeftModel.from_pretrained(merged, str(tmp_path / name)).merge_and_unload()
    loaded = load_policy(tmp_path / "m1").model
    assert not [module for module in loaded.modules() if hasattr(module, UPDATES)]
    assert torch.equal(weights(loaded), weights(merged))


@pytest.mark.parametrize(
    "more",
    [{"use_dora": True}, {"modules_to_save": ["lm_head"]}, {"bias": "lora_only"}],
    ids=lambda m: next(iter(m)),
)
def test_an_adapter_with_more_than_low_rank_updates_is_refused(
    models: Path, tmp_path: Path, more: dict[str, Any]
):
    shutil.copytree(models / "backbone", tmp_path / "backbone")
    add_adapter(tmp_path / "m0", tmp_path / "backbone", SMALL, **more)
    with pytest.raises(InputError, match=r"m0: has more than low-rank updates of linear layers"):
        load_policy(tmp_path / "m0")
