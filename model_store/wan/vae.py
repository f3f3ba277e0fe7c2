"""The video autoencoder of Wan2.2-TI2V-5B: 4 frames of 16 x 16 pixels become one latent vector, and back.

Read top to bottom: the model, encoder, decoder, the blocks of both, what is remembered of a clip.
Everything is causal in time, so a clip is coded in chunks of a few frames and memory does not grow with its length.

Axes
    B batch          F frames          H, W rows, columns
    C channels       z latent channels
    Activations are written [B, C, F, H, W] but lie in memory with channels innermost (`torch.channels_last_3d`): a norm
    over channels reads neighbours, and no convolution reorders its input.

A clip has 4n+1 frames: the first is coded alone, as a picture, each later latent frame stands for four. (Four is what
the full model has; `VAEConfig.frames_per_latent` rules.)

Precision: encode in float32, decode in float32 or bfloat16. Norms and the latents' mean and deviation are computed in
float32 whatever the weights are.

Sources: Wan, arXiv 2503.20314, section 4.1; level shortcuts: DC-AE, arXiv 2410.10733.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise, product
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model_store.wan.architectures import NO_FOLD, Folds, VAEConfig
from model_store.wan.axes import permute
from model_store.wan.convolution import Conv3d
from model_store.wan.names import Names

TINY = 1e-12  # the smallest length a norm divides by


# The model ----------------------------------------------------------------------------------------------------------


class VAE(nn.Module):
    """Frames to latents and back.

    latents = vae.encode(frames)
    for chunk in vae.decode(latents): ...  # frames as they come

    Whether gradients are kept is the caller's choice, and to be the same for a whole clip: render under
    `torch.inference_mode()`, train without. Latents are normalised: mean 0, deviation 1 over the training set.
    """

    names: ClassVar[Names] = {
        "original": {"to_moments": "conv1", "from_latents": "conv2"},
        "diffusers": {"to_moments": "quant_conv", "from_latents": "post_quant_conv"},
    }

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.to_moments = Conv3d(2 * config.z_dim, 2 * config.z_dim, 1)
        self.from_latents = Conv3d(config.z_dim, config.z_dim, 1)
        self.decoder = Decoder(config)

    def encode(self, frames: Tensor, latents_per_chunk: int = 1) -> Tensor:
        """frames [B, 3, F, H, W] in [-1, 1] -> normalised latents, their mean, float32 [B, z, (F-1)/4+1, H/16, W/16].

        ValueError: F is not 4n+1, or a side is not a multiple of 16.
        """
        mean, _ = self.encode_moments(frames, latents_per_chunk)
        return self.normalise(mean)

    def encode_moments(self, frames: Tensor, latents_per_chunk: int = 1) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the latents before they are normalised, each [B, z, (F-1)/4+1, H/16, W/16].

        frames [B, 3, F, H, W] in [-1, 1]. ValueError as for `encode`.
        """
        self._check_frames(frames)
        history = FrameHistory()
        moments = []
        for chunk in in_chunks(frames, latents_per_chunk * self.config.frames_per_latent):
            patches = stack_patches(chunk.to(self.to_moments.weight.dtype), self.config.patch_size)
            moments.append(self.to_moments(self.encoder(patches, history)))
        mean, log_variance = torch.cat(moments, dim=2).chunk(2, dim=1)
        return mean, log_variance

    def decode(self, latents: Tensor, latents_per_chunk: int = 1) -> Iterator[Tensor]:
        """Normalised latents [B, z, F', H, W] -> frames [B, 3, f, 16H, 16W] in [-1, 1], in the dtype of the weights.

        Yields 1 frame for the first latent frame, then 4 for each later one, `latents_per_chunk` of them at a time.
        Larger chunks keep a large device busier and take more memory; the frames are the same. Memory does not grow
        with the clip. The caller may keep or change what was yielded.
        """
        history = FrameHistory()
        for chunk in in_chunks(latents, latents_per_chunk):
            z = self.denormalise(chunk).to(self.from_latents.weight.dtype, memory_format=torch.channels_last_3d)
            patches = self.decoder(self.from_latents(z), history)
            yield unstack_patches(patches, self.config.patch_size).clamp(-1, 1)

    def decode_all(self, latents: Tensor, latents_per_chunk: int = 1) -> Tensor:
        """The whole clip at once, [B, 3, 4(F'-1)+1, 16H, 16W], for training and for short clips."""
        return torch.cat(list(self.decode(latents, latents_per_chunk)), dim=2)

    def normalise(self, z: Tensor) -> Tensor:
        """(z - mean) / deviation of each latent channel, float32."""
        mean, deviation = self._statistics(z.device)
        return (z.float() - mean) / deviation

    def denormalise(self, latents: Tensor) -> Tensor:
        """latents * deviation + mean of each latent channel, float32."""
        mean, deviation = self._statistics(latents.device)
        return latents.float() * deviation + mean

    def _statistics(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Mean and deviation of the latents, each [1, z, 1, 1, 1]."""
        mean, deviation = torch.tensor((self.config.latents_mean, self.config.latents_std), device=device)
        return mean.view(1, -1, 1, 1, 1), deviation.view(1, -1, 1, 1, 1)

    def _check_frames(self, frames: Tensor) -> None:
        count, rows, columns = frames.shape[2:]
        step, side = self.config.frames_per_latent, self.config.pixels_per_latent
        if count % step != 1 % step or rows % side or columns % side:
            raise ValueError(
                f"{count} frames of {columns}x{rows} cannot be encoded: this VAE codes {step}n+1 frames, with sides "
                f"that are multiples of {side}"
            )

    def innermost_channels_(self) -> VAE:
        """Lay the weights out as the activations are, so that no kernel reorders them; in place, values unchanged."""
        for parameter in self.parameters():
            if parameter.dim() == 5:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last_3d)
            elif parameter.dim() == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        return self


def in_chunks(clip: Tensor, length: int) -> Iterator[Tensor]:
    """[B, C, F, H, W] -> its first frame, then chunks of at most `length` frames."""
    yield clip[:, :, :1]
    if clip.shape[2] > 1:
        yield from clip[:, :, 1:].split(length, dim=2)


def stack_patches(frames: Tensor, size: int) -> Tensor:
    """[B, c, F, H*q, W*r] -> [B, (c r q), F, H, W] with q = r = size; the column within the patch before the row."""
    pixels = split_positions(frames, (1, size, size)).squeeze(3)  # B c F H q W r
    return permute(pixels, "B c F H q W r -> B F H W c r q").flatten(4).movedim(4, 1)


def unstack_patches(patches: Tensor, size: int) -> Tensor:
    """[B, (c r q), F, H, W] -> [B, c, F, H*q, W*r], the reverse of `stack_patches`."""
    pixels = permute(patches.unflatten(1, (-1, size, size)), "B c r q F H W -> B F H q W r c")
    return pixels.flatten(4, 5).flatten(2, 3).movedim(4, 1)


# Encoder ------------------------------------------------------------------------------------------------------------


class Encoder(nn.Module):
    """Patches of a chunk of frames to the moments of its latents: [B, 3*p*p, F, H, W] -> [B, 2z, F', H/8, W/8].

    The chunk is the clip's first frame, F' = 1, or a multiple of `frames_per_latent` later ones.
    """

    names: ClassVar[Names] = {
        "original": {"conv_in": "conv1", "levels": "downsamples", "norm_out": "head.0", "conv_out": "head.2"},
        "diffusers": {"levels": "down_blocks", "middle": "mid_block"},
    }

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        widths = [config.base_dim * multiple for multiple in (1, *config.dim_mult)]
        self.conv_in = CausalConv3d(config.patch_channels, widths[0])
        self.levels = nn.ModuleList(
            DownLevel(narrow, wide, config.num_res_blocks, folds)
            for (narrow, wide), folds in zip(pairwise(widths), (*config.halvings, NO_FOLD), strict=True)
        )
        self.middle = Middle(widths[-1])
        self.norm_out = RMSNorm(widths[-1], axes=3)
        self.conv_out = CausalConv3d(widths[-1], 2 * config.z_dim)

    def forward(self, x: Tensor, history: FrameHistory) -> Tensor:
        x = self.conv_in(x, history)
        for level in self.levels:
            x = level(x, history)
        x = self.middle(x, history)
        moments: Tensor = self.conv_out(x, history, self.norm_out)
        return moments


class DownLevel(nn.Module):
    """Residual blocks, then a halving unless this is the coarsest level, around a shortcut without parameters.

    [B, C, F, H, W] -> [B, C', F/f, H/h, W/w] with folds (f, h, w).
    """

    def __init__(self, in_channels: int, out_channels: int, blocks: int, folds: Folds) -> None:
        super().__init__()
        self.channels, self.folds = out_channels, folds
        self.blocks = res_blocks(in_channels, out_channels, blocks)
        self.resample = None if folds == NO_FOLD else Down(out_channels, in_time=folds[0] == 2)
        self.names: Names = {
            "original": {"blocks": "downsamples", "resample": f"downsamples.{blocks}"},
            "diffusers": {"blocks": "resnets", "resample": "downsampler"},
        }

    def forward(self, x: Tensor, history: FrameHistory) -> Tensor:
        shortcut = fold(x, self.folds, self.channels)
        for block in self.blocks:
            x = block(x, history)
        if self.resample is not None:
            x = self.resample(x, history)
        return x + shortcut


class Down(nn.Module):
    """Halves rows and columns, and with `in_time` the frames: [B, C, F, H, W] -> [B, C, F/2, H/2, W/2].

    The first frame of a clip stays single: it passes the time convolution by.
    """

    names: ClassVar[Names] = {"original": {"conv": "resample.1"}, "diffusers": {"conv": "resample.1"}}

    def __init__(self, channels: int, in_time: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)
        self.time_conv = Conv3d(channels, channels, (3, 1, 1), stride=(2, 1, 1)) if in_time else None

    def forward(self, x: Tensor, history: FrameHistory) -> Tensor:
        x = as_clip(self.conv(F.pad(as_pictures(x), (0, 1, 0, 1))), batch=x.shape[0])
        if self.time_conv is None:
            return x
        past = history.recall(self)
        seen = x if past is None else torch.cat((past, x), dim=2)
        history.keep(self, seen, 1)
        halved: Tensor = seen if past is None else self.time_conv(seen)
        return halved


def fold(x: Tensor, folds: Folds, channels: int) -> Tensor:
    """Fold neighbouring positions into channels: [B, C, F, H, W] -> [B, channels, F/f, H/h, W/w] with folds (f, h, w).

    A channel's f*h*w positions become as many channels, and equal runs of these are averaged to `channels`. A first
    frame, which has no other to be folded with, is folded with zeros before it.
    """
    x = split_positions(F.pad(x, (0, 0, 0, 0, -x.shape[2] % folds[0], 0)), folds)
    x = permute(x, "B C F f H h W w -> B F H W C f h w").flatten(4)
    runs: Tensor = x.unflatten(4, (channels, -1))
    return runs.mean(5).movedim(4, 1)


# Decoder ------------------------------------------------------------------------------------------------------------


class Decoder(nn.Module):
    """A chunk of latents to patches of its frames: [B, z, F', H, W] -> [B, 3*p*p, F, 8H, 8W].

    The chunk is the clip's first latent frame, F = 1, or any number of later ones, F = frames_per_latent * F'.
    """

    names: ClassVar[Names] = {
        "original": {"conv_in": "conv1", "levels": "upsamples", "norm_out": "head.0", "conv_out": "head.2"},
        "diffusers": {"levels": "up_blocks", "middle": "mid_block"},
    }

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        widths = [config.decoder_base_dim * multiple for multiple in (config.dim_mult[-1], *config.dim_mult[::-1])]
        self.conv_in = CausalConv3d(config.z_dim, widths[0])
        self.middle = Middle(widths[0])
        self.levels = nn.ModuleList(
            UpLevel(wide, narrow, config.num_res_blocks + 1, folds)
            for (wide, narrow), folds in zip(pairwise(widths), (*config.halvings[::-1], NO_FOLD), strict=True)
        )
        self.norm_out = RMSNorm(widths[-1], axes=3)
        self.conv_out = CausalConv3d(widths[-1], config.patch_channels)

    def forward(self, z: Tensor, history: FrameHistory) -> Tensor:
        x = self.conv_in(z, history)
        x = self.middle(x, history)
        for level in self.levels:
            x = level(x, history)
        patches: Tensor = self.conv_out(x, history, self.norm_out)
        return patches


class UpLevel(nn.Module):
    """Residual blocks, then a doubling around a shortcut without parameters; the finest level has blocks alone.

    [B, C, F, H, W] -> [B, C', F*f, H*h, W*w] with folds (f, h, w).
    """

    def __init__(self, in_channels: int, out_channels: int, blocks: int, folds: Folds) -> None:
        super().__init__()
        self.folds = folds
        self.blocks = res_blocks(in_channels, out_channels, blocks)
        self.resample = None if folds == NO_FOLD else Up(out_channels, in_time=folds[0] == 2)
        self.names: Names = {
            "original": {"blocks": "upsamples", "resample": f"upsamples.{blocks}"},
            "diffusers": {"blocks": "resnets", "resample": "upsampler"},
        }

    def forward(self, x: Tensor, history: FrameHistory) -> Tensor:
        entered = x
        for block in self.blocks:
            x = block(x, history)
        if self.resample is None:
            return x
        doubled: Tensor = self.resample(x, history)
        copies = doubled.shape[2] // x.shape[2]  # of each frame; 1 at the clip's first
        places = split_positions(doubled, (copies, *self.folds[1:]))
        places += unfold(entered, self.folds, doubled.shape[1])[:, :, :, -copies:]
        return doubled


class Up(nn.Module):
    """Doubles rows and columns, and with `in_time` the frames: [B, C, F, H, W] -> [B, C, 2F, 2H, 2W].

    The first frame of a clip stays single, and the frames after it do not see it in time.
    """

    names: ClassVar[Names] = {"original": {"conv": "resample.1"}, "diffusers": {"conv": "resample.1"}}

    def __init__(self, channels: int, in_time: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.time_conv = CausalConv3d(channels, 2 * channels, (3, 1, 1)) if in_time else None

    def forward(self, x: Tensor, history: FrameHistory) -> Tensor:
        if self.time_conv is not None and history.recall(self.time_conv) is None:
            history.keep(self.time_conv, torch.zeros_like(x), self.time_conv.past_frames)
        elif self.time_conv is not None:
            pairs = self.time_conv(x, history).unflatten(1, (2, -1))  # B (f C) F H W -> B f C F H W
            x = permute(pairs, "B f C F H W -> B F f H W C").flatten(1, 2).movedim(4, 1)  # -> B C (F f) H W
        return as_clip(double_sides(as_pictures(x), self.conv), batch=x.shape[0])


def double_sides(pictures: Tensor, conv: nn.Conv2d) -> Tensor:
    """Nearest-neighbour doubling of rows and columns, then a 3x3 convolution: [B, C, H, W] -> [B, C, 2H, 2W].

    Of the doubled rows an even one sees (above, itself, itself), an odd one (itself, itself, below); columns are alike.
    So four 2x2 convolutions over the pictures as they are, one for each parity, do the same with 4/9 of the work, and
    nothing is of the doubled size but the result.
    """
    batch, channels, rows, columns = pictures.shape
    doubled = pictures.new_empty((batch, 2 * rows, 2 * columns, channels)).movedim(3, 1)
    pixels = doubled.unflatten(3, (columns, 2)).unflatten(2, (rows, 2))
    for row, column in product((0, 1), (0, 1)):
        taps = taps_of_parity(taps_of_parity(conv.weight, row, axis=2), column, axis=3)
        seen = F.conv2d(pictures, taps, conv.bias, padding=1)
        pixels[:, :, :, row, :, column] = seen[:, :, row : row + rows, column : column + columns]
    return doubled


def taps_of_parity(weight: Tensor, parity: int, axis: int) -> Tensor:
    """Three taps over doubled positions, as two over single ones, for the even (0) or the odd (1) of the doubled."""
    before, here, after = weight.unbind(axis)
    return torch.stack((before + here, after) if parity else (before, here + after), axis)


def unfold(x: Tensor, folds: Folds, channels: int) -> Tensor:
    """The reverse of `fold`, with copies for averages: [B, C, F, H, W] -> [B, channels, F, f, H, h, W, w].

    A view: where all positions along an axis are copies, that axis has size 1, to be broadcast.
    """
    distinct = x.shape[1] // channels  # of the f*h*w positions; the outer axes' differ first
    frames = min(distinct, folds[0])
    rows = min(distinct // frames, folds[1])
    split: Tensor = x.unflatten(1, (channels, frames, rows, -1))
    return permute(split, "B C f h w F H W -> B C F f H h W w")


def split_positions(x: Tensor, folds: Folds) -> Tensor:
    """[B, C, F*f, H*h, W*w] -> [B, C, F, f, H, h, W, w]; a view."""
    split: Tensor = x.unflatten(4, (-1, folds[2])).unflatten(3, (-1, folds[1])).unflatten(2, (-1, folds[0]))
    return split


# Blocks of both -----------------------------------------------------------------------------------------------------


class Middle(nn.Module):
    """The coarsest level's middle: residual block, attention, residual block."""

    names: ClassVar[Names] = {
        "original": {"before": "0", "attention": "1", "after": "2"},
        "diffusers": {"before": "resnets.0", "attention": "attentions.0", "after": "resnets.1"},
    }

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.before = ResBlock(channels, channels)
        self.attention = FrameAttention(channels)
        self.after = ResBlock(channels, channels)

    def forward(self, x: Tensor, history: FrameHistory) -> Tensor:
        x = self.before(x, history)
        x = self.attention(x)
        out: Tensor = self.after(x, history)
        return out


def res_blocks(in_channels: int, out_channels: int, count: int) -> nn.ModuleList:
    """The residual blocks of a level; the first one changes the width."""
    return nn.ModuleList(ResBlock(in_channels if index == 0 else out_channels, out_channels) for index in range(count))


class ResBlock(nn.Module):
    """Two causal convolutions, each after norm and SiLU, and a shortcut: [B, C, F, H, W] -> [B, C', F, H, W]."""

    names: ClassVar[Names] = {
        "original": {"norm1": "residual.0", "conv1": "residual.2", "norm2": "residual.3", "conv2": "residual.6"},
        "diffusers": {"shortcut": "conv_shortcut"},
    }

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.norm1 = RMSNorm(in_channels, axes=3)
        self.conv1 = CausalConv3d(in_channels, out_channels)
        self.norm2 = RMSNorm(out_channels, axes=3)
        self.conv2 = CausalConv3d(out_channels, out_channels)
        self.shortcut = nn.Identity() if in_channels == out_channels else Conv3d(in_channels, out_channels, 1)

    def forward(self, x: Tensor, history: FrameHistory) -> Tensor:
        h: Tensor = self.conv1(x, history, self.norm1)
        h = self.conv2(h, history, self.norm2)
        return h.add_(self.shortcut(x))


class FrameAttention(nn.Module):
    """Each position attends to all positions of its own frame, in one head as wide as the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = RMSNorm(channels, axes=2)
        self.to_qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.proj = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        frames = as_pictures(x)
        qkv = self.to_qkv(self.norm(frames)).flatten(2).transpose(1, 2)  # BF C H W -> BF (H W) C
        queries, keys, values = qkv.unsqueeze(1).chunk(3, dim=-1)
        mixed = F.scaled_dot_product_attention(queries, keys, values)  # BF 1 (H W) C
        mixed = mixed.squeeze(1).transpose(1, 2).unflatten(2, frames.shape[2:])
        return x + as_clip(self.proj(mixed), batch=x.shape[0])


class RMSNorm(nn.Module):
    """Scales each position's channels to unit mean square, then by gamma: sqrt(C) * x / ||x|| * gamma."""

    def __init__(self, channels: int, axes: int) -> None:
        """`axes` behind the channel axis: 3 for a clip, 2 for pictures. gamma is stored with as many ones."""
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels, *[1] * axes))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale(x) * self.gamma

    def scale(self, x: Tensor) -> Tensor:
        """sqrt(C) / ||x|| of each position, [B, 1, ...]; the sum of squares in float32."""
        length: Tensor = torch.linalg.vector_norm(x, dim=1, keepdim=True, dtype=torch.float32)
        return length.clamp(min=TINY).reciprocal().mul(x.shape[1] ** 0.5).to(x.dtype)


def as_pictures(clip: Tensor) -> Tensor:
    """[B, C, F, H, W] -> [B*F, C, H, W]; a view, as channels lie innermost."""
    return clip.transpose(1, 2).flatten(0, 1)


def as_clip(pictures: Tensor, batch: int) -> Tensor:
    """[B*F, C, H, W] -> [B, C, F, H, W]"""
    frames: Tensor = pictures.unflatten(0, (batch, -1))
    return frames.transpose(1, 2)


# Causality, and what is remembered of a clip ------------------------------------------------------------------------


class CausalConv3d(Conv3d):
    """A convolution over frames, rows and columns that sees each frame and those before it, never one after.

    [B, C, F, H, W] -> [B, C', F, H, W]. The frames before the chunk come from the history.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: tuple[int, int, int] = (3, 3, 3)) -> None:
        super().__init__(in_channels, out_channels, kernel, padding=(0, kernel[1] // 2, kernel[2] // 2))
        self.past_frames = kernel[0] - 1

    # A causal convolution needs the past as well, which torch's has no argument for.
    def forward(self, x: Tensor, history: FrameHistory, norm: RMSNorm | None = None) -> Tensor:  # type: ignore[override]
        """With `norm` the input is SiLU(norm(x))."""
        past, weight = history.recall(self), self.weight
        if past is None:  # the first frame: all taps but the last would meet zeros
            past, weight = x[:, :, :0], weight[:, :, -1:]
        seen = joined(past, x, norm)
        history.keep(self, seen, self.past_frames)
        return self._conv_forward(seen, weight, self.bias)


def joined(past: Tensor, x: Tensor, norm: RMSNorm | None) -> Tensor:
    """The past frames, then x, or SiLU(norm(x)) where there is a norm: [B, C, past + F, H, W].

    Written in place, as fresh memory costs a CPU more than the arithmetic on it.
    """
    if norm is None:
        return torch.cat((past, x), dim=2)
    batch, channels, frames, rows, columns = x.shape
    count = past.shape[2]
    both = x.new_empty((batch, count + frames, rows, columns, channels)).movedim(4, 1)
    both[:, :, :count] = past
    now = both[:, :, count:]
    F.silu(now.copy_(x).mul_(norm.scale(x)).mul_(norm.gamma), inplace=True)
    return both


class FrameHistory:
    """The last input frames of every causal layer, for one clip in one direction.

    A layer that has not seen the clip yet recalls None: it is at the first frame, which is always a chunk of its own.
    """

    def __init__(self) -> None:
        self._frames: dict[nn.Module, Tensor] = {}

    def recall(self, layer: nn.Module) -> Tensor | None:
        """The frames that `layer` kept of the chunk before, [B, C, count, H, W], or None at the first frame."""
        return self._frames.get(layer)

    def keep(self, layer: nn.Module, seen: Tensor, count: int) -> None:
        """Remember the last `count` frames that `layer` has seen, with zeros before them where there are fewer.

        Without gradients they are written over what `recall` returned, which must have been used by then.
        """
        last = seen[:, :, -count:]
        kept = self._frames.get(layer)
        if kept is None or torch.is_grad_enabled():
            missing = count - last.shape[2]
            self._frames[layer] = F.pad(last, (0, 0, 0, 0, missing, 0)) if missing else last.clone()
        else:
            kept.copy_(last)
