"""The faster linear layer equals the plain one, and stands aside where it must."""

import pytest
import torch
from torch.nn import functional as F

from model_store.wan import linear as linear_module
from model_store.wan.linear import Linear, LinearGELU, by_onednn, fastest, reference
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
        for gelu in (False, True):
            plain = reference(x, weight, added, gelu)
            assert relative_error(by_onednn(x, weight, added, gelu), plain) <= 1e-6
            assert torch.equal(fastest(x, weight, added, gelu), by_onednn(x, weight, added, gelu))


@onednn
def test_strided_input_gives_the_same_result():
    x, weight, bias = arguments((6, 4))
    with torch.no_grad():
        assert torch.equal(fastest(x.transpose(0, 1), weight, bias), fastest(x, weight, bias).transpose(0, 1))


@pytest.mark.parametrize(("layer", "gelu"), [(Linear, False), (LinearGELU, True)])
def test_a_layer_multiplies_by_the_kernel_it_was_given(layer, gelu):
    asked = []

    def kernel(x, weight, bias, gelu=False):
        asked.append((weight, bias, gelu))
        return reference(x, weight, bias, gelu)

    made, x = layer(24, 40, kernel=kernel), torch.randn(3, 24)
    expected = F.linear(x, made.weight, made.bias)
    assert torch.equal(made(x), F.gelu(expected, approximate="tanh") if gelu else expected)
    assert asked == [(made.weight, made.bias, gelu)]


@pytest.mark.parametrize("layer", [Linear, LinearGELU])
def test_gradients_take_the_plain_way(layer):
    made = layer(8, 8)
    made(torch.randn(3, 8)).sum().backward()
    assert made.weight.grad is not None


def test_other_dtypes_take_the_plain_way():
    with torch.no_grad():
        assert not linear_module.multiplied_by_onednn(torch.zeros(1, dtype=torch.bfloat16))
        assert fastest(torch.ones(2, 4).bfloat16(), torch.ones(3, 4).bfloat16(), None).tolist() == [[4.0] * 3] * 2
