"""What a clip looks like, measured without a model: is it black, blank, frozen, flickering, cut, noisy, blurred, still?

Frames are looked at as they were drawn, before the mark, one at a time: of each only a few numbers are kept. Every
measurement has a function here that says what it measures; what counts as good is data, in `inspection.toml`.

A black frame is also blank, frozen and blurred, and a blank one is blurred and still. Such frames are judged by the
first word alone, so that the reasons name the defect and not its shadows.

Axes: H W picture, h w reduced picture. Luma is in [0, 255].
"""

import statistics
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, model_validator

from functions.render_video.encoding import Frame
from shared.errors import PermanentError
from shared.events import Inspection, Reason

Luma = NDArray[np.float32]

_SIDE = 96
"""Shortest side in pixels of the picture on which everything but noise and blur is measured."""
_SHARP_SIDE = 240
"""The same for blur: an edge that is soft on this picture looks soft to a viewer."""
_EDGE = 8
"""Pixels across which a picture's contrast is taken; also the side of the blocks for noise and motion."""
_EVERY = 3
"""Noise and blur, which cost most, are measured on each frame of this number; they do not change from one to the next."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Band(_Part):
    """How one measurement becomes a score: `worst` is 0, `best` is 1, linear in between; `threshold` is the least pass."""

    worst: float
    best: float
    threshold: Annotated[float, Field(ge=0, le=1)]

    @model_validator(mode="after")
    def _ends_differ(self) -> Self:
        if self.worst == self.best:
            raise ValueError(f"worst and best are both {self.best}; a score needs a distance between them")
        return self

    def score(self, measured: float) -> float:
        """In [0, 1]; 1 is flawless."""
        return float(np.clip((measured - self.worst) / (self.best - self.worst), 0, 1))


class FrameLimits(_Part):
    """When a single frame is called black or blank, and two are called the same."""

    black_level: float
    black_share: float
    blank_contrast: float
    still_change: float


class Profile(_Part):
    """A named and numbered set of thresholds."""

    name: str
    version: int
    frames: FrameLimits
    checks: dict[str, Band]

    @model_validator(mode="after")
    def _has_every_check(self) -> Self:
        if set(self.checks) != set(_MEASUREMENTS):
            raise ValueError(f"checks must be {', '.join(_MEASUREMENTS)}; got {', '.join(self.checks)}")
        return self

    @classmethod
    def load(cls) -> Self:
        """The profile that comes with this version."""
        text = resources.files("functions.render_video").joinpath("inspection.toml").read_text("utf-8")
        return cls.model_validate(tomllib.loads(text))


@dataclass
class _Notes:
    """What is kept of a clip: a few numbers a frame."""

    limits: FrameLimits
    fps: int
    black: list[bool] = field(default_factory=list)
    contrast: list[float] = field(default_factory=list)
    luma: list[float] = field(default_factory=list)
    change: list[float] = field(default_factory=list)
    """Mean absolute difference to the frame before; one entry less than there are frames."""
    same: list[bool] = field(default_factory=list)
    noise: list[float] = field(default_factory=list)
    sharpness: list[float] = field(default_factory=list)
    drift: float = 0.0
    judged_pairs: int = 0

    @property
    def frames(self) -> int:
        return len(self.black)


class Inspector:
    """Measures one clip: `add` every frame in order, then read `result` and `passed`."""

    def __init__(self, profile: Profile, fps: int) -> None:
        self._profile = profile
        self._notes = _Notes(profile.frames, fps)
        self._first: Luma | None = None
        self._last: Luma | None = None
        self._inspection: Inspection | None = None

    def add(self, frame: Frame) -> None:
        """Look at the next frame, (H, W, 3) uint8 in RGB, unmarked."""
        notes, limits = self._notes, self._profile.frames
        image = Image.fromarray(frame).convert("L")
        small = _reduced(image, _SIDE)
        black = float((small <= limits.black_level).mean()) >= limits.black_share
        contrast = _edge_contrast(small)
        shows = not black and contrast >= limits.blank_contrast
        if shows and notes.frames % _EVERY == 0:
            notes.noise.append(_noise(np.asarray(image)))
            notes.sharpness.append(_sharpness(_reduced(image, _SHARP_SIDE)))
        if self._last is not None:
            difference = np.abs(small - self._last)
            notes.change.append(float(difference.mean()))
            notes.same.append(shows and float(difference.max()) <= limits.still_change)
        if shows:
            centred = small - small.mean()
            if self._first is None:
                self._first = centred
            else:
                notes.judged_pairs += 1
                notes.drift = max(notes.drift, _drift(centred, self._first))
        notes.black.append(black)
        notes.contrast.append(contrast)
        notes.luma.append(float(small.mean()))
        self._last = small
        self._inspection = None

    def result(self) -> Inspection:
        """Scores of all checks, and a reason for each that failed. Without a frame: PermanentError (`invalid-frames`)."""
        if self._notes.frames == 0:
            raise PermanentError("inspection has seen no frame; look at what drew the clip", reason="invalid-frames")
        if self._inspection is None:
            measured = {name: measure(self._notes) for name, measure in _MEASUREMENTS.items()}
            scores = {name: self._profile.checks[name].score(value) for name, value in measured.items()}
            self._inspection = Inspection(
                profile=self._profile.name,
                profile_version=self._profile.version,
                scores={name: round(score, 4) for name, score in scores.items()},
                reasons=tuple(
                    Reason(code=name, message=_MESSAGES[name].format(measured[name]))
                    for name, score in scores.items()
                    if score < self._profile.checks[name].threshold
                ),
            )
        return self._inspection

    @property
    def passed(self) -> bool:
        """Whether every score reaches its threshold."""
        return not self.result().reasons

    @property
    def measured(self) -> Mapping[str, float]:
        """The measurements behind the scores, for calibration."""
        return {name: measure(self._notes) for name, measure in _MEASUREMENTS.items()}


def _black(notes: _Notes) -> float:
    """Share of frames that are black."""
    return statistics.fmean(notes.black)


def _blank(notes: _Notes) -> float:
    """Edge contrast of the tenth of the frames that shows least; black frames are not counted."""
    seen = sorted(contrast for contrast, black in zip(notes.contrast, notes.black, strict=True) if not black)
    return seen[len(seen) // 10] if seen else _FLAWLESS_HIGH


def _frozen(notes: _Notes) -> float:
    """Longest run of frames that equal the one before, as a share of the clip. Black and blank frames break it."""
    longest = run = 0
    for same in notes.same:
        run = run + 1 if same else 0
        longest = max(longest, run)
    return longest / len(notes.same) if notes.same else 0.0


def _flicker(notes: _Notes) -> float:
    """Mean absolute second difference of the mean luma: zero for a steady fade, large for what goes up and down."""
    luma = np.asarray(notes.luma)
    return float(np.abs(np.diff(luma, 2)).mean()) if len(luma) > 2 else 0.0


def _scene_cut(notes: _Notes) -> float:
    """The largest change between two frames, relative to the median of the five changes around it.

    A cut stands alone; fast motion and flicker have neighbours like themselves. The constant keeps the ratio of two
    tiny changes small.
    """
    change = np.asarray(notes.change)
    if len(change) < 3:
        return 0.0
    around = np.lib.stride_tricks.sliding_window_view(np.pad(change, 2, mode="reflect"), 5)
    usual = np.median(around, axis=1)
    return float(((change - usual) / (usual + _LEAST_CHANGE)).max())


def _noisy(notes: _Notes) -> float:
    """Noise of the clip's middle frame, by noise."""
    return statistics.median(notes.noise) if notes.noise else 0.0


