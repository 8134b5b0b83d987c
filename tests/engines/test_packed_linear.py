"""Linear layers with weights in oneDNN's order: the same products, in large layers in float32 alone."""

import pytest
import torch

from selfevolve.engines.local.packed_linear import LEAST, PackedLinear, pack_linear_layers
from tests.engines.test_decoding import model


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (16, 1), (3, 50), (2, 300)])
def test_products_are_those_of_the_layer(shape: tuple[int, int], bias: bool):
    torch.manual_seed(1)
    layer = torch.nn.Linear(896, 600, bias=bias)
    states = torch.randn(*shape, 896)
    with torch.inference_mode():
        packed = PackedLinear(layer)(states)
        assert packed.shape == (*shape, 600)
        torch.testing.assert_close(packed, layer(states), atol=1e-5, rtol=1e-5)


def test_only_large_layers_in_float32_are_packed():
    class Two(torch.nn.Module):
        dtype, device = torch.float32, torch.device("cpu")

        def __init__(self) -> None:
            super().__init__()
            self.small, self.large = torch.nn.Linear(8, 8), torch.nn.Linear(8, LEAST // 8)

    found = Two()
    pack_linear_layers(found)
    packed = found.large
    pack_linear_layers(found)
    assert type(found.small) is torch.nn.Linear
    assert isinstance(packed, PackedLinear)
    assert found.large is packed
    halved = Two()
    halved.dtype = torch.bfloat16
    pack_linear_layers(halved)
    assert type(halved.large) is torch.nn.Linear


def test_a_packed_model_has_no_second_copy_of_its_weights(monkeypatch: pytest.MonkeyPatch):
    from selfevolve.engines.local import packed_linear

    monkeypatch.setattr(packed_linear, "LEAST", 1)
    made = model("qwen2")
    before = sum(parameter.numel() for parameter in made.parameters())
    linear = [module for module in made.modules() if type(module) is torch.nn.Linear]
    weights = sum(
        module.weight.numel() + (0 if module.bias is None else module.bias.numel()) for module in linear
    )
    pack_linear_layers(made)
    assert sum(parameter.numel() for parameter in made.parameters()) == before - weights
