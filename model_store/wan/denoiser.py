"""The denoiser of Wan2.2-TI2V-5B: a transformer that predicts the flow velocity of a noisy video latent.

Read top to bottom: the model, what is computed once per prompt and once per shape, the layers. Its sizes are in
architectures.

Axes
    B batch          F, H, W latent frames, rows, columns       C latent channels
    L video tokens (frames x rows x columns of the patch grid)  T text tokens
    S timesteps that differ: 1, or 2 where the first frame is given and clean
    G timestep groups: 1 where all frames share a timestep, else the number of latent frames
    `dim` channels of the residual stream, split into N heads of D channels

Sources: Wan, arXiv 2503.20314; adaLN, arXiv 2212.09748; rotary positions, arXiv 2104.09864. Tensor names are those of
the original checkpoint; `names` beside a layer says what the other public layout calls its parts.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model_store.wan.architectures import DenoiserConfig
from model_store.wan.attention import AttentionKernel, rotate, scaled_dot_product
from model_store.wan.axes import permute
from model_store.wan.linear import Linear, LinearGELU, fastest
from model_store.wan.names import Names

ROPE_THETA = 10_000.0
ROPE_POSITIONS = 1024  # per axis: the longest clip and largest picture the model can address


# The model ------------------------------------------------------------------------------------------------------------


class Denoiser(nn.Module):
    """Predicts the flow velocity (noise minus clean latent) at a timestep, given a prompt.

    state = denoiser.prompt_state(text)          # once per prompt
    shape = denoiser.shape_state(latents.shape)  # once per shape
    velocity = denoiser(latents, timesteps, state, shape)

    Gradients flow through all of it, `prompt_state` included: the same class trains and renders.
    """

    names: ClassVar[Names] = {
        "diffusers": {
            "text_embedding.0": "condition_embedder.text_embedder.linear_1",
            "text_embedding.2": "condition_embedder.text_embedder.linear_2",
            "time_embedding.0": "condition_embedder.time_embedder.linear_1",
            "time_embedding.2": "condition_embedder.time_embedder.linear_2",
            "time_projection.1": "condition_embedder.time_proj",
            "head.modulation": "scale_shift_table",
            "head.head": "proj_out",
        }
    }

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

    def shape_state(self, latent_shape: Sequence[int], first_frame_given: bool = False) -> ShapeState:
        """The patch grid, rotations and timestep groups for latents [B, C, F, H, W].

        With `first_frame_given` the first latent frame is a picture: its tokens are steered by timestep 0, all others
        by the step's. ValueError: the patch does not divide the grid.
        """
        sizes, patch = tuple(latent_shape[-3:]), self.config.patch
        frames, rows, columns = (size // step for size, step in zip(sizes, patch, strict=True))
        if (frames * patch[0], rows * patch[1], columns * patch[2]) != sizes:
            raise ValueError(f"latent grid {sizes} does not divide into patches of {patch}")
        if max(frames, rows, columns) > ROPE_POSITIONS:
            raise ValueError(f"token grid {(frames, rows, columns)} exceeds {ROPE_POSITIONS} positions on an axis")
        grid, device = (frames, rows, columns), self.patch_embedding.weight.device
        shares, group = ((0.0, 1.0), [0] + [1] * (frames - 1)) if first_frame_given else ((1.0,), [0])
        return ShapeState(
            grid,
            position_rotations(self.config, grid, device),
            torch.tensor(shares, device=device),
            torch.tensor(group, device=device),
        )

    def forward(self, latents: Tensor, timesteps: Tensor, prompt: PromptState, shape: ShapeState) -> Tensor:
        """The velocity, float32 or the dtype of the weights, shaped as `latents` [B, C, F, H, W].

        timesteps [B] in [0, 1000].
        """
        distinct = timesteps[:, None] * shape.timestep_shares  # [B, S]
        time = self.time_embedding(timestep_sinusoid(distinct, self.config.freq_dim))  # [B, S, dim]
        steering = self.time_projection(time).unflatten(2, (6, -1))  # B S (6 dim) -> B S 6 dim
        time, steering = time[:, shape.timestep_of_group], steering[:, shape.timestep_of_group]  # [B, G, ...]

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
    timestep_shares: Tensor  # [S], of the step's timestep: 1, or 0 and 1
    timestep_of_group: Tensor  # [G], indices of these


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
        patches = permute(patches, "B C F f H h W w -> B F H W C f h w")
        return fastest(patches.flatten(4).flatten(1, 3), self.weight.flatten(1), self.bias)


class Block(nn.Module):
    """Self-attention, prompt, feed-forward; first and last are steered by the timestep. [B, L, dim] -> [B, L, dim]"""

    # Mind that its norm2 is the original's norm3: the norm before the prompt, the only one of three with weights.
    names: ClassVar[Names] = {
        "diffusers": {
            "modulation": "scale_shift_table",
            "norm3": "norm2",
            "self_attn": "attn1",
            "cross_attn": "attn2",
            "ffn.0": "ffn.net.0.proj",
            "ffn.2": "ffn.net.2",
        }
    }

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

    names: ClassVar[Names] = {"diffusers": {"q": "to_q", "k": "to_k", "v": "to_v", "o": "to_out.0"}}

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
    patches = permute(patches, "B F H W f h w C -> B C F f H h W w")
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
