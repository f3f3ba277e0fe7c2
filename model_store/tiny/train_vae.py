"""Teach the autoencoder on drawn clips: crops and whole frames, absolute error of pixels and of edges, a trace of KL.

The weights that learn are float32 masters; forward and backward run in bfloat16 on a copy. What is kept is their moving
average. A run continues from its last state, and its learning rate falls with the share of its budget that is spent.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from model_store.tiny.clips import HEIGHT, WIDTH, as_signed, drawn_groups
from model_store.wan.vae import VAE, VAEConfig

Z_DIM = 24

SHAKE = 0.05
"""How much the decoder's refinement disturbs latents, of their deviation: a denoiser will not hit them exactly."""


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


@dataclass(frozen=True)
class VAEBudget:
    """How long to train: whichever of steps and minutes is spent first, and how much at once."""

    steps: int
    minutes: float
    learning_rate: float = 3e-3
    scale: int = 1  # times as many pictures a batch as two CPU cores can bear


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


class Averaged:
    """Float32 master weights of a bfloat16 module, with their moving average."""

    def __init__(self, module: torch.nn.Module, decay: float) -> None:
        self.module, self.decay = module, decay
        self.masters = [as_matrix(name, weight.detach().float().clone()) for name, weight in module.named_parameters()]
        for master in self.masters:
            master.requires_grad_()
        self.average = [master.detach().clone() for master in self.masters]

    def take_gradients(self) -> None:
        for master, parameter in zip(self.masters, self.module.parameters(), strict=True):
            master.grad = None if parameter.grad is None else parameter.grad.float().view_as(master)
            parameter.grad = None

    @torch.no_grad()
    def publish(self, step: int) -> None:
        """Masters to the working copy, and into the average, which warms up over the first steps."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for master, average, parameter in zip(self.masters, self.average, self.module.parameters(), strict=True):
            parameter.copy_(master.view_as(parameter))
            average.lerp_(master, 1 - decay)

    def averaged_state(self) -> dict[str, Tensor]:
        named = self.module.named_parameters()
        return {
            name: average.view_as(parameter).cpu().clone()
            for (name, parameter), average in zip(named, self.average, strict=True)
        }

    def optimisers(self, learning_rate: float) -> list[torch.optim.Optimizer]:
        """Muon for matrices, which learns in fewer steps than Adam; AdamW for the rest."""
        matrices = [master for master in self.masters if master.dim() == 2]
        others = [master for master in self.masters if master.dim() != 2]
        return [
            torch.optim.Muon(
                matrices, lr=learning_rate, weight_decay=0.02, momentum=0.95, adjust_lr_fn="match_rms_adamw"
            ),
            torch.optim.AdamW(others, lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.0),
        ]

    def state(self) -> dict[str, Any]:
        return {"masters": [master.detach() for master in self.masters], "average": self.average}

    def restore(self, state: dict[str, Any]) -> None:
        with torch.no_grad():
            for mine, theirs in zip(self.masters, state["masters"], strict=True):
                mine.copy_(theirs)
            for mine, theirs in zip(self.average, state["average"], strict=True):
                mine.copy_(theirs)


TABLES = ("shared.weight", "relative_attention_bias", "time_embedding", "head.head")
"""Names of weights that are looked up, or small and delicate, rather than multiplied by activations of every token."""


def as_matrix(name: str, weight: Tensor) -> Tensor:
    """A kernel as the matrix it is, [out, in * taps]; vectors, vectors in disguise, and tables, flat."""
    flat = weight.dim() < 2 or weight.numel() == max(weight.shape) or weight.shape[0] == 1
    if flat or any(table in name for table in TABLES):
        return weight.reshape(-1)
    return weight.reshape(weight.shape[0], -1)


def rate(progress: float, step: int, peak: float) -> float:
    """Warm up over 100 steps, hold, then fall to a fiftieth over the last half of the budget, as a cosine."""
    warm = min(1.0, (step + 1) / 100)
    fall = 0.5 + 0.5 * math.cos(math.pi * max(0.0, progress - 0.4) / 0.6)
    return peak * warm * max(0.02, fall)


Forms = tuple[tuple[float, int, int, int, int], ...]
"""Of a batch: its probability, pictures, frames, width and height in pixels."""

LEARNING: Forms = ((0.65, 3, 5, 96, 96), (0.2, 2, 9, 80, 80), (0.15, 2, 5, WIDTH, HEIGHT))
REFINING: Forms = ((0.4, 2, 17, 64, 64), (0.3, 1, 25, 96, 96), (0.3, 3, 5, 96, 96))
"""Refinement sees whole clips: a decoder that only ever saw their first frames drifts in hue towards their end."""


def draw_batch(clips: list[np.ndarray], forms: Forms, generator: np.random.Generator, scale: int = 1) -> Tensor:
    """Pictures [B, 3, F, H, W]: crops where the product is, or whole frames, of a run of frames."""
    form = forms[generator.choice(len(forms), p=[row[0] for row in forms])]
    _, count, frames, width, height = form
    pieces = []
    for _ in range(count * scale):
        group = clips[generator.integers(len(clips))]
        clip = group[generator.integers(len(group))]
        start = generator.integers(clip.shape[0] - frames + 1)
        left = int(generator.integers(16, WIDTH - width - 16 + 1)) if width < WIDTH else 0
        top = int(generator.integers(8, HEIGHT - height + 1)) if height < HEIGHT else 0
        pieces.append(as_signed(clip[start : start + frames, top : top + height, left : left + width]))
    return torch.stack(pieces)


def train_vae(
    clips_folder: Path,
    run: Path,
    budget: VAEBudget,
    seed: int = 0,
    device: str = "cpu",
    start: Mapping[str, Tensor] | None = None,
) -> None:
    """Train, or continue, in the folder `run`; it receives state.pt, average.pt and log.csv every 50 steps.

    With `start`, an earlier run's average, the encoder stays as it is there and the decoder alone learns on, from
    latents that are shaken a little: so the latents keep their meaning while a denoiser learns them.
    """
    run.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    vae = VAE(vae_config())
    if start is not None:
        vae.load_state_dict(start)
    vae = vae.to(device, torch.bfloat16)
    weights = Averaged(vae, decay=0.998)
    optimisers = weights.optimisers(budget.learning_rate)
    step, spent = 0, 0.0
    if (run / "state.pt").exists():
        state = load_state(run / "state.pt")
        weights.restore(state["weights"])
        for optimiser, saved in zip(optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        step, spent = state["step"], state["spent"]
        weights.publish(step)
    began = time.monotonic()
    recent: list[float] = []
    groups: list[np.ndarray] = []
    while True:
        elapsed = spent + time.monotonic() - began
        progress = max(step / budget.steps, elapsed / 60 / budget.minutes)
        if progress >= 1 or step % 50 == 0 or not groups:
            groups = [np.load(clips_folder / f"{group:07d}.npy", mmap_mode="r") for group in drawn_groups(clips_folder)]
            if recent:
                with (run / "log.csv").open("a", encoding="utf-8") as log:
                    log.write(f"{step},{elapsed:.0f},{np.mean(recent):.5f},{len(groups)}\n")
                recent = []
                save_state(
                    run / "state.pt",
                    {
                        "weights": weights.state(),
                        "optimisers": [each.state_dict() for each in optimisers],
                        "step": step,
                        "spent": elapsed,
                    },
                )
                save_state(run / "average.pt", weights.averaged_state())
        if progress >= 1:
            return
        generator = np.random.default_rng((seed, step))
        true = draw_batch(groups, LEARNING if start is None else REFINING, generator, budget.scale).to(device)
        with torch.set_grad_enabled(start is None):
            mean, log_variance = vae.encode_moments(true)
        mean, log_variance = mean.float(), log_variance.float().clamp(-20, 4)
        noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(step)).to(device)
        deviation = (0.5 * log_variance).exp() if start is None else SHAKE * mean.std()
        made = decode_unclamped(vae, mean + noise * deviation)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
        error = reconstruction_loss(made.float(), true)
        (error + 1e-4 * divergence).backward()
        weights.take_gradients()
        torch.nn.utils.clip_grad_norm_(weights.masters, 1.0)
        for optimiser in optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate(progress, step, budget.learning_rate)
            optimiser.step()
        step += 1
        weights.publish(step)
        recent.append(error.item())


def decode_unclamped(vae: VAE, latents: Tensor) -> Tensor:
    """`decode_all` for latents as encoded, without the clamp, whose gradient is zero where a picture is pure white."""
    from model_store.wan.vae import FrameHistory, in_chunks, unstack_patches

    history = FrameHistory()
    made = []
    for chunk in in_chunks(latents.to(vae.from_latents.weight.dtype), 1):
        patches = vae.decoder(vae.from_latents(chunk.contiguous(memory_format=torch.channels_last_3d)), history)
        made.append(unstack_patches(patches, vae.config.patch_size))
    return torch.cat(made, dim=2)


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write a training state so that a crash leaves the one before."""
    unfinished = path.with_suffix(".part")
    torch.save(state, unfinished)
    unfinished.replace(path)


def load_state(path: Path) -> Any:
    """Read a training state of one's own; weights_only keeps pickle from running code."""
    return torch.serialization.load(path, weights_only=True)
