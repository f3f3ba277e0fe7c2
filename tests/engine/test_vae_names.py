"""The tensors of `Wan2.2_VAE.pth`, 196 with the biases, and of the diffusers layout, find their places."""

import pytest
import torch
from diffusers import AutoencoderKLWan

from model_store.wan.architectures import VAEConfig
from model_store.wan.names import checkpoint_names
from model_store.wan.vae import VAE

# Name and shape of every weight and gamma; each weight has a bias as long as its first axis.
ORIGINAL = """
encoder.conv1.weight [160, 12, 3, 3, 3]
encoder.downsamples.0.downsamples.0.residual.0.gamma [160, 1, 1, 1]
encoder.downsamples.0.downsamples.0.residual.2.weight [160, 160, 3, 3, 3]
encoder.downsamples.0.downsamples.0.residual.3.gamma [160, 1, 1, 1]
encoder.downsamples.0.downsamples.0.residual.6.weight [160, 160, 3, 3, 3]
encoder.downsamples.0.downsamples.1.residual.0.gamma [160, 1, 1, 1]
encoder.downsamples.0.downsamples.1.residual.2.weight [160, 160, 3, 3, 3]
encoder.downsamples.0.downsamples.1.residual.3.gamma [160, 1, 1, 1]
encoder.downsamples.0.downsamples.1.residual.6.weight [160, 160, 3, 3, 3]
encoder.downsamples.0.downsamples.2.resample.1.weight [160, 160, 3, 3]
encoder.downsamples.1.downsamples.0.residual.0.gamma [160, 1, 1, 1]
encoder.downsamples.1.downsamples.0.residual.2.weight [320, 160, 3, 3, 3]
encoder.downsamples.1.downsamples.0.residual.3.gamma [320, 1, 1, 1]
encoder.downsamples.1.downsamples.0.residual.6.weight [320, 320, 3, 3, 3]
encoder.downsamples.1.downsamples.0.shortcut.weight [320, 160, 1, 1, 1]
encoder.downsamples.1.downsamples.1.residual.0.gamma [320, 1, 1, 1]
encoder.downsamples.1.downsamples.1.residual.2.weight [320, 320, 3, 3, 3]
encoder.downsamples.1.downsamples.1.residual.3.gamma [320, 1, 1, 1]
encoder.downsamples.1.downsamples.1.residual.6.weight [320, 320, 3, 3, 3]
encoder.downsamples.1.downsamples.2.resample.1.weight [320, 320, 3, 3]
encoder.downsamples.1.downsamples.2.time_conv.weight [320, 320, 3, 1, 1]
encoder.downsamples.2.downsamples.0.residual.0.gamma [320, 1, 1, 1]
encoder.downsamples.2.downsamples.0.residual.2.weight [640, 320, 3, 3, 3]
encoder.downsamples.2.downsamples.0.residual.3.gamma [640, 1, 1, 1]
encoder.downsamples.2.downsamples.0.residual.6.weight [640, 640, 3, 3, 3]
encoder.downsamples.2.downsamples.0.shortcut.weight [640, 320, 1, 1, 1]
encoder.downsamples.2.downsamples.1.residual.0.gamma [640, 1, 1, 1]
encoder.downsamples.2.downsamples.1.residual.2.weight [640, 640, 3, 3, 3]
encoder.downsamples.2.downsamples.1.residual.3.gamma [640, 1, 1, 1]
encoder.downsamples.2.downsamples.1.residual.6.weight [640, 640, 3, 3, 3]
encoder.downsamples.2.downsamples.2.resample.1.weight [640, 640, 3, 3]
encoder.downsamples.2.downsamples.2.time_conv.weight [640, 640, 3, 1, 1]
encoder.downsamples.3.downsamples.0.residual.0.gamma [640, 1, 1, 1]
encoder.downsamples.3.downsamples.0.residual.2.weight [640, 640, 3, 3, 3]
encoder.downsamples.3.downsamples.0.residual.3.gamma [640, 1, 1, 1]
encoder.downsamples.3.downsamples.0.residual.6.weight [640, 640, 3, 3, 3]
encoder.downsamples.3.downsamples.1.residual.0.gamma [640, 1, 1, 1]
encoder.downsamples.3.downsamples.1.residual.2.weight [640, 640, 3, 3, 3]
encoder.downsamples.3.downsamples.1.residual.3.gamma [640, 1, 1, 1]
encoder.downsamples.3.downsamples.1.residual.6.weight [640, 640, 3, 3, 3]
encoder.middle.0.residual.0.gamma [640, 1, 1, 1]
encoder.middle.0.residual.2.weight [640, 640, 3, 3, 3]
encoder.middle.0.residual.3.gamma [640, 1, 1, 1]
encoder.middle.0.residual.6.weight [640, 640, 3, 3, 3]
encoder.middle.1.norm.gamma [640, 1, 1]
encoder.middle.1.to_qkv.weight [1920, 640, 1, 1]
encoder.middle.1.proj.weight [640, 640, 1, 1]
encoder.middle.2.residual.0.gamma [640, 1, 1, 1]
encoder.middle.2.residual.2.weight [640, 640, 3, 3, 3]
encoder.middle.2.residual.3.gamma [640, 1, 1, 1]
encoder.middle.2.residual.6.weight [640, 640, 3, 3, 3]
encoder.head.0.gamma [640, 1, 1, 1]
encoder.head.2.weight [96, 640, 3, 3, 3]
conv1.weight [96, 96, 1, 1, 1]
conv2.weight [48, 48, 1, 1, 1]
decoder.conv1.weight [1024, 48, 3, 3, 3]
decoder.middle.0.residual.0.gamma [1024, 1, 1, 1]
decoder.middle.0.residual.2.weight [1024, 1024, 3, 3, 3]
decoder.middle.0.residual.3.gamma [1024, 1, 1, 1]
decoder.middle.0.residual.6.weight [1024, 1024, 3, 3, 3]
decoder.middle.1.norm.gamma [1024, 1, 1]
decoder.middle.1.to_qkv.weight [3072, 1024, 1, 1]
decoder.middle.1.proj.weight [1024, 1024, 1, 1]
decoder.middle.2.residual.0.gamma [1024, 1, 1, 1]
decoder.middle.2.residual.2.weight [1024, 1024, 3, 3, 3]
decoder.middle.2.residual.3.gamma [1024, 1, 1, 1]
decoder.middle.2.residual.6.weight [1024, 1024, 3, 3, 3]
decoder.upsamples.0.upsamples.0.residual.0.gamma [1024, 1, 1, 1]
decoder.upsamples.0.upsamples.0.residual.2.weight [1024, 1024, 3, 3, 3]
decoder.upsamples.0.upsamples.0.residual.3.gamma [1024, 1, 1, 1]
decoder.upsamples.0.upsamples.0.residual.6.weight [1024, 1024, 3, 3, 3]
decoder.upsamples.0.upsamples.1.residual.0.gamma [1024, 1, 1, 1]
decoder.upsamples.0.upsamples.1.residual.2.weight [1024, 1024, 3, 3, 3]
decoder.upsamples.0.upsamples.1.residual.3.gamma [1024, 1, 1, 1]
decoder.upsamples.0.upsamples.1.residual.6.weight [1024, 1024, 3, 3, 3]
decoder.upsamples.0.upsamples.2.residual.0.gamma [1024, 1, 1, 1]
decoder.upsamples.0.upsamples.2.residual.2.weight [1024, 1024, 3, 3, 3]
decoder.upsamples.0.upsamples.2.residual.3.gamma [1024, 1, 1, 1]
decoder.upsamples.0.upsamples.2.residual.6.weight [1024, 1024, 3, 3, 3]
decoder.upsamples.0.upsamples.3.resample.1.weight [1024, 1024, 3, 3]
decoder.upsamples.0.upsamples.3.time_conv.weight [2048, 1024, 3, 1, 1]
decoder.upsamples.1.upsamples.0.residual.0.gamma [1024, 1, 1, 1]
decoder.upsamples.1.upsamples.0.residual.2.weight [1024, 1024, 3, 3, 3]
decoder.upsamples.1.upsamples.0.residual.3.gamma [1024, 1, 1, 1]
decoder.upsamples.1.upsamples.0.residual.6.weight [1024, 1024, 3, 3, 3]
decoder.upsamples.1.upsamples.1.residual.0.gamma [1024, 1, 1, 1]
decoder.upsamples.1.upsamples.1.residual.2.weight [1024, 1024, 3, 3, 3]
decoder.upsamples.1.upsamples.1.residual.3.gamma [1024, 1, 1, 1]
decoder.upsamples.1.upsamples.1.residual.6.weight [1024, 1024, 3, 3, 3]
decoder.upsamples.1.upsamples.2.residual.0.gamma [1024, 1, 1, 1]
decoder.upsamples.1.upsamples.2.residual.2.weight [1024, 1024, 3, 3, 3]
decoder.upsamples.1.upsamples.2.residual.3.gamma [1024, 1, 1, 1]
decoder.upsamples.1.upsamples.2.residual.6.weight [1024, 1024, 3, 3, 3]
decoder.upsamples.1.upsamples.3.resample.1.weight [1024, 1024, 3, 3]
decoder.upsamples.1.upsamples.3.time_conv.weight [2048, 1024, 3, 1, 1]
decoder.upsamples.2.upsamples.0.residual.0.gamma [1024, 1, 1, 1]
decoder.upsamples.2.upsamples.0.residual.2.weight [512, 1024, 3, 3, 3]
decoder.upsamples.2.upsamples.0.residual.3.gamma [512, 1, 1, 1]
decoder.upsamples.2.upsamples.0.residual.6.weight [512, 512, 3, 3, 3]
decoder.upsamples.2.upsamples.0.shortcut.weight [512, 1024, 1, 1, 1]
decoder.upsamples.2.upsamples.1.residual.0.gamma [512, 1, 1, 1]
decoder.upsamples.2.upsamples.1.residual.2.weight [512, 512, 3, 3, 3]
decoder.upsamples.2.upsamples.1.residual.3.gamma [512, 1, 1, 1]
decoder.upsamples.2.upsamples.1.residual.6.weight [512, 512, 3, 3, 3]
decoder.upsamples.2.upsamples.2.residual.0.gamma [512, 1, 1, 1]
decoder.upsamples.2.upsamples.2.residual.2.weight [512, 512, 3, 3, 3]
decoder.upsamples.2.upsamples.2.residual.3.gamma [512, 1, 1, 1]
decoder.upsamples.2.upsamples.2.residual.6.weight [512, 512, 3, 3, 3]
decoder.upsamples.2.upsamples.3.resample.1.weight [512, 512, 3, 3]
decoder.upsamples.3.upsamples.0.residual.0.gamma [512, 1, 1, 1]
decoder.upsamples.3.upsamples.0.residual.2.weight [256, 512, 3, 3, 3]
decoder.upsamples.3.upsamples.0.residual.3.gamma [256, 1, 1, 1]
decoder.upsamples.3.upsamples.0.residual.6.weight [256, 256, 3, 3, 3]
decoder.upsamples.3.upsamples.0.shortcut.weight [256, 512, 1, 1, 1]
decoder.upsamples.3.upsamples.1.residual.0.gamma [256, 1, 1, 1]
decoder.upsamples.3.upsamples.1.residual.2.weight [256, 256, 3, 3, 3]
decoder.upsamples.3.upsamples.1.residual.3.gamma [256, 1, 1, 1]
decoder.upsamples.3.upsamples.1.residual.6.weight [256, 256, 3, 3, 3]
decoder.upsamples.3.upsamples.2.residual.0.gamma [256, 1, 1, 1]
decoder.upsamples.3.upsamples.2.residual.2.weight [256, 256, 3, 3, 3]
decoder.upsamples.3.upsamples.2.residual.3.gamma [256, 1, 1, 1]
decoder.upsamples.3.upsamples.2.residual.6.weight [256, 256, 3, 3, 3]
decoder.head.0.gamma [256, 1, 1, 1]
decoder.head.2.weight [12, 256, 3, 3, 3]
"""


