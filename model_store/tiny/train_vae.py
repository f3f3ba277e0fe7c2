"""Teach the autoencoder on drawn clips: crops and whole frames, absolute error of pixels and of edges, a trace of KL.

The loop is in `training`. Clips are of the small size: shapes and edges are the same at any size, and crops cost less.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from model_store.tiny.clips import SMALL, as_signed
from model_store.tiny.training import Budget, Run
from model_store.wan.architectures import VAEConfig
from model_store.wan.vae import VAE, FrameHistory, in_chunks, unstack_patches

Z_DIM = 24

SHAKE, WOBBLE = 0.05, 0.04
"""How much the decoder's refinement disturbs each latent, and each channel of a whole latent frame, of their deviation:
a denoiser will not hit them exactly."""


def vae_config(mean: tuple[float, ...] = (0.0,) * Z_DIM, std: tuple[float, ...] = (1.0,) * Z_DIM) -> VAEConfig:
    """The tiny autoencoder: 4 x 16 x 16 as in the full model, 2.8 million parameters."""
    return VAEConfig(
        base_dim=16,
        decoder_base_dim=16,
        z_dim=Z_DIM,
        dim_mult=(1, 2, 4, 4),
        num_res_blocks=1,
        temporal_downsample=(False, True, True),
        patch_size=2,
        latents_mean=mean,
        latents_std=std,
    )


def reconstruction_loss(made: Tensor, true: Tensor) -> Tensor:
    """Absolute error of pixels, of hue, of differences along frames, rows and columns, and of patches' mean colours."""
    error = made - true
    red, green, blue = error.unbind(1)
    loss = error.abs().mean() + 0.5 * ((red - green).abs().mean() + (blue - green).abs().mean())
    for axis in (2, 3, 4):
        loss = loss + 0.5 * error.diff(dim=axis).abs().mean()
    for side in (8, 16):
        loss = loss + torch.nn.functional.avg_pool3d(error, (1, side, side)).abs().mean()
    return loss


def change_loss(made: Tensor, true: Tensor) -> Tensor:
    """Absolute error of the change from frame to frame, fine and coarse, once more for the first one.

    The first frame has a latent frame to itself and the next four share one: there the picture jumps soonest.
    """
    error = (made - true).diff(dim=2)
    coarse = torch.nn.functional.avg_pool3d(error, (1, 8, 8))
    return sum((part.abs().mean() + part[:, :, 0].abs().mean() for part in (error, coarse)), start=torch.zeros(()))


Forms = tuple[tuple[float, int, int, int, int], ...]
"""Of a batch: its probability, pictures, frames, width and height in pixels."""

LEARNING: Forms = ((0.65, 3, 5, 96, 96), (0.2, 2, 9, 80, 80), (0.15, 2, 5, *SMALL))
REFINING: Forms = ((0.7, 4, 5, 80, 80), (0.15, 2, 17, 64, 64), (0.15, 1, 25, 96, 96))
"""Refinement sees whole clips too: a decoder that only ever saw their first frames drifts in hue towards their end."""


def draw_batch(clips: list[np.ndarray], forms: Forms, generator: np.random.Generator, scale: int) -> Tensor:
    """Pictures [B, 3, F, H, W]: crops where the product is, or whole frames, of a run of frames."""
    form = forms[generator.choice(len(forms), p=[row[0] for row in forms])]
    _, count, frames, width, height = form
    pieces = []
    for _ in range(count * scale):
        group = clips[generator.integers(len(clips))]
        clip = group[generator.integers(len(group))]
        start = generator.integers(clip.shape[0] - frames + 1)
        left = int(generator.integers(16, SMALL[0] - width - 16 + 1)) if width < SMALL[0] else 0
        top = int(generator.integers(8, SMALL[1] - height + 1)) if height < SMALL[1] else 0
        pieces.append(as_signed(clip[start : start + frames, top : top + height, left : left + width]))
    return torch.stack(pieces)


def train_vae(
    clips_folder: Path,
    folder: Path,
    budget: Budget,
    *,
    scale: int,
    device: str,
    start: Mapping[str, Tensor] | None = None,
) -> None:
    """Train, or continue, in `folder`; `scale` is how many times as many pictures a batch has as two cores can bear.

    With `start`, an earlier run's average, the encoder stays as it is there and the decoder alone learns on, from
    latents that are shaken a little: so the latents keep their meaning while a denoiser learns them.
    """
    torch.manual_seed(0)
    vae = VAE(vae_config())
    if start is not None:
        vae.load_state_dict(start)
    run = Run(folder, vae.to(device, torch.bfloat16), budget, ("loss",), report_every=50)
    groups = [np.load(path, mmap_mode="r") for path in sorted(clips_folder.glob("???????.npy"))]
    while run.goes_on():
        generator = np.random.default_rng((0, run.step))
        true = draw_batch(groups, LEARNING if start is None else REFINING, generator, scale).to(device)
        with torch.set_grad_enabled(start is None):
            mean, log_variance = vae.encode_moments(true)
        mean, log_variance = mean.float(), log_variance.float().clamp(-20, 4)
        noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(run.step)).to(device)
        if start is None:
            made = decode_unclamped(vae, mean + noise * (0.5 * log_variance).exp()).float()
            error = reconstruction_loss(made, true)
            divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
            loss = error + 1e-4 * divergence
        else:
            wobble = noise.roll(1, 0)[..., :1, :1]
            made = decode_unclamped(vae, mean + (SHAKE * noise + WOBBLE * wobble) * mean.std()).float()
            error = reconstruction_loss(made, true)
            loss = error + 2 * change_loss(made, true)
        loss.backward()
        run.descend("loss", error.item())


def decode_unclamped(vae: VAE, latents: Tensor) -> Tensor:
    """`decode_all` for latents as encoded, without the clamp, whose gradient is zero where a picture is pure white."""
    history = FrameHistory()
    made = []
    for chunk in in_chunks(latents.to(vae.from_latents.weight.dtype), 1):
        patches = vae.decoder(vae.from_latents(chunk.contiguous(memory_format=torch.channels_last_3d)), history)
        made.append(unstack_patches(patches, vae.config.patch_size))
    return torch.cat(made, dim=2)
