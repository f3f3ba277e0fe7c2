"""A small judge of kind and colour: a convolutional classifier of single frames, trained on drawn scenes alone."""

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from model_store.tiny.clips import FRAMES
from model_store.tiny.scenes import COLOURS, draw_scene, shade, trace, with_look
from model_store.tiny.shapes import KINDS

SIZE = (128, 96)
"""Width and height of what the judge looks at; pictures of any size are cropped and scaled to it."""

MOMENTS, LOOKS = 6, 6
STEPS = 1200
FIRST_SEED = 50_000_000
"""Scenes of the judge are drawn from seeds of their own."""


class Judge(nn.Module):
    """Frames [B, 3, H, W] in [-1, 1] -> scores of kinds [B, kinds] and colours [B, colours], as `KINDS`, `COLOURS`."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for narrow, wide in pairwise((3, 24, 48, 64, 96)):
            layers += [nn.Conv2d(narrow, wide, 3, stride=2, padding=1), nn.GroupNorm(8, wide), nn.SiLU()]
        self.trunk = nn.Sequential(*layers, nn.Conv2d(96, 96, 3, padding=1), nn.SiLU())
        self.kind = nn.Sequential(nn.AdaptiveAvgPool2d((3, 4)), nn.Flatten(), nn.Linear(96 * 12, len(KINDS)))
        self.colour = nn.Sequential(nn.AdaptiveAvgPool2d((3, 4)), nn.Flatten(), nn.Linear(96 * 12, len(COLOURS)))

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        seen = self.trunk(at_judged_size(frames))
        return self.kind(seen), self.colour(seen)


def at_judged_size(frames: Tensor) -> Tensor:
    """The middle of frames [B, 3, H, W] at the judge's size: scenes show as much upwards at any width."""
    height, width = frames.shape[2:]
    if (width, height) == SIZE:
        return frames
    kept = min(width, round(height * SIZE[0] / SIZE[1]))
    left = (width - kept) // 2
    middle = frames[..., left : left + kept]
    return nn.functional.interpolate(middle, (SIZE[1], SIZE[0]), mode="bilinear", antialias=True)


def draw_frames(scenes: int, first_seed: int) -> tuple[Tensor, Tensor]:
    """Frames of `scenes` shapes, each at some moments and in some looks: uint8 [N, 3, H, W]; kind and colour [N, 2]."""
    kinds, colours = list(KINDS), list(COLOURS)
    frames, labels = [], []
    for index in range(scenes):
        seed = first_seed + 20 * index
        base = draw_scene(seed, kind=kinds[index % len(kinds)])
        moments = np.random.default_rng(seed).choice(FRAMES, MOMENTS, replace=False).tolist()
        geometry = trace(base, width=SIZE[0], height=SIZE[1], frames=FRAMES, only=moments)
        for look in range(LOOKS):
            scene = with_look(base, draw_scene(seed + 1 + look))
            frames.append(shade(scene, geometry).permute(0, 3, 1, 2))
            labels += [[index % len(kinds), colours.index(scene.colour)]] * len(moments)
    return torch.cat(frames), torch.tensor(labels)


def train_judge() -> tuple[Judge, dict[str, float]]:
    """Train the judge; with it, its accuracies on scenes that it has not seen."""
    torch.manual_seed(0)
    frames, labels = draw_frames(340, FIRST_SEED)
    judge = Judge()
    optimiser = torch.optim.AdamW(judge.parameters(), lr=2e-3, weight_decay=0.05)
    generator = torch.Generator().manual_seed(0)
    for step in range(STEPS):
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * min(1.0, (step + 1) / 50) * max(0.02, 1 - step / STEPS)
        index = torch.randint(len(frames), (48,), generator=generator)
        shift = torch.randint(-5, 6, (2,), generator=generator).tolist()
        pictures = torch.roll(frames[index].float() / 127.5 - 1, shift, (2, 3))
        # Models draw softer than the renderer does; the judge is to look at shape and colour, not at sharpness.
        if step % 2:
            small = nn.functional.interpolate(pictures, scale_factor=0.5, mode="bilinear", antialias=True)
            pictures = nn.functional.interpolate(small, size=pictures.shape[2:], mode="bilinear")
        truth = labels[index]
        loss = torch.stack(
            [
                nn.functional.cross_entropy(scores, truth[:, which], label_smoothing=0.05)
                for which, scores in enumerate(judge(pictures))
            ]
        ).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    judge.eval()
    unseen, truth = draw_frames(51, FIRST_SEED + 10_000_000)
    with torch.inference_mode():
        right = [
            (scores.argmax(-1) == truth[:, which]) for which, scores in enumerate(judge(unseen.float() / 127.5 - 1))
        ]
    kind, colour = (round(float(hits.float().mean()), 3) for hits in right)
    return judge, {"kind": kind, "colour": colour}
