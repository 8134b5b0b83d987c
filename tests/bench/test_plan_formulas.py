"""What a model's shape says of memory and time, beside a real model."""

import json
from pathlib import Path

import pytest

from bench.planning.formulas import generation_bytes, least_seconds, planned_shape
from bench.planning.tokens import Work
from selfevolve.training.memory import Shape, ShapeNotKnown, read_shape, training_bytes, weight_bytes
from tests.conftest import ROOT
from tests.support.gguf_files import write_gguf
from tests.support.hub_cache import COMMIT, CONFIGS, LLAMA, MISTRAL, QWEN


@pytest.mark.parametrize(
    ("name", "parameters"), [(LLAMA, 8_030_261_248), (QWEN, 7_615_616_512), (MISTRAL, 7_248_023_552)]
)
def test_the_shapes_have_the_parameters_that_their_model_cards_name(
    hub_cache: Path, name: str, parameters: int
):
    assert read_shape(name, None).parameters == parameters
    assert read_shape(name, COMMIT).parameters == parameters
    with pytest.raises(ShapeNotKnown, match="nor in the Hub's cache"):
        read_shape(name, "another-revision")


def test_a_config_without_one_of_llama_s_sizes_says_which(tmp_path: Path):
    (tmp_path / "config.json").write_text(json.dumps({**CONFIGS[LLAMA], "intermediate_size": None}))
    with pytest.raises(ShapeNotKnown, match="has no intermediate_size"):
        read_shape(str(tmp_path), None)


def test_the_shape_of_a_gguf_file_is_its_model_s(backbone: Path, tmp_path: Path):
    model = write_gguf(tmp_path / "own.gguf", backbone)
    assert planned_shape(str(tmp_path / "own.gguf"), None).parameters == model.num_parameters()
    with pytest.raises(ShapeNotKnown, match="there is no such file"):
        planned_shape(str(tmp_path / "none.gguf"), None)
    with pytest.raises(ShapeNotKnown, match="neither a folder"):
        planned_shape(str(tmp_path / "a" / "b"), None)


@pytest.mark.slow
def test_the_formulas_are_those_of_a_real_model():
    """Parameters, adapter and cache of the tiny shape, counted on the model itself: exactly the same."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache

    shape = read_shape(str(ROOT / "testbed/tiny"), None)
    config = AutoConfig.from_pretrained(ROOT / "testbed/tiny")
    config.dtype = torch.float32
    model = AutoModelForCausalLM.from_config(config)
    assert sum(p.numel() for p in model.parameters()) == shape.parameters
    assert sum(p.numel() * p.element_size() for p in model.parameters()) == weight_bytes(shape, "float32")
    cache = DynamicCache(config=config)
    model(torch.ones((3, 50), dtype=torch.long), past_key_values=cache)
    kept = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    assert kept == shape.cache_bytes(3 * 50, 4)
    adapted = get_peft_model(model, LoraConfig(r=8, target_modules="all-linear"))
    assert sum(p.numel() for p in adapted.parameters() if p.requires_grad) == shape.lora(8)


@pytest.mark.slow
def test_activations_are_within_a_third_of_what_a_real_step_keeps():
    """What autograd keeps for the way back, without checkpointing, on a small Llama with an adapter."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    shape = read_shape(str(ROOT / "testbed/tiny"), None)
    config = AutoConfig.from_pretrained(ROOT / "testbed/tiny")
    config.dtype = torch.float32
    model = get_peft_model(
        AutoModelForCausalLM.from_config(config, attn_implementation="sdpa"),
        LoraConfig(r=8, target_modules="all-linear"),
    )
    fixed = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in fixed:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    ids = torch.randint(0, shape.vocabulary, (2, 256))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = model(input_ids=ids, labels=ids).loss
    real = sum(kept.values())
    loss.backward()
    without = training_bytes(shape, "float32", 0, 8)
    bound = training_bytes(shape, "float32", ids.numel(), 8, checkpointing=False) - without
    assert real <= bound * 4 / 3
    assert bound <= real * 4 / 3


def test_sharing_leaves_a_process_less_to_hold(hub_cache: Path):
    shape = read_shape(LLAMA, None)
    alone = training_bytes(shape, "bfloat16", 8192, 8)
    states = training_bytes(shape, "bfloat16", 8192, 8, share_states=4)
    spread = training_bytes(shape, "bfloat16", 8192, 8, share_states=4, share_weights=4)
    quantised = training_bytes(shape, "bfloat16", 8192, 8, bits=4)
    assert alone - states == pytest.approx(shape.lora(8) * 9)
    assert states - spread == pytest.approx(shape.parameters * 2 * 3 / 4)
    assert 10e9 < alone - quantised < 11e9  # 7.0 billion of the 8.0 are matrices: from 2 bytes to half a one
    assert generation_bytes(shape, "bfloat16", 1, 1000) > weight_bytes(shape, "bfloat16") + 131e6


def test_the_bound_of_a_data_sheet_is_that_of_its_formula():
    shape = Shape(
        layers=1, hidden=4, heads=1, kv_heads=1, head=4, inner=8, vocabulary=16, tied=True, bias=False
    )
    assert shape.matrices == 4 * 16 + 3 * 32
    card = {"bandwidth": 1e3, "flops": 1e4}
    train = Work("train@m1", "dpo", 10, 1000, 0, 64, reference=True)
    assert least_seconds(train, shape, "bfloat16", 4, card, 2) == 6 * 160 * 1000 / 1e4 / 2
    train = Work("train@m1", "dpo", 10, 1000, 0, 64)
    assert least_seconds(train, shape, "bfloat16", 4, card, 2) == 4 * 160 * 1000 / 1e4 / 2
    write = Work("refine@m1", "refine", 10, 1000, 500, 64)
    assert least_seconds(write, shape, "bfloat16", 1, card, 1) == 500 * 160 * 2 / 1e3
    assert least_seconds(write, shape, "bfloat16", 100, card, 1) == 2 * 160 * 1500 / 1e4
