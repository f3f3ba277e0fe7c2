"""The three-dimensional convolution of the VAE, with one faster way to compute it.

On a CPU PyTorch sends small clips to a loop of its own, several times slower than oneDNN, which ships with PyTorch and
is asked for by name here. It has no gradient here, so training takes the plain way.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Conv3d(nn.Conv3d):
    """[B, C, F, H, W] -> [B, C', F', H', W'], channels innermost in memory where they were so in the input."""

    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if convolved_by_onednn(x):
            padding = tuple(map(int, self.padding))
            return torch.mkldnn_convolution(x, weight, bias, padding, self.stride, self.dilation, self.groups)
        return F.conv3d(x, weight, bias, self.stride, self.padding)


def convolved_by_onednn(x: Tensor) -> bool:
    """Whether the faster way is open for this input."""
    eager = not torch.is_grad_enabled() and not torch.compiler.is_compiling()
    fits = eager and x.device.type == "cpu" and x.dtype in (torch.float32, torch.bfloat16)
    return fits and torch.backends.mkldnn.is_available() and bool(torch.backends.mkldnn.enabled)
