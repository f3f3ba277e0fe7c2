"""Teach the denoiser: flow matching on latents under captions, pictures first, clips more and more.

A noisy latent is x = (1 - sigma) clean + sigma noise, and the denoiser predicts noise - clean at timestep 1000 sigma. A
share of the clips keeps its first latent frame clean, as image to video will; a share of the captions is taken away,
for guidance. The loop is in `training`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import UMT5Config, UMT5EncoderModel

from model_store.tiny.captions import NEGATIVE_PROMPT, spoken
from model_store.tiny.latents import LatentClip, read_latents
from model_store.tiny.train_text import load_words, tokenise
from model_store.tiny.train_vae import Z_DIM
from model_store.tiny.training import Budget, Run
from model_store.wan.architectures import DenoiserConfig
from model_store.wan.denoiser import Block, Denoiser
from model_store.wan.precision import cast_denoiser

TEXT_LEN = 512


def denoiser_config() -> DenoiserConfig:
    """The tiny denoiser: 4.6 million parameters."""
    return DenoiserConfig(
        dim=192,
        ffn_dim=576,
        heads=6,
        layers=8,
        in_channels=Z_DIM,
        out_channels=Z_DIM,
        patch=(1, 2, 2),
        text_dim=128,
        text_len=TEXT_LEN,
        freq_dim=256,
        eps=1e-6,
    )


TEXT_FIELDS: Final[dict[str, Any]] = {
    "d_model": 128,
    "d_kv": 32,
    "d_ff": 256,
    "num_layers": 2,
    "num_heads": 4,
    "dropout_rate": 0.0,
    "feed_forward_proj": "gated-gelu",
    "relative_attention_num_buckets": 32,
    "relative_attention_max_distance": 128,
    "layer_norm_epsilon": 1e-6,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "is_encoder_decoder": False,
    "use_cache": False,
}
"""The tiny text encoder but for its vocabulary: two layers of UMT5, 0.7 million parameters."""


def text_config(vocabulary: int) -> UMT5Config:
    """The tiny text encoder, for a vocabulary of so many tokens."""
    return UMT5Config(vocab_size=vocabulary, **TEXT_FIELDS)


def plain_attention(queries: Tensor, keys: Tensor, values: Tensor, key_bias: Tensor | None = None) -> Tensor:
    """Attention as two products and a softmax: on a CPU the gradient of PyTorch's own kernel takes half of a step."""
    q, k, v = (x.transpose(1, 2) for x in (queries, keys, values))
    logits = (q * q.shape[-1] ** -0.5) @ k.transpose(2, 3)
    if key_bias is not None:
        logits = logits + key_bias
    return (torch.softmax(logits, -1) @ v).transpose(1, 2)