def _sharp(notes: _Notes) -> float:
    """Edge steepness of the clip's middle frame, by steepness."""
    return statistics.median(notes.sharpness) if notes.sharpness else _FLAWLESS_HIGH


def _motion(notes: _Notes) -> float:
    """How far the picture ever gets from its first; not judged where the clip is frozen whole, or a single frame."""
    frozen = all(notes.same) and len(notes.same) > 0
    return _FLAWLESS_HIGH if frozen or notes.judged_pairs == 0 else notes.drift


_FLAWLESS_HIGH = 1e9
"""Stands for a measurement that could not be made, where high is good."""

_LEAST_CHANGE = 2.0
"""Luma: the mean change between frames that motion of a product makes anyway."""

_MEASUREMENTS = {
    "black": _black,
    "blank": _blank,
    "frozen": _frozen,
    "flicker": _flicker,
    "scene_cut": _scene_cut,
    "noise": _noisy,
    "blur": _sharp,
    "motion": _motion,
}

_MESSAGES = {
    "black": "{:.0%} of the frames are black.",
    "blank": "The picture is blank: its strongest edge is {:.1f} steps of 255.",
    "frozen": "The picture stands still for {:.0%} of the clip.",
    "flicker": "The brightness flickers by {:.1f} steps of 255 from frame to frame.",
    "scene_cut": "There is a cut inside the clip: one change is {:.1f} times what is usual around it.",
    "noise": "The picture is covered with noise, {:.1f} steps of 255 strong.",
    "blur": "The picture is blurred: the steepest edges rise by {:.0%} of their height a pixel.",
    "motion": "Nothing moves: no part of the picture changes by more than {:.1f} steps of 255.",
}


