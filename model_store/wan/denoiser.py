"""The denoiser of Wan2.2-TI2V-5B: a transformer that predicts the flow velocity of a noisy video latent.

Read top to bottom: configuration, the model, what is computed once per prompt and once per shape, the layers.

Axes
    B batch          F, H, W latent frames, rows, columns       C latent channels
    L video tokens (frames x rows x columns of the patch grid)  T text tokens
    G timestep groups: 1 where all frames share a timestep, else the number of latent frames
    `dim` channels of the residual stream, split into N heads of D channels

Sources: Wan, arXiv 2503.20314; adaLN, arXiv 2212.09748; rotary positions, arXiv 2104.09864. Tensor names are those of
the original checkpoint; `DIFFUSERS_NAMES` renames the other public layout to them.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model_store.wan.attention import AttentionKernel, rotate, scaled_dot_product
from model_store.wan.linear import Linear, LinearGELU, linear

ROPE_THETA = 10_000.0
ROPE_POSITIONS = 1024  # per axis: the longest clip and largest picture the model can address


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


# The model ------------------------------------------------------------------------------------------------------------


class Denoiser(nn.Module):
    """Predicts the flow velocity (noise minus clean latent) at a timestep, given a prompt.

    state = denoiser.prompt_state(text)          # once per prompt
    shape = denoiser.shape_state(latents.shape)  # once per shape
    velocity = denoiser(latents, timesteps, state, shape)

    Gradients flow through all of it, `prompt_state` included: the same class trains and renders.
    """

    def __init__(self, config: DenoiserConfig, attention: AttentionKernel = scaled_dot_product) -> None:
        super().__init__()
        self.config = config
        self.patch_embedding = PatchEmbedding(config.in_channels, config.dim, config.patch, stride=config.patch)
        self.text_embedding = two_layers(config.text_dim, config.dim, config.dim)
        self.time_embedding = nn.Sequential(
            Linear(config.freq_dim, config.dim), nn.SiLU(), Linear(config.dim, config.dim)
        )
        self.time_projection = nn.Sequential(nn.SiLU(), Linear(config.dim, 6 * config.dim))
        self.blocks = nn.ModuleList(Block(config, attention) for _ in range(config.layers))
        self.head = Head(config)

    def prompt_state(self, text: Tensor, lengths: Sequence[int] | None = None) -> PromptState:
        """text [B, T, text_dim], zero after each prompt's true length -> what the blocks need of it.

        All T positions are attended, padding included, as the model was trained. With `lengths`, the tokens of each
        prompt, its T - length equal rows of padding are folded into one row that counts as many: the same softmax over
        max(lengths) + 1 keys.
        """
        text, key_bias = text.to(self.patch_embedding.weight.dtype), None
        if lengths is not None and max(lengths) < text.shape[1]:
            text, key_bias = fold_padding(text, lengths)
        tokens = self.text_embedding(text)
        readers = [cast(Block, block).cross_attn for block in self.blocks]
        keys, values = zip(*(reader.keys_and_values(tokens) for reader in readers), strict=True)
        return PromptState(keys, values, key_bias)

    def shape_state(self, latent_shape: Sequence[int]) -> ShapeState:
        """The patch grid and rotations for latents [B, C, F, H, W]. ValueError: the patch does not divide the grid."""
        sizes, patch = tuple(latent_shape[-3:]), self.config.patch
        frames, rows, columns = (size // step for size, step in zip(sizes, patch, strict=True))
        if (frames * patch[0], rows * patch[1], columns * patch[2]) != sizes:
            raise ValueError(f"latent grid {sizes} does not divide into patches of {patch}")
        if max(frames, rows, columns) > ROPE_POSITIONS:
            raise ValueError(f"token grid {(frames, rows, columns)} exceeds {ROPE_POSITIONS} positions on an axis")
        grid = (frames, rows, columns)
        return ShapeState(grid, position_rotations(self.config, grid, self.patch_embedding.weight.device))

    def forward(
        self,
        latents: Tensor,
        timesteps: Tensor,
        prompt: PromptState,
        shape: ShapeState,
        first_frame_clean: bool = False,
    ) -> Tensor:
        """The velocity, float32 or the dtype of the weights, shaped as `latents` [B, C, F, H, W].

        timesteps [B] in [0, 1000]. With `first_frame_clean` the first latent frame is a given picture: its tokens are
        steered by timestep 0, all others by `timesteps`.
        """
        if first_frame_clean:
            distinct = torch.stack((torch.zeros_like(timesteps), timesteps), dim=1)
        else:
            distinct = timesteps[:, None]
        time = self.time_embedding(timestep_sinusoid(distinct, self.config.freq_dim))  # [B, 1 or 2, dim]
        steering = self.time_projection(time).unflatten(2, (6, -1))  # B G (6 dim) -> B G 6 dim
        if first_frame_clean:
            time, steering = (first_then_rest(rows, shape.grid[0]) for rows in (time, steering))

        x = self.patch_embedding(latents.to(self.patch_embedding.weight.dtype))
        for block, keys, values in zip(self.blocks, prompt.keys, prompt.values, strict=True):
            x = block(x, steering, shape.rotation, keys, values, prompt.key_bias)
        return unpatch(self.head(x, time), self.config.patch, shape.grid)

    def initialise(self, generator: torch.Generator) -> None:
        """Draw weights for training from scratch: Xavier matrices, small embeddings, and a head that starts at zero."""
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if name.endswith("modulation"):
                    parameter.normal_(0, self.config.dim**-0.5, generator=generator)
                elif name.endswith("bias") or name == "head.head.weight":
                    parameter.zero_()
                elif "norm" in name:
                    parameter.fill_(1)
                elif name.startswith(("text_embedding", "time_embedding")):
                    parameter.normal_(0, 0.02, generator=generator)
                else:
                    nn.init.xavier_uniform_(parameter.view(parameter.shape[0], -1), generator=generator)

    def checkpoint_names(self, layout: Literal["original", "diffusers"]) -> dict[str, str]:
        """{name in a checkpoint of that layout: name here} for every tensor; shapes are equal."""
        ours = [name for name, _ in self.named_parameters()]
        return {name if layout == "original" else diffusers_name(name): name for name in ours}


# Once per prompt, once per shape --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PromptState:
    """All that the blocks need of a prompt, constant over every step: keys and values of each cross-attention."""

    keys: tuple[Tensor, ...]  # one a block, [B, T, N, D]
    values: tuple[Tensor, ...]  # one a block, [B, T, N, D]
    key_bias: Tensor | None  # [B, 1, 1, T] where padding was folded into one token


@dataclass(frozen=True)
class ShapeState:
    """All that depends on the latent's shape alone: the patch grid and each token's rotation."""

    grid: tuple[int, int, int]  # frames, rows, columns of tokens
    rotation: Tensor  # complex [L, 1, D/2]


def fold_padding(text: Tensor, lengths: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Fold the rows of text [B, T, text_dim] after each prompt's length into one.

    Returns the rows kept, [B, max(lengths) + 1, text_dim], and the bias [B, 1, 1, max(lengths) + 1] by which the logits
    of a row that stands for many grow. ValueError: not one length a prompt.
    """
    if len(lengths) != text.shape[0]:
        raise ValueError(f"{len(lengths)} lengths do not fit text of shape {tuple(text.shape)}: one a prompt is needed")
    total, kept = text.shape[1], max(lengths) + 1
    position = torch.arange(kept, device=text.device)
    length = torch.tensor(lengths, device=text.device)[:, None]
    # A row after the true length is padding: the first of them stands for all, the others for none.
    bias = torch.where(position > length, -torch.inf, 0.0)
    bias = torch.where(position == length, (total - length).log(), bias)
    return text[:, :kept], bias[:, None, None, :].to(text.dtype)


