"""The VAE equals diffusers' with the same weights, in chunks of any size, with gradients and without."""

import pytest
import torch
from diffusers import AutoencoderKLWan
from torch import Tensor

from model_store.wan.architectures import VAEConfig
from model_store.wan.names import checkpoint_names
from model_store.wan.vae import VAE
from tests.engine.closeness import relative_error


def config(**sizes) -> VAEConfig:
    """A small VAE of the full model's shape, with other sizes where given."""
    z_dim = sizes.get("z_dim", 6)
    generator = torch.Generator().manual_seed(5)
    defaults = {
        "base_dim": 8,
        "decoder_base_dim": 12,
        "z_dim": z_dim,
        "dim_mult": (1, 2, 4, 4),
        "num_res_blocks": 2,
        "temporal_downsample": (False, True, True),
        "patch_size": 2,
        "latents_mean": tuple(torch.randn(z_dim, generator=generator).tolist()),
        "latents_std": tuple((torch.rand(z_dim, generator=generator) + 0.5).tolist()),
    }
    return VAEConfig(**{**defaults, **sizes})


def pair(config: VAEConfig) -> tuple[VAE, AutoencoderKLWan]:
    """Our VAE and diffusers' with equal random weights, gammas and biases included."""
    torch.manual_seed(11)
    peer = AutoencoderKLWan(**config.to_diffusers()).eval()
    with torch.no_grad():
        for parameter in peer.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter) / max(1, parameter[0].numel()) ** 0.5)
    vae = VAE(config)
    names = checkpoint_names(vae, "diffusers")
    vae.load_state_dict({names[name]: tensor for name, tensor in peer.state_dict().items()})
    return vae, peer


def noise(*shape: int, seed: int = 3) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def picture_noise(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(4)) * 2 - 1


def decoded_by(peer: AutoencoderKLWan, latents: Tensor, config: VAEConfig) -> Tensor:
    mean, deviation = torch.tensor((config.latents_mean, config.latents_std)).view(2, 1, -1, 1, 1, 1)
    return peer.decode((latents * deviation + mean).to(peer.dtype)).sample


CONFIGS = {
    "small": config(),
    "one block, odd widths": config(base_dim=5, decoder_base_dim=7, z_dim=3, num_res_blocks=1),
    "three blocks, decoder narrower": config(base_dim=12, decoder_base_dim=4, z_dim=16, num_res_blocks=3),
    "levels equally wide": config(dim_mult=(1, 1, 1, 1)),
    "levels that quadruple": config(base_dim=4, decoder_base_dim=4, dim_mult=(1, 4, 8, 8)),
    "time halved at the finest levels": config(temporal_downsample=(True, True, False)),
    "finest level wider than the base": config(dim_mult=(2, 2, 4, 4)),
}
CLIPS = [(1, 1, 32, 48), (2, 5, 48, 16), (1, 13, 16, 32), (1, 25, 32, 32)]  # batch, frames, rows, columns


@pytest.mark.parametrize("clip", CLIPS, ids=str)
@pytest.mark.parametrize("name", CONFIGS)
def test_encode_equals_diffusers(name, clip):
    vae, peer = pair(CONFIGS[name])
    batch, frames, rows, columns = clip
    pixels = picture_noise(batch, 3, frames, rows, columns)
    with torch.inference_mode():
        mean, log_variance = vae.encode_moments(pixels)
        expected_mean, expected_log_variance = peer._encode(pixels).chunk(2, dim=1)
        latents = vae.encode(pixels)
    assert relative_error(mean, expected_mean) <= 1e-5
    assert relative_error(log_variance, expected_log_variance) <= 1e-5
    statistics = torch.tensor((vae.config.latents_mean, vae.config.latents_std)).view(2, 1, -1, 1, 1, 1)
    assert relative_error(latents, (expected_mean - statistics[0]) / statistics[1]) <= 1e-5