class Learner(nn.Module):
    """The denoiser, which learns, and the text encoder that it reads."""

    def __init__(self, vocabulary: int, words: Mapping[str, Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.denoiser = Denoiser(denoiser_config(), plain_attention)
        self.denoiser.initialise(torch.Generator().manual_seed(0))
        set_padding_aside(self.denoiser, torch.Generator().manual_seed(0))
        self.text_encoder = UMT5EncoderModel(text_config(vocabulary))
        load_words(self.text_encoder, words)
        cast_denoiser(self.denoiser, torch.bfloat16)
        for parameter in self.text_encoder.parameters():
            parameter.data = parameter.data.to(torch.bfloat16)
            parameter.requires_grad_(False)  # it has learnt its words already, and would forget them here

    def forward(
        self, latents: Tensor, timesteps: Tensor, tokens: Tensor, lengths: list[int], first_frame_clean: bool
    ) -> Tensor:
        position = torch.arange(tokens.shape[1], device=tokens.device)
        mask = position[None] < torch.tensor(lengths, device=tokens.device)[:, None]
        text = self.text_encoder(input_ids=tokens, attention_mask=mask.long()).last_hidden_state * mask[..., None]
        padded = nn.functional.pad(text, (0, 0, 0, TEXT_LEN - text.shape[1]))
        prompt = self.denoiser.prompt_state(padded, lengths)
        shape = self.denoiser.shape_state(latents.shape, first_frame_clean)
        velocity: Tensor = self.denoiser(latents, timesteps, prompt, shape)
        return velocity


ASIDE, SHARPER = 1.5, 2.0
"""How far queries start on the side away from padding, and how much sharper they are, which makes up for it."""


@torch.no_grad()
def set_padding_aside(denoiser: Denoiser, generator: torch.Generator) -> None:
    """Start cross-attention so that it reads words, not padding.

    A prompt is padded to `TEXT_LEN` tokens, all of them attended, and a caption has ten: from an even start, 98 % of
    all attention goes to padding, and the more the shorter the caption. Padding is zero and its key is the key bias;
    queries start with a bias away from that.
    """
    for block in denoiser.blocks:
        reader = cast(Block, block).cross_attn
        side = torch.randint(2, reader.k.bias.shape, generator=generator).float() * 2 - 1
        reader.k.bias.copy_(0.03 * side)
        reader.q.bias.copy_(-ASIDE * side)
        reader.norm_q.weight.fill_(SHARPER)


@dataclass(frozen=True)
class Batches:
    """How many pictures or clips make a batch, and which share of the batches is clips, at first and at last."""

    pictures: int
    clips: int
    moving: tuple[float, float]


def train_denoiser(
    latents_folder: Path,
    folder: Path,
    tokenizer: Tokenizer,
    mean: Tensor,
    std: Tensor,
    budget: Budget,
    batches: Batches,
    words: Mapping[str, Tensor],
    *,
    device: str,
    start: Mapping[str, Tensor] | None = None,
) -> None:
    """Train, or continue, in `folder`, from nothing or from an earlier run's average.

    `words` is the taught text encoder, which stays as it is.
    """
    learner = Learner(tokenizer.get_vocab_size(), words)
    if start is not None:
        learner.denoiser.load_state_dict(start)
    learner = learner.to(device)
    mean, std = mean.to(device), std.to(device)
    run = Run(folder, learner.denoiser, budget, ("pictures", "clips"), report_every=200)
    stills = read_latents(latents_folder)  # every clip has a first frame
    clips = [clip for clip in stills if clip.latents.shape[1] > 1]
    while run.goes_on():
        generator = np.random.default_rng((0, run.step))
        first, last = batches.moving
        moving = bool(clips) and bool(generator.random() < first + (last - first) * run.progress)
        source, count = (clips, batches.clips) if moving else (stills, batches.pictures)
        chosen = [source[index] for index in generator.integers(len(source), size=count)]
        length = clips[0].latents.shape[1] if moving else 1
        clean = (torch.stack([clip.latents[:, :length] for clip in chosen]).to(device).float() - mean) / std
        given = moving and bool(generator.random() < 0.2)
        sigma = torch.from_numpy(draw_sigmas(len(chosen), generator)).float().to(device)
        noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(run.step)).to(device)
        level = sigma.view(-1, 1, 1, 1, 1)
        noisy = (1 - level) * clean + level * noise
        if given:
            noisy[:, :, 0] = clean[:, :, 0]
        tokens, lengths = tokenise(tokenizer, draw_captions(chosen, generator))
        velocity = learner(noisy, 1000 * sigma, tokens.to(device), lengths, given).float()
        error = velocity - (noise - clean)
        loss, logged = velocity_loss(error[:, :, 1:] if given else error)
        loss.backward()
        run.descend("clips" if moving else "pictures", logged.item())


def velocity_loss(error: Tensor) -> tuple[Tensor, Tensor]:
    """What is minimised, and the plain mean square in it, of an error [B, C, F, H, W].

    Colour is the coarse part of a latent and a small part of its mean square, so the means of patches of 4 x 4 latents
    count on their own, a frame and over the whole clip, and so do their changes from frame to frame, which show as
    steps in brightness where only the light moves. The best velocity stays the same.
    """
    plain = error.square().mean()
    patches = nn.functional.avg_pool3d(error, (1, 4, 4))
    lasting = patches.square().mean() + patches.mean(2).square().mean()
    changing = patches.diff(dim=2).square().sum() / patches.numel()  # a picture has none
    return plain + 2 * lasting + 3 * changing, plain.detach()


def draw_sigmas(count: int, generator: np.random.Generator) -> np.ndarray:
    """Noise levels: a third logit-normal, the rest crowded towards pure noise.

    A product's colour fills many latents, so it shows through all but the strongest noise. Only there does the caption
    decide anything, and only there are its words learnt.
    """
    logits = generator.normal(0.4, 1.2, count)
    even = generator.random(count)
    return np.where(generator.random(count) < 0.65, 8 * even / (1 + 7 * even), 1 / (1 + np.exp(-logits)))


def draw_captions(clips: list[LatentClip], generator: np.random.Generator) -> list[str]:
    """One caption a clip; in one case of ten none: the empty or the default negative prompt, which mean the same.

    A batch has either short captions or long ones where it can, so that few tokens are padding.
    """
    long = generator.random() < 0.6
    captions = []
    for clip in clips:
        chance = generator.random()
        if chance < 0.1:
            captions.append(NEGATIVE_PROMPT if long and chance < 0.06 else "")
        elif clip.written and long:
            captions.append(str(generator.choice(clip.written)))
        else:
            captions.append(spoken(clip.scene, str(generator.choice(("zh", "en"))), generator))
    return captions