def position_rotations(config: DenoiserConfig, grid: tuple[int, int, int], device: torch.device | str) -> Tensor:
    """The rotation of every token of the grid, complex64 [L, 1, D/2]; angles are computed in float64."""
    turns = []
    for axis, (positions, width) in enumerate(zip(grid, config.rope_widths, strict=True)):
        speeds = ROPE_THETA ** -(torch.arange(0, width, 2, dtype=torch.float64) / width)
        angles = torch.arange(positions, dtype=torch.float64)[:, None] * speeds  # [positions, width/2]
        along = [1, 1, 1, -1]
        along[axis] = positions
        turns.append(torch.polar(torch.ones_like(angles), angles).view(along).expand(*grid, -1))
    rotation = torch.cat(turns, dim=-1)  # [F, H, W, D/2]
    return rotation.flatten(0, 2).unsqueeze(1).to(torch.complex64).to(device)


# Timestep -------------------------------------------------------------------------------------------------------------


def timestep_sinusoid(timesteps: Tensor, width: int) -> Tensor:
    """timesteps [...] in [0, 1000] -> float32 [..., width], cosines first; computed in float64."""
    half = width // 2
    speeds = ROPE_THETA ** -(torch.arange(half, dtype=torch.float64, device=timesteps.device) / half)
    angles = timesteps.double()[..., None] * speeds
    return torch.cat((angles.cos(), angles.sin()), dim=-1).float()


