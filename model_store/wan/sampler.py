"""Samplers: how a predicted velocity becomes the next, less noisy latent.

A latent at noise level sigma is x = (1 - sigma) * clean + sigma * noise; the denoiser predicts v = noise - clean, so
clean = x - sigma * v. Timesteps are 1000 * sigma.

Sources: UniPC, arXiv 2302.04867; few-step sampling, distribution matching distillation, arXiv 2405.14867.
"""

from collections.abc import Iterator, Mapping
from math import expm1, inf, log
from typing import Any, Protocol

import torch
from torch import Tensor

from model_store.sampling import TRAINED_TIMESTEPS, SamplerConfig

SIGMA_BELOW_ONE = 1e-6  # the first sigma stays this far below 1, where log(1 - sigma) would be infinite
FASTWAN_TIMESTEPS = (1000, 757, 522)  # FastVideo's FastWan2.2-TI2V-5B


def read_scheduler(scheduler: Mapping[str, Any]) -> SamplerConfig:
    """What `scheduler/scheduler_config.json` says. KeyError: a setting is missing; ValueError: another sampler."""
    expected = {
        "_class_name": "UniPCMultistepScheduler",
        "prediction_type": "flow_prediction",
        "use_flow_sigmas": True,
        "solver_order": 2,
        "solver_type": "bh2",
        "num_train_timesteps": TRAINED_TIMESTEPS,
    }
    for key, value in expected.items():
        if scheduler[key] != value:
            raise ValueError(f"{key} is {scheduler[key]!r}; Wan2.2-TI2V samples with {value!r}")
    return SamplerConfig(kind="unipc", shift=scheduler["flow_shift"])


class Sampler(Protocol):
    """The way of one latent from noise to a clip; used once."""

    timesteps: tuple[float, ...]  # fed to the denoiser, one a step

    def step(self, latents: Tensor, velocity: Tensor) -> Tensor:
        """From the latents at the current timestep and the velocity there to those at the next; float32."""
        ...


def build_sampler(config: SamplerConfig, steps: int, generator: torch.Generator) -> Sampler:
    """A sampler for one clip. `generator` (CPU) draws the noise of a few-step sampler, which takes its own steps."""
    if config.kind == "few-step":
        return FewStep(tuple(map(float, config.timesteps)), generator)
    return UniPC(steps, config.shift)


def flow_sigmas(steps: int, shift: float) -> Iterator[float]:
    """Falling noise levels, evenly spaced before the shift bends them, the closing 0 not included.

    The grid of the diffusers library. The original repository starts its grid at 0.999 and ends it at 0 instead, so
    that one seed gives another, equally good clip there.
    """
    for step in range(steps):
        even = 1 + (1 / TRAINED_TIMESTEPS - 1) * step / steps
        yield min(shift * even / (1 + (shift - 1) * even), 1 - SIGMA_BELOW_ONE)


