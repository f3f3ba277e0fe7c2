"""UniPC equals the public implementation step by step; few-step sampling follows its levels."""

import pytest
import torch
from diffusers import UniPCMultistepScheduler
from torch import Tensor

from model_store.sampling import SamplerConfig
from model_store.wan.sampler import FASTWAN_TIMESTEPS, FewStep, UniPC, build_sampler, read_scheduler
from tests.engine.closeness import relative_error


def their_scheduler(steps: int, shift: float) -> UniPCMultistepScheduler:
    scheduler = UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift, num_train_timesteps=1000
    )
    scheduler.set_timesteps(steps)
    return scheduler


def a_velocity(latents: Tensor, timestep: float) -> Tensor:
    """A curved, smooth field: the second order matters on it."""
    return torch.sin(3 * latents + timestep / 200) + 0.5 * latents.flip(-1)


@pytest.mark.parametrize("shift", [1.0, 3.0, 5.0, 12.0])
@pytest.mark.parametrize("steps", [1, 2, 3, 20, 50])
def test_unipc_equals_the_public_trajectory_at_every_step(steps, shift):
    theirs, ours = their_scheduler(steps, shift), UniPC(steps, shift)
    assert ours.timesteps == tuple(theirs.timesteps.tolist())
    expected = actual = torch.randn(1, 4, 3, 6, 5, generator=torch.Generator().manual_seed(0))
    for timestep in theirs.timesteps:
        expected = theirs.step(a_velocity(expected, float(timestep)), timestep, expected).prev_sample
        actual = ours.step(actual, a_velocity(actual, float(timestep)))
        assert relative_error(actual, expected) <= 1e-5


def test_the_timesteps_are_those_published_for_fifty_steps():
    timesteps = UniPC(50, 5.0).timesteps
    assert timesteps[:5] == (999, 995, 991, 987, 982)
    assert timesteps[-4:] == (305, 244, 175, 96)


@pytest.mark.parametrize(
    ("config", "steps"),
    [(SamplerConfig(kind="unipc"), 6), (SamplerConfig(kind="few-step", timesteps=(1000, 400)), 2)],
)
def test_a_perfect_denoiser_arrives_at_the_clean_latent(config, steps):
    clean = torch.randn(1, 4, 2, 3, 3, generator=torch.Generator().manual_seed(1))
    sampler = build_sampler(config, steps, torch.Generator().manual_seed(2))
    sigmas = sampler.sigmas
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(3))
    latents = (1 - sigmas[0]) * clean + sigmas[0] * noise
    for sigma in sigmas[:-1]:
        latents = sampler.step(latents, (latents - clean) / sigma)
    assert relative_error(latents, clean) <= 1e-5


def test_few_steps_noise_the_clean_prediction_afresh():
    generator = torch.Generator().manual_seed(7)
    sampler = FewStep(FASTWAN_TIMESTEPS, generator)
    noises = torch.Generator().manual_seed(7)
    latents, velocity = torch.randn(2, 1, 4, 2, 2, 2).unbind(0)
    clean = latents - velocity
    fresh = torch.randn(clean.shape, generator=noises)
    latents = sampler.step(latents, velocity)
    torch.testing.assert_close(latents, (1 - 0.757) * clean + 0.757 * fresh)
    clean = latents - 0.757 * velocity
    fresh = torch.randn(clean.shape, generator=noises)
    latents = sampler.step(latents, velocity)
    torch.testing.assert_close(latents, (1 - 0.522) * clean + 0.522 * fresh)
    torch.testing.assert_close(sampler.step(latents, velocity), latents - 0.522 * velocity)


def test_the_scheduler_of_a_checkpoint_is_read():
    saved = dict(their_scheduler(10, 3.0).config) | {"_class_name": "UniPCMultistepScheduler"}
    assert read_scheduler(saved) == SamplerConfig(kind="unipc", shift=3.0)


@pytest.mark.parametrize(
    ("key", "value"),
    [("_class_name", "DDIMScheduler"), ("prediction_type", "epsilon"), ("solver_order", 3), ("solver_type", "bh1")],
)
def test_a_scheduler_of_another_kind_is_refused(key, value):
    saved = dict(their_scheduler(10, 3.0).config) | {"_class_name": "UniPCMultistepScheduler", key: value}
    with pytest.raises(ValueError, match=f"{key} is {value!r}"):
        read_scheduler(saved)


@pytest.mark.parametrize(
    "arguments",
    [
        {"kind": "euler"},
        {"kind": "few-step"},
        {"kind": "unipc", "timesteps": (1000,)},
        {"kind": "few-step", "timesteps": (500, 900)},
        {"kind": "few-step", "timesteps": (500, 500)},
        {"kind": "few-step", "timesteps": (1001, 500)},
        {"kind": "few-step", "timesteps": (500, 0)},
        {"kind": "unipc", "shift": 0.0},
    ],
)
def test_an_impossible_sampler_is_refused(arguments):
    with pytest.raises(ValueError, match=r"kind|timesteps|shift"):
        SamplerConfig(**arguments)
