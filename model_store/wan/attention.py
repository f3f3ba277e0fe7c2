"""The one attention seam: every attention of the denoiser goes through an `AttentionKernel`.

Axes: B batch, L query tokens, T key tokens, H heads, D channels of a head.
"""

from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F


class AttentionKernel(Protocol):
    """Softmax attention over all T keys, scaled by 1/sqrt(D).

    queries [B, L, H, D], keys and values [B, T, H, D] -> [B, L, H, D]. `key_bias` [B, 1, 1, T], where given, is added
    to the logits of each key. A kernel that cannot add a bias may raise on one: the denoiser passes it only for prompts
    whose padding was folded (`Denoiser.prompt_state` with lengths).
    """

    def __call__(self, queries: Tensor, keys: Tensor, values: Tensor, key_bias: Tensor | None = None) -> Tensor: ...


def scaled_dot_product(queries: Tensor, keys: Tensor, values: Tensor, key_bias: Tensor | None = None) -> Tensor:
    """PyTorch's own attention, which picks the fastest of its kernels for the device and dtype."""
    mixed = F.scaled_dot_product_attention(
        queries.transpose(1, 2), keys.transpose(1, 2), values.transpose(1, 2), attn_mask=key_bias
    )
    return mixed.transpose(1, 2)


def rotate(heads: Tensor, rotation: Tensor) -> Tensor:
    """Turn each pair of neighbouring channels by the token's angles (rotary position embedding, arXiv 2104.09864).

    heads [B, L, H, D], rotation complex [L, 1, D/2] -> [B, L, H, D] in the dtype of `heads`; computed in float32.
    """
    pairs = heads.float().unflatten(-1, (-1, 2))
    if torch.compiler.is_compiling():  # the compiler fuses real arithmetic only
        cosine, sine = torch.view_as_real(rotation).unbind(-1)
        even, odd = pairs.unbind(-1)
        turned = torch.stack((even * cosine - odd * sine, even * sine + odd * cosine), dim=-1)
    else:  # one pass over memory instead of six: on a CPU forty times faster than the strided real form
        turned = torch.view_as_real(torch.view_as_complex(pairs) * rotation)
    return turned.flatten(-2).type_as(heads)
