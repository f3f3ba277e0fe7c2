"""The linear layers of the denoiser and the text encoder, and the one seam for faster ways to compute them.

On a CPU, PyTorch multiplies float32 matrices with MKL, which on AMD processors takes twice the time of oneDNN (2.1
times at 2100 x 768 x 3072 on an EPYC of family 26, one thread or two). oneDNN ships with PyTorch, and joins bias and
GELU to the product. It has no gradient here, so training takes the plain way.
"""

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


class LinearKernel(Protocol):
    """x [..., K], weight [N, K], bias [N] -> x W^T + b, [..., N]; with `gelu` GELU of that, in its tanh form.

    Every linear layer goes through one. All are to agree with `reference`, which a test holds them to.
    """

    def __call__(self, x: Tensor, weight: Tensor, bias: Tensor | None, gelu: bool = False) -> Tensor: ...


def reference(x: Tensor, weight: Tensor, bias: Tensor | None, gelu: bool = False) -> Tensor:
    """The plain way: any device, any dtype, with gradients."""
    product = F.linear(x, weight, bias)
    return F.gelu(product, approximate="tanh") if gelu else product


def by_onednn(x: Tensor, weight: Tensor, bias: Tensor | None, gelu: bool = False) -> Tensor:
    """float32 on a CPU, without gradients."""
    after, form = ("gelu", "tanh") if gelu else ("none", "")
    product: Tensor = torch.ops.mkldnn._linear_pointwise(x.contiguous(), weight, bias, after, [], form)
    return product


def fastest(x: Tensor, weight: Tensor, bias: Tensor | None, gelu: bool = False) -> Tensor:
    """By oneDNN where that is open for this input, else the plain way."""
    return (by_onednn if multiplied_by_onednn(x) else reference)(x, weight, bias, gelu)


def multiplied_by_onednn(x: Tensor) -> bool:
    """Whether the faster way is open for this input."""
    eager = not torch.is_grad_enabled() and not torch.compiler.is_compiling()
    return ONEDNN and eager and x.device.type == "cpu" and x.dtype == torch.float32


class Linear(nn.Linear):
    """[..., in_features] -> [..., out_features], by its kernel."""

    def __init__(self, inner: int, outer: int, bias: bool = True, *, kernel: LinearKernel = fastest) -> None:
        super().__init__(inner, outer, bias)
        self.kernel = kernel

    def forward(self, x: Tensor) -> Tensor:
        return self.kernel(x, self.weight, self.bias)


class LinearGELU(Linear):
    """[..., in_features] -> [..., out_features], then GELU in its tanh form."""

    def forward(self, x: Tensor) -> Tensor:
        return self.kernel(x, self.weight, self.bias, gelu=True)