def _reduced(image: Image.Image, side: int) -> Luma:
    """Luma (h, w) of the picture, averaged over whole pixels until its shortest side is about `side`."""
    factor = max(1, min(image.size) // side)
    return np.asarray(image.reduce(factor) if factor > 1 else image, np.float32)


def _edge_contrast(luma: Luma) -> float:
    """Luma step across eight pixels that only half a percent of the picture exceeds. A plain gradient has nearly none."""
    return _top_half_percent(luma, _EDGE)


def _sharpness(luma: Luma) -> float:
    """Step across one pixel as a share of the step across eight, for the strongest edges: 1 is a step, 1/8 a ramp."""
    return _top_half_percent(luma, 1) / max(_top_half_percent(luma, _EDGE), 1.0)


def _top_half_percent(luma: Luma, distance: int) -> float:
    across = np.abs(luma[:, distance:] - luma[:, :-distance])
    down = np.abs(luma[distance:] - luma[:-distance])
    steps = np.concatenate((across.ravel(), down.ravel()))
    rank = steps.size - 1 - steps.size // 200
    return float(np.partition(steps, rank)[rank])


def _noise(luma: NDArray[np.uint8]) -> float:
    """Standard deviation of the noise, after Immerkær (1996), in the quietest quarter of the picture's blocks.

    The filter answers to what is neither flat nor a straight edge; texture answers too, but covers the product, not
    the background, whereas noise is everywhere.
    """
    height, width = luma.shape
    strip = max(_EDGE + 2, height // 24)
    strips = luma[: height // strip * strip].reshape(-1, strip, width)[:, : _EDGE + 2].astype(np.int16)
    across = strips[:, :, :-2] - 2 * strips[:, :, 1:-1] + strips[:, :, 2:]
    answer = np.abs(across[:, :-2] - 2 * across[:, 1:-1] + across[:, 2:])
    columns = answer.shape[2] // _EDGE
    blocks = answer[:, :, : columns * _EDGE].reshape(-1, _EDGE, columns, _EDGE).mean(axis=(1, 3), dtype=np.float32)
    return float(np.quantile(blocks, 0.25)) * float(np.sqrt(np.pi / 2)) / 6


def _drift(luma: Luma, first: Luma) -> float:
    """Mean luma change of the twentieth of 8 x 8 blocks that changed most between two pictures of equal brightness."""
    h, w = (length // _EDGE for length in luma.shape)
    change = (luma - first)[: h * _EDGE, : w * _EDGE].reshape(h, _EDGE, w, _EDGE).mean(axis=(1, 3))
    ranked = np.sort(np.abs(change), axis=None)
    return float(ranked[-max(1, ranked.size // 20) :].mean())
