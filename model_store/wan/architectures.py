"""The architectures of Wan2.2-TI2V: the sizes of its three networks, as published, and as checkpoints state them.

No network is built here. Each record is checked when it is made (ValueError), with both numbers in the message.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any

Folds = tuple[int, int, int]  # frames, rows, columns that become one
NO_FOLD: Folds = (1, 1, 1)
RGB = 3


@dataclass(frozen=True)
class DenoiserConfig:
    """Sizes of a denoiser, checked on construction (ValueError)."""

    dim: int
    ffn_dim: int
    heads: int
    layers: int
    in_channels: int
    out_channels: int
    patch: tuple[int, int, int]  # latent frames, rows, columns that form one token
    text_dim: int
    text_len: int  # tokens a prompt is padded to
    freq_dim: int  # width of the sinusoid of the timestep
    eps: float

    def __post_init__(self) -> None:
        if self.dim % self.heads or (self.dim // self.heads) % 2:
            raise ValueError(f"dim {self.dim} must split into {self.heads} heads of an even width")
        if min(self.rope_widths) < 2:
            raise ValueError(f"heads of {self.head_dim} channels cannot hold three position axes; 6 are needed")
        if self.freq_dim % 2:
            raise ValueError(f"freq_dim {self.freq_dim} must be even: half cosines, half sines")
        if self.layers < 1:
            raise ValueError(f"layers is {self.layers}; at least 1 is needed")
        if self.patch[0] != 1:
            raise ValueError(f"patch {self.patch} joins {self.patch[0]} latent frames in a token; only 1 is supported")

    @property
    def head_dim(self) -> int:
        """Channels of one attention head."""
        return self.dim // self.heads

    @property
    def rope_widths(self) -> tuple[int, int, int]:
        """Channels of a head that carry the position in time, rows and columns: time takes what thirds leave over."""
        space = 2 * (self.head_dim // 6)
        return self.head_dim - 2 * space, space, space

    @classmethod
    def wan22(cls) -> DenoiserConfig:
        """Wan2.2-TI2V-5B."""
        return cls(
            dim=3072,
            ffn_dim=14336,
            heads=24,
            layers=30,
            in_channels=48,
            out_channels=48,
            patch=(1, 2, 2),
            text_dim=4096,
            text_len=512,
            freq_dim=256,
            eps=1e-6,
        )

    @classmethod
    def from_diffusers(cls, config: Mapping[str, Any]) -> DenoiserConfig:
        """Read diffusers' `transformer/config.json`. KeyError: a size is missing; ValueError: another model."""
        for key, expected in (("qk_norm", "rms_norm_across_heads"), ("cross_attn_norm", True)):
            if config[key] != expected:
                raise ValueError(f"{key} is {config[key]!r}; Wan2.2-TI2V has {expected!r}")
        for key in ("added_kv_proj_dim", "image_dim"):
            if config.get(key) is not None:
                raise ValueError(f"{key} is {config[key]!r}; Wan2.2-TI2V has no image cross-attention")
        return cls(
            dim=config["num_attention_heads"] * config["attention_head_dim"],
            ffn_dim=config["ffn_dim"],
            heads=config["num_attention_heads"],
            layers=config["num_layers"],
            in_channels=config["in_channels"],
            out_channels=config["out_channels"] or config["in_channels"],
            patch=_three(config["patch_size"]),
            text_dim=config["text_dim"],
            text_len=config.get("text_len", 512),
            freq_dim=config["freq_dim"],
            eps=config["eps"],
        )

    @classmethod
    def from_original(cls, config: Mapping[str, Any]) -> DenoiserConfig:
        """Read `config.json` of the original layout. KeyError: a size is missing; ValueError: another model."""
        if config.get("model_type", "ti2v") not in ("ti2v", "t2v"):
            raise ValueError(f"model_type is {config['model_type']!r}; this denoiser is for 'ti2v'")
        return cls(
            dim=config["dim"],
            ffn_dim=config["ffn_dim"],
            heads=config["num_heads"],
            layers=config["num_layers"],
            in_channels=config["in_dim"],
            out_channels=config["out_dim"],
            patch=_three(config.get("patch_size", (1, 2, 2))),
            text_dim=config.get("text_dim", 4096),
            text_len=config["text_len"],
            freq_dim=config["freq_dim"],
            eps=config["eps"],
        )

    def to_original(self) -> dict[str, Any]:
        """The `config.json` of the original layout that `from_original` reads back."""
        return {
            "model_type": "ti2v",
            "dim": self.dim,
            "ffn_dim": self.ffn_dim,
            "num_heads": self.heads,
            "num_layers": self.layers,
            "in_dim": self.in_channels,
            "out_dim": self.out_channels,
            "patch_size": list(self.patch),
            "text_dim": self.text_dim,
            "text_len": self.text_len,
            "freq_dim": self.freq_dim,
            "eps": self.eps,
        }