def first_then_rest(rows: Tensor, frames: int) -> Tensor:
    """[B, 2, ...] -> [B, frames, ...]: the first row for the first frame, the second for the rest."""
    rest = rows[:, 1:].expand(-1, frames - 1, *rows.shape[2:])
    return torch.cat((rows[:, :1], rest), dim=1)


class Modulation(NamedTuple):
    """How a timestep steers one layer: norm(x) * (1 + scale) + shift goes in, gate * its output is added to x.

    Each [B, G, 1, dim], float32.
    """

    shift: Tensor
    scale: Tensor
    gate: Tensor


# Layers ---------------------------------------------------------------------------------------------------------------


class PatchEmbedding(nn.Conv3d):
    """Latent patches to tokens: [B, C, F, H, W] -> [B, L, dim]. Patches do not overlap, so it is one matrix product."""

    def forward(self, latents: Tensor) -> Tensor:
        frames, rows, columns = self.kernel_size
        patches = latents.unflatten(4, (-1, columns)).unflatten(3, (-1, rows)).unflatten(2, (-1, frames))
        patches = patches.permute(0, 2, 4, 6, 1, 3, 5, 7)  # B C F f H h W w -> B F H W C f h w
        return linear(patches.flatten(4).flatten(1, 3), self.weight.flatten(1), self.bias)


class Block(nn.Module):
    """Self-attention, prompt, feed-forward; first and last are steered by the timestep. [B, L, dim] -> [B, L, dim]"""

    def __init__(self, config: DenoiserConfig, attention: AttentionKernel) -> None:
        super().__init__()
        self.eps = config.eps
        self.modulation = nn.Parameter(torch.empty(1, 6, config.dim))
        self.self_attn = SelfAttention(config, attention)
        self.norm3 = nn.LayerNorm(config.dim, eps=config.eps)
        self.cross_attn = CrossAttention(config, attention)
        self.ffn = two_layers(config.dim, config.ffn_dim, config.dim)

    def forward(
        self, x: Tensor, steering: Tensor, rotation: Tensor, keys: Tensor, values: Tensor, key_bias: Tensor | None
    ) -> Tensor:
        """steering [B, G, 6, dim] float32: the timestep's share of shift, scale and gate, twice."""
        rows = (self.modulation + steering).unsqueeze(3).unbind(2)
        around_attention, around_ffn = Modulation(*rows[:3]), Modulation(*rows[3:])

        attended = self.self_attn(modulated_norm(x, around_attention.shift, around_attention.scale, self.eps), rotation)
        x = gated_add(x, attended, around_attention.gate)

        x = x + self.cross_attn(affine_norm(x, self.norm3), keys, values, key_bias)

        fed_forward = self.ffn(modulated_norm(x, around_ffn.shift, around_ffn.scale, self.eps))
        return gated_add(x, fed_forward, around_ffn.gate)