@pytest.mark.parametrize("clip", CLIPS, ids=str)
@pytest.mark.parametrize("name", CONFIGS)
def test_decode_equals_diffusers(name, clip):
    vae, peer = pair(CONFIGS[name])
    batch, frames, rows, columns = clip
    latents = noise(batch, vae.config.z_dim, (frames - 1) // 4 + 1, rows // 16, columns // 16)
    with torch.inference_mode():
        found = vae.decode_all(latents)
        expected = decoded_by(peer, latents, vae.config)
    assert expected.abs().max() <= 1
    assert relative_error(found, expected) <= 1e-5


def test_bfloat16_stays_near_diffusers():
    vae, peer = pair(config(base_dim=16, decoder_base_dim=16))
    latents, pixels = noise(1, 6, 4, 3, 2), picture_noise(1, 3, 13, 48, 32)
    with torch.inference_mode():
        expected, expected_moments = decoded_by(peer, latents, vae.config), peer._encode(pixels)
        vae.to(torch.bfloat16)
        found, moments = vae.decode_all(latents), torch.cat(vae.encode_moments(pixels), dim=1)
    assert found.dtype == moments.dtype == torch.bfloat16
    assert relative_error(found, expected) <= 2e-2
    assert relative_error(moments, expected_moments) <= 2e-2


def test_a_vae_of_other_compression_keeps_its_own_counts():
    vae, _ = pair(config(dim_mult=(1, 2, 2), temporal_downsample=(False, True), patch_size=1))
    with torch.inference_mode():
        latents = vae.encode(picture_noise(1, 3, 7, 8, 12))
        assert latents.shape == (1, 6, 4, 2, 3)
        assert [chunk.shape[2] for chunk in vae.decode(latents)] == [1, 2, 2, 2]


@pytest.mark.parametrize("latents_per_chunk", [2, 3, 99])
def test_chunks_of_any_size_give_the_same_clip(latents_per_chunk):
    vae, _ = pair(config())
    latents, pixels = noise(2, 6, 6, 2, 3), picture_noise(2, 3, 21, 32, 48)
    with torch.inference_mode():
        assert relative_error(vae.decode_all(latents, latents_per_chunk), vae.decode_all(latents)) <= 1e-6
        assert relative_error(vae.encode(pixels, latents_per_chunk), vae.encode(pixels)) <= 1e-6


def test_decode_yields_one_frame_then_four_for_each_latent():
    vae, _ = pair(config())
    with torch.inference_mode():
        assert [chunk.shape for chunk in vae.decode(noise(1, 6, 3, 2, 3))] == [
            (1, 3, 1, 32, 48),
            (1, 3, 4, 32, 48),
            (1, 3, 4, 32, 48),
        ]
        assert [chunk.shape[2] for chunk in vae.decode(noise(1, 6, 6, 1, 1), latents_per_chunk=2)] == [1, 8, 8, 4]


def test_what_the_caller_does_to_a_chunk_does_not_reach_the_next():
    vae, _ = pair(config())
    latents = noise(1, 6, 3, 2, 2)
    with torch.inference_mode():
        expected = list(vae.decode(latents))
        for chunk, untouched in zip(vae.decode(latents), expected, strict=True):
            assert torch.equal(chunk, untouched)
            chunk.zero_()


def test_two_clips_decoded_in_turns_do_not_mix():
    vae, _ = pair(config())
    first, second = noise(1, 6, 3, 2, 2, seed=1), noise(1, 6, 3, 2, 2, seed=2)
    with torch.inference_mode():
        turns = list(zip(vae.decode(first), vae.decode(second), strict=True))
        assert torch.equal(torch.cat([ours for ours, _ in turns], dim=2), vae.decode_all(first))
        assert torch.equal(torch.cat([theirs for _, theirs in turns], dim=2), vae.decode_all(second))


def test_gradients_equal_those_of_diffusers():
    vae, peer = pair(config())
    pixels, latents = picture_noise(2, 3, 9, 32, 32), noise(2, 6, 3, 2, 2)
    mean, log_variance = vae.encode_moments(pixels)
    (mean.square().mean() + log_variance.square().mean() + vae.decode_all(latents).square().mean()).backward()
    expected_mean, expected_log_variance = peer._encode(pixels).chunk(2, dim=1)
    decoded = decoded_by(peer, latents, vae.config)
    (expected_mean.square().mean() + expected_log_variance.square().mean() + decoded.square().mean()).backward()
    names = checkpoint_names(vae, "diffusers")
    worst = max(
        relative_error(vae.get_parameter(names[name]).grad, parameter.grad)
        for name, parameter in peer.named_parameters()
    )
    assert worst <= 1e-4


def test_the_clip_is_the_same_with_gradients_as_without():
    vae, _ = pair(config())
    latents, pixels = noise(1, 6, 3, 2, 3), picture_noise(1, 3, 9, 32, 48)
    with torch.inference_mode():
        decoded, encoded = vae.decode_all(latents), vae.encode(pixels)
    assert relative_error(vae.decode_all(latents).detach(), decoded) <= 1e-5
    assert relative_error(vae.encode(pixels).detach(), encoded) <= 1e-5


def test_the_layout_of_the_weights_does_not_change_the_clip():
    vae, _ = pair(config())
    latents = noise(1, 6, 3, 2, 3)
    with torch.inference_mode():
        expected = vae.decode_all(latents)
        assert relative_error(vae.innermost_channels_().decode_all(latents), expected) <= 1e-6


def test_a_black_latent_is_decoded_without_nan():
    vae, _ = pair(config())
    with torch.inference_mode():
        for parameter in vae.parameters():
            parameter.zero_()
        assert torch.equal(vae.decode_all(noise(1, 6, 2, 1, 1)), torch.zeros(1, 3, 5, 16, 16))


def test_normalise_and_denormalise_are_each_others_reverse():
    vae, _ = pair(config())
    z = noise(2, 6, 2, 1, 1)
    assert relative_error(vae.denormalise(vae.normalise(z)), z) <= 1e-6


@pytest.mark.parametrize("frames", [2, 4, 72, 0])
def test_a_frame_count_other_than_4n_plus_1_is_refused(frames):
    with pytest.raises(ValueError, match=rf"{frames} frames .* 4n\+1"):
        VAE(config()).encode(picture_noise(1, 3, frames, 16, 16))


@pytest.mark.parametrize(("rows", "columns"), [(16, 24), (8, 16), (40, 32)])
def test_sides_that_16_does_not_divide_are_refused(rows, columns):
    with pytest.raises(ValueError, match=f"{columns}x{rows}.* 16"):
        VAE(config()).encode(picture_noise(1, 3, 1, rows, columns))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"dim_mult": (4,), "temporal_downsample": ()}, "1 level; at least 2"),
        ({"temporal_downsample": (True,)}, "1 entries; 4 levels halve 3 times"),
        ({"latents_mean": (0.0,) * 5}, "5 values; z_dim is 6"),
        ({"latents_std": (1.0,) * 5 + (0.0,)}, "0.0; each deviation must be above 0"),
        ({"num_res_blocks": 0}, "is 0; at least 1"),
        ({"dim_mult": (1, 2, 4, 8)}, "from 4 to 8 where positions fold by 1"),
        ({"dim_mult": (1, 1, 8, 8)}, "from 1 to 8 where positions fold by 4"),  # the decoder's finest shortcut
        ({"dim_mult": (1, 3, 3, 3)}, "from 1 to 3"),
        ({"dim_mult": (8, 8, 8, 8)}, "from 1 to 8"),
        ({"dim_mult": (2, 1, 1, 1)}, "from 2 to 1"),
        ({"dim_mult": (0, 0, 0, 0)}, "from 1 to 0"),
    ],
)
def test_sizes_that_do_not_fit_are_refused_with_both_numbers(sizes, message):
    with pytest.raises(ValueError, match=message):
        config(**sizes)