def _three(sizes: Sequence[int]) -> tuple[int, int, int]:
    frames, rows, columns = sizes
    return frames, rows, columns


@dataclass(frozen=True)
class VAEConfig:
    """Sizes of a VAE, checked on construction (ValueError)."""

    base_dim: int  # channels of the encoder's finest level, before its multiplier
    decoder_base_dim: int
    z_dim: int
    dim_mult: tuple[int, ...]  # one a level, finest first; all levels but the coarsest halve rows and columns
    num_res_blocks: int  # in each encoder level; a decoder level has one more
    temporal_downsample: tuple[bool, ...]  # one a halving, finest first: whether it halves the frames as well
    patch_size: int  # pixels on a side that are stacked into channels before the first level
    latents_mean: tuple[float, ...]  # one a latent channel
    latents_std: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.dim_mult) < 2:
            raise ValueError(f"dim_mult {self.dim_mult} has {len(self.dim_mult)} level; at least 2 are needed")
        if len(self.temporal_downsample) != len(self.dim_mult) - 1:
            raise ValueError(
                f"temporal_downsample has {len(self.temporal_downsample)} entries; "
                f"{len(self.dim_mult)} levels halve {len(self.dim_mult) - 1} times"
            )
        for name, values in (("latents_mean", self.latents_mean), ("latents_std", self.latents_std)):
            if len(values) != self.z_dim:
                raise ValueError(f"{name} has {len(values)} values; z_dim is {self.z_dim}")
        if min(self.latents_std) <= 0:
            raise ValueError(f"latents_std has {min(self.latents_std)}; each deviation must be above 0")
        if self.num_res_blocks < 1:
            raise ValueError(f"num_res_blocks is {self.num_res_blocks}; at least 1 is needed")
        # A shortcut averages, or copies to, whole runs of channels.
        encoder_levels = zip(pairwise((1, *self.dim_mult)), (*self.halvings, NO_FOLD), strict=True)
        decoder_levels = zip(pairwise((*self.dim_mult[1:], self.dim_mult[-1])), self.halvings, strict=True)
        for (narrow, wide), folds in (*encoder_levels, *decoder_levels):
            if wide < narrow or wide % narrow or prod(folds) % (wide // narrow):
                raise ValueError(
                    f"dim_mult {self.dim_mult} goes from {narrow} to {wide} where positions fold by {prod(folds)}; the "
                    "ratio must be whole and divide that"
                )

    @property
    def halvings(self) -> tuple[Folds, ...]:
        """Frames, rows and columns that become one behind each level but the coarsest, finest first."""
        return tuple((2 if in_time else 1, 2, 2) for in_time in self.temporal_downsample)

    @property
    def frames_per_latent(self) -> int:
        """Frames that one latent frame stands for, the first excepted."""
        return 1 << sum(self.temporal_downsample)

    @property
    def pixels_per_latent(self) -> int:
        """Pixels on a side that one latent vector stands for."""
        return self.patch_size << len(self.temporal_downsample)

    @property
    def patch_channels(self) -> int:
        """Channels of a picture once its patches are stacked."""
        return RGB * self.patch_size**2

    @classmethod
    def wan22(cls) -> VAEConfig:
        """Wan2.2-VAE, as in Wan2.2-TI2V-5B."""
        return cls(
            base_dim=160,
            decoder_base_dim=256,
            z_dim=48,
            dim_mult=(1, 2, 4, 4),
            num_res_blocks=2,
            temporal_downsample=(False, True, True),
            patch_size=2,
            latents_mean=WAN22_LATENTS_MEAN,
            latents_std=WAN22_LATENTS_STD,
        )

    @classmethod
    def from_diffusers(cls, config: Mapping[str, Any]) -> VAEConfig:
        """Read `vae/config.json` of the diffusers layout. KeyError: a size is missing; ValueError: another model."""
        read = cls(
            base_dim=config["base_dim"],
            decoder_base_dim=config["decoder_base_dim"] or config["base_dim"],
            z_dim=config["z_dim"],
            dim_mult=tuple(config["dim_mult"]),
            num_res_blocks=config["num_res_blocks"],
            temporal_downsample=tuple(config["temperal_downsample"]),
            patch_size=config["patch_size"] or 1,
            latents_mean=tuple(config["latents_mean"]),
            latents_std=tuple(config["latents_std"]),
        )
        same_sizes = read.to_diffusers()
        for key in (
            "is_residual",
            "attn_scales",
            "in_channels",
            "out_channels",
            "scale_factor_temporal",
            "scale_factor_spatial",
        ):
            if config[key] != same_sizes[key]:
                raise ValueError(f"{key} is {config[key]!r}; a Wan2.2 VAE of these sizes has {same_sizes[key]!r}")
        return read

    def to_diffusers(self) -> dict[str, Any]:
        """The `vae/config.json` of the diffusers layout that `from_diffusers` reads back."""
        return {
            "base_dim": self.base_dim,
            "decoder_base_dim": self.decoder_base_dim,
            "z_dim": self.z_dim,
            "dim_mult": list(self.dim_mult),
            "num_res_blocks": self.num_res_blocks,
            "attn_scales": [],
            "temperal_downsample": list(self.temporal_downsample),
            "latents_mean": list(self.latents_mean),
            "latents_std": list(self.latents_std),
            "is_residual": True,
            "in_channels": self.patch_channels,
            "out_channels": self.patch_channels,
            "patch_size": self.patch_size,
            "scale_factor_temporal": self.frames_per_latent,
            "scale_factor_spatial": self.pixels_per_latent,
        }


@dataclass(frozen=True)
class TextEncoderConfig:
    """Sizes of a UMT5 encoder, checked on construction (ValueError)."""

    vocabulary: int
    dim: int
    heads: int
    head_dim: int  # heads * head_dim need not be dim
    ffn_dim: int
    layers: int
    buckets: int  # of relative positions: half for tokens before, half for tokens after
    max_distance: int  # tokens; all beyond share the last bucket
    eps: float

    def __post_init__(self) -> None:
        if self.buckets % 4 or self.max_distance <= self.buckets // 4:
            raise ValueError(
                f"{self.buckets} buckets up to distance {self.max_distance}: buckets must divide by 4, "
                "and the distance must exceed a quarter of them"
            )

    @classmethod
    def umt5_xxl(cls) -> TextEncoderConfig:
        """The encoder of google/umt5-xxl."""
        return cls(
            vocabulary=256_384,
            dim=4096,
            heads=64,
            head_dim=64,
            ffn_dim=10_240,
            layers=24,
            buckets=32,
            max_distance=128,
            eps=1e-6,
        )

    @classmethod
    def from_transformers(cls, config: Mapping[str, Any]) -> TextEncoderConfig:
        """Read `text_encoder/config.json`. KeyError: a size is missing; ValueError: another model."""
        for key, expected in (("model_type", "umt5"), ("feed_forward_proj", "gated-gelu")):
            if config[key] != expected:
                raise ValueError(f"{key} is {config[key]!r}; Wan2.2-TI2V reads prompts with {expected!r}")
        return cls(
            vocabulary=config["vocab_size"],
            dim=config["d_model"],
            heads=config["num_heads"],
            head_dim=config["d_kv"],
            ffn_dim=config["d_ff"],
            layers=config["num_layers"],
            buckets=config["relative_attention_num_buckets"],
            max_distance=config["relative_attention_max_distance"],
            eps=config["layer_norm_epsilon"],
        )


# fmt: off
WAN22_LATENTS_MEAN = (
    -0.2289, -0.0052, -0.1323, -0.2339, -0.2799, 0.0174, 0.1838, 0.1557, -0.1382, 0.0542, 0.2813, 0.0891,
    0.1570, -0.0098, 0.0375, -0.1825, -0.2246, -0.1207, -0.0698, 0.5109, 0.2665, -0.2108, -0.2158, 0.2502,
    -0.2055, -0.0322, 0.1109, 0.1567, -0.0729, 0.0899, -0.2799, -0.1230, -0.0313, -0.1649, 0.0117, 0.0723,
    -0.2839, -0.2083, -0.0520, 0.3748, 0.0152, 0.1957, 0.1433, -0.2944, 0.3573, -0.0548, -0.1681, -0.0667,
)
WAN22_LATENTS_STD = (
    0.4765, 1.0364, 0.4514, 1.1677, 0.5313, 0.4990, 0.4818, 0.5013, 0.8158, 1.0344, 0.5894, 1.0901,
    0.6885, 0.6165, 0.8454, 0.4978, 0.5759, 0.3523, 0.7135, 0.6804, 0.5833, 1.4146, 0.8986, 0.5659,
    0.7069, 0.5338, 0.4889, 0.4917, 0.4069, 0.4999, 0.6866, 0.4093, 0.5709, 0.6065, 0.6415, 0.4944,
    0.5726, 1.2042, 0.5458, 1.6887, 0.3971, 1.0600, 0.3943, 0.5537, 0.5444, 0.4089, 0.7468, 0.7744,
)
# fmt: on