class UniPC:
    """Second-order predictor-corrector on the predicted clean latent (UniPC-2, B2(h), data prediction).

    Each step corrects the latent it was given with the new prediction, then predicts the next. With lambda the log
    signal-to-noise ratio and h its growth over a step, both are the exact solution for a constant prediction plus a
    share of the prediction's slopes.
    """

    def __init__(self, steps: int, shift: float) -> None:
        sigmas = tuple(flow_sigmas(steps, shift))
        self.timesteps = tuple(float(int(sigma * TRAINED_TIMESTEPS)) for sigma in sigmas)
        self.sigmas: tuple[float, ...] = (*torch.tensor(sigmas).tolist(), 0.0)  # rounded to float32, as their latents
        self.lambdas = tuple(log_signal_to_noise(sigma) for sigma in self.sigmas)
        self.index = 0
        self.order = 0  # of the prediction that led here
        self.start: Tensor | None = None  # the corrected latent that it started from
        self.cleans: list[Tensor] = []  # the last two predictions of the clean latent, newest last

    def step(self, latents: Tensor, velocity: Tensor) -> Tensor:
        clean = latents - self.sigmas[self.index] * velocity
        if self.start is not None:
            latents = self._correct(self.start, clean)
        self.cleans = [*self.cleans[-1:], clean]
        # Second order needs two predictions; the last step lands on sigma 0, where only the first order is finite.
        self.order = min(len(self.cleans), len(self.timesteps) - self.index)
        self.start = latents
        self.index += 1
        return self._predict(latents)

    def _predict(self, latents: Tensor) -> Tensor:
        """From the corrected latent at index - 1 to a first guess at `index`."""
        coming = self._constant_prediction(latents, self.cleans[-1])
        if self.order == 1:
            return coming
        return coming - self._growth() * 0.5 * self._past_slope()

    def _correct(self, start: Tensor, clean: Tensor) -> Tensor:
        """The latent at `index` once more, now that the clean latent predicted there is known."""
        corrected = self._constant_prediction(start, self.cleans[-1])
        slope = clean - self.cleans[-1]
        if self.order == 1:
            return corrected - self._growth() * 0.5 * slope
        # UniC of order 2 weighs the slopes at r_1 < 0 (past) and r_2 = 1 (this step) by rho, with R(h) rho = b(h); here
        # B(h) = e^-h - 1, and clean latents are predicted:
        #     rho_1 +       rho_2 = b_1,    b_1 = (phi_1 - 1) / B(h),              phi_1 = (e^-h - 1) / -h
        #     r_1 rho_1 +   rho_2 = b_2,    b_2 = 2 ((phi_1 - 1) / -h - 1/2) / B(h)
        h = self._h(self.index)
        phi_1 = expm1(-h) / -h
        b_1 = (phi_1 - 1) / expm1(-h)
        b_2 = 2 * ((phi_1 - 1) / -h - 0.5) / expm1(-h)
        rho_1 = (b_2 - b_1) / (self._past_ratio() - 1)
        rho_2 = b_1 - rho_1
        return corrected - self._growth() * (rho_1 * self._past_slope() + rho_2 * slope)

    def _constant_prediction(self, start: Tensor, clean: Tensor) -> Tensor:
        """Where `start` at index - 1 arrives at `index` if the clean prediction stays as it is."""
        return self.sigmas[self.index] / self.sigmas[self.index - 1] * start - self._growth() * clean

    def _growth(self) -> float:
        """alpha * (e^-h - 1): the weight of the prediction in the step to `index`, negative."""
        return (1 - self.sigmas[self.index]) * expm1(-self._h(self.index))

    def _h(self, index: int) -> float:
        return self.lambdas[index] - self.lambdas[index - 1]

    def _past_ratio(self) -> float:
        """How far the prediction before lies back, in steps of h; negative."""
        return -self._h(self.index - 1) / self._h(self.index)

    def _past_slope(self) -> Tensor:
        """The prediction's change over one h, judged by the last two."""
        before, latest = self.cleans
        return (before - latest) / self._past_ratio()


def log_signal_to_noise(sigma: float) -> float:
    """log((1 - sigma) / sigma)"""
    return log(1 - sigma) - log(sigma) if sigma else inf


class FewStep:
    """Predict the clean latent, noise it afresh to the next level: for checkpoints distilled to a few levels."""

    def __init__(self, timesteps: tuple[float, ...], generator: torch.Generator) -> None:
        self.timesteps = timesteps
        self.sigmas = tuple(timestep / TRAINED_TIMESTEPS for timestep in (*timesteps, 0))
        self.generator = generator
        self.index = 0

    def step(self, latents: Tensor, velocity: Tensor) -> Tensor:
        clean = latents - self.sigmas[self.index] * velocity
        self.index += 1
        sigma = self.sigmas[self.index]
        if sigma == 0:
            return clean
        return (1 - sigma) * clean + sigma * draw_noise(latents.shape, self.generator, latents.device)


def draw_noise(shape: torch.Size | tuple[int, ...], generator: torch.Generator, device: torch.device) -> Tensor:
    """Standard normal noise, float32, drawn on the CPU so that a seed means the same on every device."""
    return torch.randn(shape, generator=generator, dtype=torch.float32).to(device)