def test_the_config_of_diffusers_is_read_back_as_it_was_written():
    assert VAEConfig.from_diffusers(VAEConfig.wan22().to_diffusers()) == VAEConfig.wan22()
    assert VAEConfig.from_diffusers(AutoencoderKLWan(**config().to_diffusers()).config) == config()


@pytest.mark.parametrize(("key", "value"), [("is_residual", False), ("out_channels", 3), ("attn_scales", [1.0])])
def test_the_config_of_another_vae_is_refused(key, value):
    with pytest.raises(ValueError, match=key):
        VAEConfig.from_diffusers({**config().to_diffusers(), key: value})


def test_a_config_without_a_size_names_it():
    written = config().to_diffusers()
    del written["z_dim"]
    with pytest.raises(KeyError, match="z_dim"):
        VAEConfig.from_diffusers(written)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-3), (torch.bfloat16, 2e-2)])
def test_a_gpu_gives_the_clip_of_the_cpu(dtype, tolerance):
    vae, _ = pair(config(base_dim=16, decoder_base_dim=16))
    latents, pixels = noise(1, 6, 4, 3, 2), picture_noise(1, 3, 13, 48, 32)
    with torch.inference_mode():
        decoded, encoded = vae.decode_all(latents), vae.encode(pixels)
        vae.to("cuda", dtype).innermost_channels_()
        assert relative_error(vae.decode_all(latents.cuda()).cpu(), decoded) <= tolerance
        assert relative_error(vae.encode(pixels.cuda()).cpu(), encoded) <= tolerance
