"""Clips drawn for the tests, uint8 [F, H, W, 3]: good ones as a product film looks, and ways to spoil them."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Clip = NDArray[np.uint8]

SIZES = ((128, 96), (256, 192), (640, 480))
"""Width and height: the bundled model's two, and the full model's."""


def turntable(width: int, height: int, frames: int = 24, *, turn: float = 1.5, backdrop: int = 235) -> Clip:
    """A shaded, striped can that turns by `turn` radians before a plain backdrop."""
    y, x = np.mgrid[:height, :width]
    u = (x - width / 2) / (0.22 * width)
    inside = (np.abs(u) < 1) & (np.abs(y - height / 2) < 0.33 * height)
    across = np.arcsin(np.clip(u, -1, 1))
    return np.stack([_can(backdrop, inside, across + turn * index / (frames - 1), u) for index in range(frames)])


def _can(backdrop: int, inside: NDArray[np.bool_], angle: NDArray[np.float64], u: NDArray[np.float64]) -> Clip:
    picture = np.full((*inside.shape, 3), float(backdrop))
    stripe = np.where(np.sin(3 * angle) > 0.3, 1.0, 0.45)
    light = (0.35 + 0.65 * np.sqrt(1 - np.clip(u, -1, 1) ** 2)) * stripe
    picture[inside] = light[inside][:, None] * np.array([60.0, 120.0, 220.0])
    return picture.astype(np.uint8)


def white_on_white(width: int, height: int, frames: int = 24) -> Clip:
    """A white card that slides over a white table: as little contrast as a studio shot may have."""
    clip = np.full((frames, height, width, 3), 246, np.uint8)
    for index in range(frames):
        left = width // 4 + index * width // 100
        clip[index, height // 4 : 3 * height // 4, left : left + width // 3] = 222
    return clip


def black_on_black(width: int, height: int, frames: int = 24) -> Clip:
    """A dark thing in a dark room with one moving rim of light."""
    clip = np.full((frames, height, width, 3), 12, np.uint8)
    for index in range(frames):
        left = width // 3 + index * width // 100
        clip[index, height // 5 : 4 * height // 5, left : left + width // 3] = 34
        clip[index, height // 5 : 4 * height // 5, left : left + width // 16] = 190
    return clip


def woven(width: int, height: int, frames: int = 24) -> Clip:
    """Coarse cloth that fills the picture and is drawn past the camera."""
    y, x = np.mgrid[:height, :width]
    fold = 30 * np.sin(x / width * 7) + 25 * np.sin(y / height * 5)
    thread = [18 * np.sign(np.sin((x + 2 * index) * 1.1) * np.sin(y * 1.1)) for index in range(frames)]
    clip = [150 + np.roll(fold, -2 * index, axis=1) + thread[index] for index in range(frames)]
    return np.repeat(np.stack(clip)[..., None], 3, axis=3).clip(0, 255).astype(np.uint8)


def brightened(clip: Clip, steps: NDArray[np.int_]) -> Clip:
    """Each frame brighter by its step."""
    return (clip.astype(np.int16) + steps[:, None, None, None]).clip(0, 255).astype(np.uint8)


def alternating(clip: Clip, step: int) -> Clip:
    """Every second frame brighter, the others darker."""
    return brightened(clip, np.resize([step, -step], len(clip)))


def noisy(clip: Clip, deviation: float) -> Clip:
    """Each pixel brighter or darker by its own, new in each frame."""
    noise = np.random.default_rng(7).standard_normal((*clip.shape[:3], 1), np.float32)
    return (clip + deviation * noise).clip(0, 255).astype(np.uint8)


def blurred(clip: Clip, share: float) -> Clip:
    """Out of focus, by a share of the shortest side."""
    radius = share * min(clip.shape[1:3])
    return np.stack([np.asarray(Image.fromarray(frame).filter(ImageFilter.GaussianBlur(radius))) for frame in clip])


def grain(width: int, height: int, frames: int = 24, *, radius: float) -> Clip:
    """What a model that has learnt nothing draws: blots, new in each frame."""
    noise = np.random.default_rng(3).integers(0, 256, (frames, height, width, 3), dtype=np.uint8)
    blots = np.stack([np.asarray(Image.fromarray(one).filter(ImageFilter.GaussianBlur(radius))) for one in noise])
    return ((blots - blots.mean()) / blots.std() * 50 + 128).clip(0, 255).astype(np.uint8)


def each(clip: Clip) -> Iterator[Clip]:
    """The frames, one at a time, all in one buffer: whoever keeps one without a copy sees it change."""
    buffer = np.empty_like(clip[0])
    for frame in clip:
        buffer[:] = frame
        yield buffer