@pytest.fixture(scope="module")
def full() -> VAE:
    with torch.device("meta"):
        return VAE(VAEConfig.wan22())


def original_shapes() -> dict[str, tuple[int, ...]]:
    shapes = {}
    for line in ORIGINAL.split("\n"):
        name, _, shape = line.partition(" ")
        if name:
            shapes[name] = tuple(int(size) for size in shape.strip("[]").split(","))
            if name.endswith(".weight"):
                shapes[name.removesuffix("weight") + "bias"] = shapes[name][:1]
    return shapes


def shapes_by_their_names(vae: VAE, layout) -> dict[str, tuple[int, ...]]:
    ours = {name: tuple(tensor.shape) for name, tensor in vae.state_dict().items()}
    return {theirs: ours.pop(name) for theirs, name in checkpoint_names(vae, layout).items()} | ours


def test_every_tensor_of_the_original_checkpoint_has_a_place_of_its_shape(full):
    assert shapes_by_their_names(full, "original") == original_shapes()
    assert len(original_shapes()) == 196


def test_every_tensor_of_the_diffusers_checkpoint_has_a_place_of_its_shape(full):
    with torch.device("meta"):
        peer = AutoencoderKLWan(**VAEConfig.wan22().to_diffusers())
    assert shapes_by_their_names(full, "diffusers") == {name: tuple(t.shape) for name, t in peer.state_dict().items()}


def test_the_full_model_has_its_published_size(full):
    assert sum(parameter.numel() for parameter in full.parameters()) == 704_688_668
