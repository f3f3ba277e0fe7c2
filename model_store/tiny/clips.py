"""The training clips on disk: drawn once, in groups that share a shape, so that many cheap pictures cost one bake.

Group g holds one product shape in every motion, each motion traced once and shaded `SHADES` times with other colours,
materials and backgrounds. A group is a pure function of its number, and a file: `<g>.npy`, uint8 [clip, F, H, W, 3].
"""

import dataclasses
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from model_store.tiny.scenes import MOTIONS, Scene, draw_scene, shade, trace, with_look
from model_store.tiny.shapes import KINDS

Size = tuple[int, int]
"""Width and height in pixels."""

LARGE: Size = (256, 192)
"""Of the clips that the model makes."""

SMALL: Size = (192, 128)
"""Of the clips that the autoencoder learns on: half the pixels of a large clip."""

FRAMES, FPS = 25, 12
SHADES = 2


def group_scenes(group: int) -> list[list[Scene]]:
    """The scenes of a group: one list a motion, whose members differ only in colour, material and background."""
    kinds = list(KINDS)
    kind = kinds[group % len(kinds)]
    shape = draw_scene(group * 100, kind=kind)
    motions = []
    for index, motion in enumerate(MOTIONS):
        traced = dataclasses.replace(
            draw_scene(group * 100 + index, kind=kind, motion=motion), proportions=shape.proportions
        )
        looks = [draw_scene(group * 100 + 10 + SHADES * index + number) for number in range(SHADES)]
        motions.append([with_look(traced, look) for look in looks])
    return motions


def draw_group(group: int, folder: Path) -> None:
    """Draw a group unless it is there. The file gets its name in one step."""
    target = folder / f"{group:07d}.npy"
    if target.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    clips = []
    for looks in group_scenes(group):
        geometry = trace(looks[0], width=SMALL[0], height=SMALL[1], frames=FRAMES, only=range(FRAMES))
        clips += [shade(scene, geometry).numpy() for scene in looks]
    unfinished = target.with_suffix(".part.npy")
    np.save(unfinished, np.stack(clips))
    unfinished.replace(target)


def as_signed(pixels: np.ndarray) -> Tensor:
    """uint8 [F, H, W, 3] -> float32 [3, F, H, W] in [-1, 1]."""
    writable = np.array(pixels)  # one from disk is not
    return torch.from_numpy(writable).permute(3, 0, 1, 2).float() / 127.5 - 1.0
