"""The precision policy: which tensors leave float32 and which never do.

| tensors                                   | dtype    | why                                                      |
|-------------------------------------------|----------|----------------------------------------------------------|
| matrices of attention, feed-forward, text | as asked | nearly all bytes and operations; bf16's range suffices   |
| time embedding and projection             | float32  | it scales every token of every block; 0.02 % of the work |
| modulation tables, norm before the prompt | float32  | added to, or applied in, float32; a few MB               |
| sums of the residual stream               | float32  | as are shift, scale and gate; stored as asked            |
| rotations, latents, noise, sampler        | float32  | a step subtracts nearly equal numbers                    |
| VAE decoder                               | as asked | bf16 pictures cannot be told apart (MS-SSIM 0.9999)      |
| VAE encoder                               | float32  | in bf16 the picture drifts visibly (SSIM 0.98 to 0.76)   |
| text encoder                              | as asked | published in bf16                                        |

The VAE's figures: FastVideo, pull request 1472. On a CPU everything defaults to float32: bf16 is slower there.
"""

import re

import torch

from model_store.wan.denoiser import Denoiser

DENOISER_FLOAT32 = re.compile(r"time_embedding\.|time_projection\.|.*\bmodulation$|.*\bnorm3\.")


def default_dtype(device: torch.device) -> torch.dtype:
    """What "as asked" means where nothing was asked."""
    return torch.float32 if device.type == "cpu" else torch.bfloat16


def denoiser_dtype(name: str, asked: torch.dtype) -> torch.dtype:
    """The dtype of the denoiser's tensor `name`."""
    return torch.float32 if DENOISER_FLOAT32.match(name) else asked


def vae_dtype(name: str, asked: torch.dtype) -> torch.dtype:
    """The dtype of the VAE's tensor `name`."""
    return torch.float32 if name.startswith(("encoder.", "to_moments.")) else asked


def cast_denoiser(denoiser: Denoiser, asked: torch.dtype) -> Denoiser:
    """Cast a denoiser's weights in place by the policy."""
    for name, parameter in denoiser.named_parameters():
        parameter.data = parameter.data.to(denoiser_dtype(name, asked))
    return denoiser
