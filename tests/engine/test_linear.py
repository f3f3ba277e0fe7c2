"""The faster linear layer equals the plain one, and stands aside where it must."""

import pytest
import torch
from torch.nn import functional as F

from model_store.wan import linear as linear_module
from model_store.wan.linear import Linear, LinearGELU, linear, linear_gelu
from tests.engine.closeness import relative_error

onednn = pytest.mark.skipif(not linear_module.ONEDNN, reason="this PyTorch has no oneDNN")


def arguments(rows, bias=True):
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(*rows, 24, generator=generator), torch.randn(40, 24, generator=generator)
    return x, weight, torch.randn(40, generator=generator) if bias else None


@onednn
@pytest.mark.parametrize("rows", [(1,), (7,), (2, 33), (2, 3, 5)])
@pytest.mark.parametrize("bias", [True, False])
def test_the_faster_way_equals_the_plain_one(rows, bias):
    x, weight, added = arguments(rows, bias)
    with torch.no_grad():
        assert linear_module.multiplied_by_onednn(x)
        assert relative_error(linear(x, weight, added), F.linear(x, weight, added)) <= 1e-6
        plain = F.gelu(F.linear(x, weight, added), approximate="tanh")
        assert relative_error(linear_gelu(x, weight, added), plain) <= 1e-6


@onednn
def test_strided_input_gives_the_same_result():
    x, weight, bias = arguments((6, 4))
    with torch.no_grad():
        assert torch.equal(linear(x.transpose(0, 1), weight, bias), linear(x, weight, bias).transpose(0, 1))


@pytest.mark.parametrize("layer", [Linear, LinearGELU])
def test_gradients_take_the_plain_way(layer):
    made = layer(8, 8)
    made(torch.randn(3, 8)).sum().backward()
    assert made.weight.grad is not None


def test_other_dtypes_take_the_plain_way():
    with torch.no_grad():
        assert not linear_module.multiplied_by_onednn(torch.zeros(1, dtype=torch.bfloat16))
        assert linear(torch.ones(2, 4).bfloat16(), torch.ones(3, 4).bfloat16(), None).tolist() == [[4.0] * 3] * 2
