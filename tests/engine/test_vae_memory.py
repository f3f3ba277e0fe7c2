"""Memory of decode, counted in bytes of live tensors: constant in the clip's length, and well below diffusers'."""

from collections.abc import Callable

import torch
from diffusers import AutoencoderKLWan
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from model_store.wan.architectures import VAEConfig
from model_store.wan.vae import VAE

CONFIG = VAEConfig(
    base_dim=8,
    decoder_base_dim=32,
    z_dim=4,
    dim_mult=(1, 2, 4, 4),
    num_res_blocks=2,
    temporal_downsample=(False, True, True),
    patch_size=2,
    latents_mean=(0.0,) * 4,
    latents_std=(1.0,) * 4,
)


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of all storages that operations have made and that still live; keeps the peak."""

    def __init__(self) -> None:
        super().__init__()
        self._living: dict[int, tuple[StorageWeakRef, int]] = {}
        self.peak_bytes = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        given = {storage._cdata for storage in storages((args, kwargs))}
        result = operation(*args, **(kwargs or {}))
        for storage in storages(result):
            if storage._cdata not in given:
                self._living[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
        self._living = {key: entry for key, entry in self._living.items() if not entry[0].expired()}
        self.peak_bytes = max(self.peak_bytes, sum(size for _, size in self._living.values()))
        return result


def storages(tree: object) -> list[torch.UntypedStorage]:
    return [leaf.untyped_storage() for leaf in tree_iter(tree) if isinstance(leaf, torch.Tensor)]


def peak_bytes(decode: Callable[[torch.Tensor], object], frames: int) -> int:
    latents = torch.randn(1, CONFIG.z_dim, (frames - 1) // 4 + 1, 4, 6)
    with torch.inference_mode(), LiveBytes() as counted:
        decode(latents)
    return counted.peak_bytes


def stream(vae: VAE) -> Callable[[torch.Tensor], None]:
    def decode(latents: torch.Tensor) -> None:
        for _ in vae.decode(latents):
            pass

    return decode


def test_peak_memory_of_decode_is_constant_from_25_to_121_frames():
    vae = VAE(CONFIG)
    assert peak_bytes(stream(vae), frames=121) == peak_bytes(stream(vae), frames=25)


def test_the_count_sees_a_caller_that_keeps_every_frame():
    vae = VAE(CONFIG)
    assert peak_bytes(vae.decode_all, frames=121) > peak_bytes(vae.decode_all, frames=25) * 1.2


def test_decode_peaks_at_most_at_0_7_of_diffusers():
    vae, peer = VAE(CONFIG), AutoencoderKLWan(**CONFIG.to_diffusers())
    assert peak_bytes(stream(vae), frames=25) <= 0.7 * peak_bytes(peer.decode, frames=25)
