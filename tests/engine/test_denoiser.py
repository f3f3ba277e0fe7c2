"""The denoiser equals the public implementation, at every size and with every conditioning."""

import copy

import pytest
import torch
from diffusers import WanTransformer3DModel
from torch import Tensor

from model_store.wan.architectures import DenoiserConfig
from model_store.wan.attention import rotate, scaled_dot_product
from model_store.wan.denoiser import Denoiser, position_rotations
from model_store.wan.names import checkpoint_names
from model_store.wan.precision import cast_denoiser
from tests.engine.closeness import relative_error

SIZES = {
    "usual proportions": ({"num_attention_heads": 4, "attention_head_dim": 32, "ffn_dim": 512, "num_layers": 2}, 48),
    "one head, one block": ({"num_attention_heads": 1, "attention_head_dim": 24, "ffn_dim": 40, "num_layers": 1}, 4),
    "head width no multiple of six": (
        {"num_attention_heads": 3, "attention_head_dim": 14, "ffn_dim": 31, "num_layers": 3},
        6,
    ),
    "deep, wide heads": ({"num_attention_heads": 2, "attention_head_dim": 128, "ffn_dim": 64, "num_layers": 7}, 8),
}
GRIDS = {
    "one frame": (1, 6, 4),
    "two frames, wide": (2, 2, 10),
    "tall": (4, 12, 2),
    "25 frames of video": (7, 6, 8),
}


def a_pair(sizes: dict[str, int], channels: int) -> tuple[WanTransformer3DModel, Denoiser]:
    """The public implementation with random weights, and ours holding the same."""
    torch.manual_seed(1)
    theirs = WanTransformer3DModel(
        **sizes, in_channels=channels, out_channels=channels, text_dim=20, freq_dim=256, patch_size=(1, 2, 2)
    ).eval()
    for name, parameter in theirs.named_parameters():
        if name.endswith("bias") or "norm" in name:  # their defaults are zeros and ones, which hide a swap
            torch.nn.init.normal_(parameter, 1.0 if name.endswith("weight") else 0.0, 0.3)
    ours = Denoiser(DenoiserConfig.from_diffusers(theirs.config)).eval()
    names = checkpoint_names(ours, "diffusers")
    ours.load_state_dict({names[name]: value for name, value in theirs.state_dict().items()})
    return theirs, ours


def a_prompt(batch: int, lengths: list[int] | None = None, total: int = 24) -> Tensor:
    text = torch.randn(batch, total, 20, generator=torch.Generator().manual_seed(2))
    for row, length in zip(text, lengths or [total] * batch, strict=True):
        row[length:] = 0
    return text


def some_latents(batch: int, channels: int, grid: tuple[int, int, int]) -> Tensor:
    return torch.randn(batch, channels, *grid, generator=torch.Generator().manual_seed(3))


def velocity(denoiser: Denoiser, latents: Tensor, timesteps: Tensor, text: Tensor, **options: object) -> Tensor:
    state = denoiser.prompt_state(text, options.pop("lengths", None))
    with torch.no_grad():
        return denoiser(latents, timesteps, state, denoiser.shape_state(latents.shape, **options))


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize(("sizes", "channels"), SIZES.values(), ids=SIZES)
def test_velocity_equals_the_public_implementation(sizes, channels, grid):
    theirs, ours = a_pair(sizes, channels)
    latents, timesteps, text = some_latents(2, channels, grid), torch.tensor([999, 17]), a_prompt(2)
    with torch.no_grad():
        expected = theirs(latents, timesteps, text).sample
    assert relative_error(velocity(ours, latents, timesteps, text), expected) <= 1e-5


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize(("sizes", "channels"), SIZES.values(), ids=SIZES)
def test_velocity_with_a_given_first_frame_equals_a_timestep_for_every_token(sizes, channels, grid):
    theirs, ours = a_pair(sizes, channels)
    latents, timesteps, text = some_latents(2, channels, grid), torch.tensor([843, 500]), a_prompt(2)
    per_token = torch.ones(2, *grid) * timesteps[:, None, None, None]
    per_token[:, 0] = 0
    with torch.no_grad():
        expected = theirs(latents, per_token[:, :, ::2, ::2].flatten(1), text).sample
    actual = velocity(ours, latents, timesteps, text, first_frame_given=True)
    assert relative_error(actual, expected) <= 1e-5


def test_a_given_first_frame_takes_one_more_timestep_and_a_row_a_frame_not_one_a_token():
    _, ours = a_pair(*SIZES["usual proportions"])
    seen = []
    hooks = [
        ours.time_embedding.register_forward_pre_hook(lambda _, given: seen.append(tuple(given[0].shape))),
        ours.blocks[0].register_forward_pre_hook(lambda _, given: seen.append(tuple(given[1].shape))),
    ]
    latents, timesteps, text = some_latents(2, 48, (5, 6, 4)), torch.tensor([843, 500]), a_prompt(2)
    for clean in (False, True):
        velocity(ours, latents, timesteps, text, first_frame_given=clean)
    for hook in hooks:
        hook.remove()
    assert seen == [(2, 1, 256), (2, 1, 6, 128), (2, 2, 256), (2, 5, 6, 128)]