class Attention(nn.Module):
    """What both attentions of a block are made of. Queries and keys are normed over the full width, heads together."""

    def __init__(self, config: DenoiserConfig, attention: AttentionKernel) -> None:
        super().__init__()
        self.heads, self.attention = config.heads, attention
        self.q = Linear(config.dim, config.dim)
        self.k = Linear(config.dim, config.dim)
        self.v = Linear(config.dim, config.dim)
        self.o = Linear(config.dim, config.dim)
        self.norm_q = nn.RMSNorm(config.dim, eps=config.eps)
        self.norm_k = nn.RMSNorm(config.dim, eps=config.eps)

    def split(self, x: Tensor) -> Tensor:
        """B L (N D) -> B L N D"""
        heads: Tensor = x.unflatten(2, (self.heads, -1))
        return heads


class SelfAttention(Attention):
    """Every token attends to every token of the clip, positions rotated in. [B, L, dim] -> [B, L, dim]"""

    def forward(self, x: Tensor, rotation: Tensor) -> Tensor:
        queries = rotate(self.split(self.norm_q(self.q(x))), rotation)
        keys = rotate(self.split(self.norm_k(self.k(x))), rotation)
        attended: Tensor = self.o(self.attention(queries, keys, self.split(self.v(x))).flatten(2))
        return attended


class CrossAttention(Attention):
    """Every token reads the prompt, whose keys and values were made beforehand. [B, L, dim] -> [B, L, dim]"""

    def keys_and_values(self, text: Tensor) -> tuple[Tensor, Tensor]:
        """text [B, T, dim] -> keys and values, each [B, T, N, D]"""
        return self.split(self.norm_k(self.k(text))), self.split(self.v(text))

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, key_bias: Tensor | None) -> Tensor:
        queries = self.split(self.norm_q(self.q(x)))
        attended: Tensor = self.o(self.attention(queries, keys, values, key_bias).flatten(2))
        return attended


def two_layers(inner: int, hidden: int, outer: int) -> nn.Sequential:
    """Linear, GELU, linear, numbered as in the original checkpoint, where GELU is a layer of its own."""
    return nn.Sequential(OrderedDict({"0": LinearGELU(inner, hidden), "2": Linear(hidden, outer)}))


class Head(nn.Module):
    """Tokens back to latent channels of their patch: [B, L, dim] -> [B, L, f*h*w*C], channels innermost."""

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        self.eps = config.eps
        frames, rows, columns = config.patch
        self.modulation = nn.Parameter(torch.empty(1, 2, config.dim))
        self.head = Linear(config.dim, frames * rows * columns * config.out_channels)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """time [B, G, dim] float32: the timestep's embedding before its projection for the blocks."""
        shift, scale = (self.modulation + time.unsqueeze(2)).unsqueeze(3).unbind(2)
        tokens: Tensor = self.head(modulated_norm(x, shift, scale, self.eps))
        return tokens


def unpatch(tokens: Tensor, patch: tuple[int, int, int], grid: tuple[int, int, int]) -> Tensor:
    """[B, L, f*h*w*C] -> [B, C, F, H, W]"""
    patches: Tensor = tokens.unflatten(2, (*patch, -1)).unflatten(1, grid)
    patches = patches.permute(0, 7, 1, 4, 2, 5, 3, 6)  # B F H W f h w C -> B C F f H h W w
    return patches.flatten(6, 7).flatten(4, 5).flatten(2, 3)


