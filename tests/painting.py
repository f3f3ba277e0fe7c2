"""A stand-in for the engine: draws what a test says, in milliseconds, through the real studio."""

from collections.abc import Callable, Generator

import numpy as np
from numpy.typing import NDArray

from functions.render_video.inspection import Profile
from functions.render_video.labels import Labeller
from functions.render_video.studio import Studio
from model_store.manifest import Manifest
from model_store.sampling import SamplerConfig
from shared.drawing import ClipNumbers, ClipSpec

WIDTH, HEIGHT, FRAMES, FPS = 128, 96, 13, 12
MANIFEST = Manifest(
    name="painted",
    version="1",
    architecture="wan2.2-ti2v",
    quantisation="none",
    licence="Apache-2.0",
    sampler=SamplerConfig(kind="unipc"),
    defaults=ClipNumbers(width=WIDTH, height=HEIGHT, frames=FRAMES, fps=FPS, steps=2, guidance=1.0),
    files=(),
)

Frame = NDArray[np.uint8]
Paint = Callable[[int, int], Frame]
"""Seed and frame index -> frame."""


def moving_disc(seed: int, index: int) -> Frame:
    """A disc that crosses the picture, in a colour of the seed's own."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    disc = (rows - 48) ** 2 + (columns - 30 - 5 * index) ** 2 < 22**2
    frame = np.full((HEIGHT, WIDTH, 3), 200, np.uint8)
    frame[disc] = (190, 30 + seed % 64, 30)
    return frame


def noise(seed: int, index: int) -> Frame:
    """A frame of noise: no inspection may pass it."""
    return np.random.default_rng(seed % 1000 * 1000 + index).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


class Painter:
    """What a studio needs of an engine. Remembers what it was asked for."""

    def __init__(self, paint: Paint = moving_disc) -> None:
        self.paint = paint
        self.specs: list[ClipSpec] = []
        self.closed = False

    def generate(
        self, spec: ClipSpec, on_step: Callable[[int, int], None] | None = None
    ) -> Generator[Frame, None, None]:
        """Frames by `paint`, none before it is asked for."""
        self.specs.append(spec)
        return (self.paint(spec.seed, index) for index in range(spec.frames))

    def close(self) -> None:
        """Note it."""
        self.closed = True


def studio(painter: Painter) -> Studio:
    """The real studio around a painter."""
    return Studio(painter, Profile.load(), Labeller("cn", "skureel"))