def test_bf16_weights_stay_near_the_public_implementation_in_bf16():
    theirs, ours = a_pair(*SIZES["usual proportions"])
    latents, timesteps, text = some_latents(1, 48, (3, 8, 8)), torch.tensor([700]), a_prompt(1)
    exact = velocity(ours, latents, timesteps, text)
    rounded = velocity(cast_denoiser(copy.deepcopy(ours), torch.bfloat16), latents, timesteps, text)
    assert rounded.dtype == torch.bfloat16
    assert relative_error(rounded, exact) <= 2e-2
    theirs = theirs.to(torch.bfloat16)
    with torch.no_grad():
        expected = theirs(latents.bfloat16(), timesteps, text.bfloat16()).sample
    assert relative_error(rounded, expected) <= 2e-2


@pytest.mark.parametrize("lengths", [[5, 5], [1, 17], [23, 2]])
def test_folded_padding_gives_the_same_velocity(lengths):
    _, ours = a_pair(*SIZES["usual proportions"])
    latents, timesteps, text = some_latents(2, 48, (2, 4, 6)), torch.tensor([300, 900]), a_prompt(2, lengths)
    plain = velocity(ours, latents, timesteps, text)
    folded = velocity(ours, latents, timesteps, text, lengths=lengths)
    assert relative_error(folded, plain) <= 1e-5


def test_a_prompt_that_fills_the_text_is_not_folded():
    _, ours = a_pair(*SIZES["one head, one block"])
    assert ours.prompt_state(a_prompt(1), [24]).key_bias is None


def test_the_compiled_rotation_equals_the_plain_one(monkeypatch):
    config = DenoiserConfig.wan22()
    rotation = position_rotations(config, (3, 4, 5), "cpu")
    heads = torch.randn(2, 60, 4, config.head_dim)
    plain = rotate(heads, rotation)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert relative_error(rotate(heads, rotation), plain) <= 1e-6


def test_every_attention_goes_through_the_given_kernel():
    config = DenoiserConfig.from_diffusers(a_pair(*SIZES["deep, wide heads"])[0].config)
    calls = []

    def counting(queries, keys, values, key_bias=None):
        calls.append(keys.shape[1])
        return scaled_dot_product(queries, keys, values, key_bias)

    denoiser = Denoiser(config, attention=counting)
    velocity(denoiser, some_latents(1, 8, (2, 4, 4)), torch.tensor([1]), a_prompt(1))
    assert calls == [8, 24] * config.layers


def test_gradients_reach_every_weight():
    _, ours = a_pair(*SIZES["usual proportions"])
    latents = some_latents(2, 48, (2, 4, 4))
    state = ours.prompt_state(a_prompt(2, [3, 9]), [3, 9])
    shape = ours.shape_state(latents.shape, first_frame_given=True)
    ours(latents, torch.tensor([300, 900]), state, shape).square().mean().backward()
    assert [name for name, weight in ours.named_parameters() if weight.grad is None or not weight.grad.any()] == []


def test_fresh_weights_depend_on_the_seed_alone_and_predict_no_velocity():
    config = DenoiserConfig.from_diffusers(a_pair(*SIZES["usual proportions"])[0].config)
    one, other = Denoiser(config), Denoiser(config)
    one.initialise(torch.Generator().manual_seed(5))
    other.initialise(torch.Generator().manual_seed(5))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert not velocity(one, some_latents(1, 48, (1, 4, 4)), torch.tensor([9]), a_prompt(1)).any()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"heads": 5}, "dim 128 must split into 5 heads"),
        ({"heads": 32}, "heads of 4 channels cannot hold three position axes"),
        ({"freq_dim": 255}, "freq_dim 255 must be even"),
        ({"layers": 0}, "layers is 0"),
        ({"patch": (2, 2, 2)}, "joins 2 latent frames"),
    ],
)
def test_an_impossible_configuration_is_refused_with_its_numbers(change, complaint):
    sizes = {
        "dim": 128,
        "ffn_dim": 256,
        "heads": 4,
        "layers": 2,
        "in_channels": 8,
        "out_channels": 8,
        "patch": (1, 2, 2),
        "text_dim": 20,
        "text_len": 24,
        "freq_dim": 256,
        "eps": 1e-6,
    }
    with pytest.raises(ValueError, match=complaint):
        DenoiserConfig(**{**sizes, **change})


def test_another_model_of_the_family_is_refused():
    config = dict(a_pair(*SIZES["usual proportions"])[0].config)
    with pytest.raises(ValueError, match="no image cross-attention"):
        DenoiserConfig.from_diffusers({**config, "added_kv_proj_dim": 128})
    with pytest.raises(ValueError, match="qk_norm is None"):
        DenoiserConfig.from_diffusers({**config, "qk_norm": None})
    with pytest.raises(ValueError, match="model_type is 'i2v'"):
        DenoiserConfig.from_original({**DenoiserConfig.wan22().to_original(), "model_type": "i2v"})


def test_the_original_configuration_survives_a_round_trip():
    assert DenoiserConfig.from_original(DenoiserConfig.wan22().to_original()) == DenoiserConfig.wan22()


def test_a_grid_that_the_patch_does_not_divide_is_refused():
    _, ours = a_pair(*SIZES["one head, one block"])
    with pytest.raises(ValueError, match=r"\(2, 5, 4\) does not divide"):
        ours.shape_state((1, 4, 2, 5, 4))
    with pytest.raises(ValueError, match="exceeds 1024 positions"):
        ours.shape_state((1, 4, 1025, 2, 2))