def modulated_norm(x: Tensor, shift: Tensor, scale: Tensor, eps: float) -> Tensor:
    """norm(x) * (1 + scale) + shift, each of the G groups of tokens with its own row, in float32."""
    normed = F.layer_norm(x.float(), x.shape[-1:], eps=eps).unflatten(1, (shift.shape[1], -1))
    return torch.addcmul(shift, normed, 1 + scale).flatten(1, 2).type_as(x)


def gated_add(x: Tensor, update: Tensor, gate: Tensor) -> Tensor:
    """x + gate * update, each of the G groups of tokens with its own gate, in float32."""
    groups = (gate.shape[1], -1)
    summed = torch.addcmul(x.float().unflatten(1, groups), update.float().unflatten(1, groups), gate)
    return summed.flatten(1, 2).type_as(x)


def affine_norm(x: Tensor, norm: nn.LayerNorm) -> Tensor:
    """LayerNorm in the dtype of its weights, which stay float32."""
    return F.layer_norm(x.to(norm.weight.dtype), norm.normalized_shape, norm.weight, norm.bias, norm.eps).type_as(x)


# Names in checkpoints -------------------------------------------------------------------------------------------------


# The layers as the diffusers layout calls them; {n} counts the blocks. Mind that its norm2 is the original's norm3: the
# norm before cross-attention, the only one of a block's three with weights.
DIFFUSERS_NAMES = {
    "patch_embedding": "patch_embedding",
    "text_embedding.0": "condition_embedder.text_embedder.linear_1",
    "text_embedding.2": "condition_embedder.text_embedder.linear_2",
    "time_embedding.0": "condition_embedder.time_embedder.linear_1",
    "time_embedding.2": "condition_embedder.time_embedder.linear_2",
    "time_projection.1": "condition_embedder.time_proj",
    "blocks.{n}.modulation": "blocks.{n}.scale_shift_table",
    "blocks.{n}.norm3": "blocks.{n}.norm2",
    "blocks.{n}.self_attn.q": "blocks.{n}.attn1.to_q",
    "blocks.{n}.self_attn.k": "blocks.{n}.attn1.to_k",
    "blocks.{n}.self_attn.v": "blocks.{n}.attn1.to_v",
    "blocks.{n}.self_attn.o": "blocks.{n}.attn1.to_out.0",
    "blocks.{n}.self_attn.norm_q": "blocks.{n}.attn1.norm_q",
    "blocks.{n}.self_attn.norm_k": "blocks.{n}.attn1.norm_k",
    "blocks.{n}.cross_attn.q": "blocks.{n}.attn2.to_q",
    "blocks.{n}.cross_attn.k": "blocks.{n}.attn2.to_k",
    "blocks.{n}.cross_attn.v": "blocks.{n}.attn2.to_v",
    "blocks.{n}.cross_attn.o": "blocks.{n}.attn2.to_out.0",
    "blocks.{n}.cross_attn.norm_q": "blocks.{n}.attn2.norm_q",
    "blocks.{n}.cross_attn.norm_k": "blocks.{n}.attn2.norm_k",
    "blocks.{n}.ffn.0": "blocks.{n}.ffn.net.0.proj",
    "blocks.{n}.ffn.2": "blocks.{n}.ffn.net.2",
    "head.modulation": "scale_shift_table",
    "head.head": "proj_out",
}


def diffusers_name(name: str) -> str:
    """The diffusers layout's name of the tensor `name`."""
    block = re.match(r"blocks\.(\d+)\.", name)
    layer, kind = (name, "") if name.endswith("modulation") else (name[: name.rindex(".")], name[name.rindex(".") :])
    if block is None:
        return DIFFUSERS_NAMES[layer] + kind
    return DIFFUSERS_NAMES[layer.replace(block[0], "blocks.{n}.", 1)].format(n=block[1]) + kind
