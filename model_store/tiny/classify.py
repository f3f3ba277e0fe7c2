"""A small judge of kinds: a convolutional classifier of single frames, trained on drawn scenes and on nothing else."""

import dataclasses
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from model_store.tiny.clips import FRAMES, LARGE
from model_store.tiny.scenes import draw_scene, shade, trace
from model_store.tiny.shapes import KINDS

LOOKS = 4
FIRST_SEED = 50_000_000
"""Scenes of the judge are drawn from seeds of their own."""


class KindClassifier(nn.Sequential):
    """Frames [B, 3, H, W] in [-1, 1] -> one score a kind [B, kinds], in the order of `KINDS`."""

    def __init__(self) -> None:
        widths = (3, 16, 32, 64, 96, 128)
        layers: list[nn.Module] = []
        for narrow, wide in pairwise(widths):
            layers += [nn.Conv2d(narrow, wide, 3, stride=2, padding=1), nn.GroupNorm(8, wide), nn.SiLU()]
        super().__init__(*layers, nn.AdaptiveAvgPool2d((2, 3)), nn.Flatten(), nn.Linear(128 * 6, len(KINDS)))


def draw_frames(scenes: int, first_seed: int) -> tuple[Tensor, Tensor]:
    """Frames of `scenes` shapes, each at three moments and in `LOOKS` looks: uint8 [N, 3, H, W] and kinds [N]."""
    kinds = list(KINDS)
    frames, labels = [], []
    for index in range(scenes):
        seed = first_seed + 10 * index
        base = draw_scene(seed, kind=kinds[index % len(kinds)])
        moments = np.random.default_rng(seed).choice(FRAMES, 3, replace=False).tolist()
        geometry = trace(base, width=WIDTH, height=HEIGHT, frames=FRAMES, only=moments)
        for look in range(LOOKS):
            other = draw_scene(seed + 1 + look)
            scene = dataclasses.replace(
                base, colour=other.colour, rgb=other.rgb, material=other.material, background=other.background
            )
            frames.append(shade(scene, geometry).permute(0, 3, 1, 2))
            labels.append(torch.full((len(moments),), index % len(kinds)))
    return torch.cat(frames), torch.cat(labels)


def train_classifier(path: Path, *, scenes: int = 600, steps: int = 500, seed: int = 0) -> float:
    """Train the judge, store it, and return its accuracy on scenes that it has not seen."""
    torch.manual_seed(seed)
    frames, labels = draw_frames(scenes, FIRST_SEED)
    judge = KindClassifier()
    optimiser = torch.optim.AdamW(judge.parameters(), lr=2e-3, weight_decay=0.05)
    generator = torch.Generator().manual_seed(seed)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * min(1.0, (step + 1) / 50) * max(0.02, 1 - step / steps)
        index = torch.randint(len(frames), (48,), generator=generator)
        shift = torch.randint(-10, 11, (2,), generator=generator).tolist()
        pictures = torch.roll(frames[index].float() / 127.5 - 1, shift, (2, 3))
        # Models draw softer than the renderer does; the judge is to look at shape, not at sharpness.
        if step % 2:
            small = nn.functional.interpolate(pictures, scale_factor=0.5, mode="bilinear", antialias=True)
            pictures = nn.functional.interpolate(small, size=pictures.shape[2:], mode="bilinear")
        loss = nn.functional.cross_entropy(judge(pictures), labels[index], label_smoothing=0.05)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(judge.state_dict(), path)
    unseen, truth = draw_frames(68, FIRST_SEED + 10_000_000)
    return float((judge(unseen.float() / 127.5 - 1).argmax(-1) == truth).float().mean())


def load_classifier(path: Path) -> KindClassifier:
    """A stored judge."""
    judge = KindClassifier()
    judge.load_state_dict(load_file(path))
    return judge.eval()
