"""What a clip looks like, measured without a model: is it black, blank, frozen, flickering, cut, noisy, boiling,
blurred, still?

Frames are looked at as they were drawn, before the mark, one at a time: of each only a few numbers are kept. Every
measurement has a function here that says what it measures; what counts as good is data, in `inspection.toml`.

A black frame is also blank, frozen and blurred, and a blank one is blurred and still. Such frames are judged by the
first word alone, so that the reasons name the defect and not its shadows.

No measurement is NaN or infinite: a division by zero is an error, and a check that ends in any error has failed. Its
clip is drawn again or goes to a person, who reads why; a clip that could be drawn is never lost to a look at it.

Axes: H W picture, h w reduced picture. Luma is in [0, 255].
"""

import logging
import math
import statistics
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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

log = logging.getLogger(__name__)

Luma = NDArray[np.float32]

_SIDE = 96
"""Shortest side in pixels of the picture on which everything but noise and blur is measured."""
_SHARP_SIDE = 240
"""The same for blur: an edge that is soft on this picture looks soft to a viewer."""
_EDGE = 8
"""Pixels across which a picture's contrast is taken; also the side of the blocks for noise and motion."""
_SMALLEST_SIDE = _EDGE + 2
"""Pixels; in a smaller picture no block is left to look for noise in."""
_LOOKS_A_SECOND = 8
"""How often noise and blur are measured, which cost most; neighbouring frames are alike in both."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Band(_Part):
    """How one measurement becomes a score: `worst` is 0, `best` is 1, linear in between; `threshold` passes."""

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

    frames: int = 0
    black: list[bool] = field(default_factory=list)
    contrast: list[float] = field(default_factory=list)
    luma: list[float] = field(default_factory=list)
    change: list[float] = field(default_factory=list)
    """Mean absolute difference to the frame before; one entry less than there are frames."""
    upheaval: list[float] = field(default_factory=list)
    """Change of the picture less its brightness, as a share of its own spread; of frames that show something."""
    same: list[bool] = field(default_factory=list)
    """Whether a frame still shows what the run of equal frames before it began with; as long as `change`."""
    noise: list[float] = field(default_factory=list)
    sharpness: list[float] = field(default_factory=list)
    drift: float = 0.0
    """Largest change since the first frame that shows something."""


class Inspector:
    """Measures one clip: `add` every frame in order, then read `result` and `passed`."""

    def __init__(self, profile: Profile, fps: int) -> None:
        self._profile = profile
        self._every = max(1, round(fps / _LOOKS_A_SECOND))
        self._notes = _Notes()
        self._failures: dict[str, str] = {}
        self._first: Luma | None = None
        self._held: Luma
        self._last: Luma | None = None

    def add(self, frame: Frame) -> None:
        """Look at the next frame, (H, W, 3) uint8 in RGB, unmarked."""
        self._notes.frames += 1
        with self._failing(*_MEASUREMENTS):
            self._add(frame)

    def _add(self, frame: Frame) -> None:
        if min(frame.shape[:2]) < _SMALLEST_SIDE:
            raise ValueError(f"a picture of {frame.shape[1]}x{frame.shape[0]} is too small to be judged")
        image = Image.fromarray(frame).convert("L")
        luma = _reduced(image, _SIDE)
        shows = self._look(image, luma)
        if self._last is None:
            self._held = luma
        else:
            self._compare(luma, self._last, shows)
        if shows and self._first is None:
            self._first = _blocks(luma)
        self._last = luma

    def _look(self, image: Image.Image, luma: Luma) -> bool:
        """Note what one frame shows by itself; tells whether it shows anything."""
        notes, limits = self._notes, self._profile.frames
        black = float((luma <= limits.black_level).mean()) >= limits.black_share
        contrast = _edge_contrast(luma)
        shows = not black and contrast >= limits.blank_contrast
        if shows and (notes.frames - 1) % self._every == 0:
            with self._failing("noise"):
                notes.noise.append(_noise(np.asarray(image)))
            with self._failing("blur"):
                notes.sharpness.append(_sharpness(_reduced(image, _SHARP_SIDE)))
        notes.black.append(black)
        notes.contrast.append(contrast)
        notes.luma.append(float(luma.mean()))
        return shows

    def _compare(self, luma: Luma, before: Luma, shows: bool) -> None:
        """Note what has changed since the frame before, since the standstill began, and since the first frame."""
        notes = self._notes
        notes.change.append(float(np.abs(luma - before).mean()))
        # Held against the picture that the standstill began with: slow motion adds up, a standstill does not.
        held = shows and float(np.abs(luma - self._held).max()) <= self._profile.frames.still_change
        notes.same.append(held)
        if not held:
            self._held = luma
        if shows and self._first is not None:
            with self._failing("boiling", "motion"):
                blocks = _blocks(luma)
                notes.upheaval.append(_upheaval(blocks, _blocks(before)))
                notes.drift = max(notes.drift, _drift(blocks, self._first))

    @contextmanager
    def _failing(self, *checks: str) -> Iterator[None]:
        """Whatever goes wrong inside fails these checks, and nothing else; a division by zero is wrong."""
        try:
            with np.errstate(divide="raise", invalid="raise"):
                yield
        except Exception as error:
            failed = [check for check in checks if check not in self._failures]
            if failed:
                log.exception("inspection: %s cannot be judged at frame %d", ", ".join(failed), self._notes.frames - 1)
            self._failures |= dict.fromkeys(failed, f"{type(error).__name__}: {error}")

    def result(self) -> Inspection:
        """All scores, and a reason for each that is too low. Without a frame: PermanentError (`invalid-frames`)."""
        if self._notes.frames == 0:
            raise PermanentError("inspection has seen no frame; look at what drew the clip", reason="invalid-frames")
        measured = self.measured
        scores = dict.fromkeys(_MEASUREMENTS, 0.0)
        scores |= {name: self._profile.checks[name].score(value) for name, value in measured.items()}
        return Inspection(
            profile=self._profile.name,
            profile_version=self._profile.version,
            scores={name: round(score, 4) for name, score in scores.items()},
            reasons=tuple(
                Reason(code=name, message=self._reason(name, measured))
                for name, score in scores.items()
                if name not in measured or score < self._profile.checks[name].threshold
            ),
        )

    def _reason(self, name: str, measured: Mapping[str, float]) -> str:
        if name in measured:
            return _MESSAGES[name].format(measured[name])
        return f"The check for {name} failed, so that a person has to look: {self._failures[name]}."

    @property
    def passed(self) -> bool:
        """Whether every score reaches its threshold."""
        return not self.result().reasons

    @property
    def measured(self) -> Mapping[str, float]:
        """The measurements behind the scores, for calibration, without those that failed."""
        values: dict[str, float] = {}
        for name, measure in _MEASUREMENTS.items():
            if name not in self._failures:
                with self._failing(name):
                    values[name] = _finite(measure(self._notes))
        return values


def _finite(measured: float) -> float:
    if not math.isfinite(measured):
        raise ArithmeticError(f"it was measured as {measured}")
    return measured


def _black(notes: _Notes) -> float:
    """Share of frames that are black."""
    return statistics.fmean(notes.black)


def _blank(notes: _Notes) -> float:
    """Edge contrast of the tenth of the frames that shows least; black frames are not counted."""
    seen = sorted(contrast for contrast, black in zip(notes.contrast, notes.black, strict=True) if not black)
    return seen[len(seen) // 10] if seen else _FLAWLESS_HIGH


def _frozen(notes: _Notes) -> float:
    """Longest run of frames with one unchanged picture, as a share of the clip. Black and blank frames break it."""
    longest = run = 0
    for same in notes.same:
        run = run + 1 if same else 0
        longest = max(longest, run)
    return longest / len(notes.same) if notes.same else 0.0


def _flicker(notes: _Notes) -> float:
    """Mean absolute second difference of the mean luma: zero for a steady fade, large for what goes up and down.

    The few largest are left out: they are a cut or a flash, which have a word of their own.
    """
    bends = np.sort(np.abs(np.diff(notes.luma, 2)))
    usual = bends[: len(bends) - min(_BENDS_OF_A_FLASH, len(bends) // 5)]
    return float(usual.mean()) if usual.size else 0.0


def _scene_cut(notes: _Notes) -> float:
    """The largest change between two frames, relative to the median of the seven changes around it.

    A cut stands alone; fast motion and flicker have neighbours like themselves. The constant keeps the ratio of two
    tiny changes small.
    """
    change = np.asarray(notes.change)
    if len(change) < 4:
        return 0.0
    around = np.lib.stride_tricks.sliding_window_view(np.pad(change, 3, mode="reflect"), 7)
    usual = np.median(around, axis=1)
    return float(((change - usual) / (usual + _LEAST_CHANGE)).max())


def _noisy(notes: _Notes) -> float:
    """Noise of the clip's middle frame, by noise."""
    return statistics.median(notes.noise) if notes.noise else 0.0


def _boiling(notes: _Notes) -> float:
    """Change from frame to frame as a share of the picture's own spread, in the clip's middle pair by that share.

    A product keeps most of its picture; frames that have nothing to do with each other come near 1.4, the square root
    of two. It finds what noise of a coarse grain is, which looks sharp, steady and lively to every other check.
    """
    return statistics.median(notes.upheaval) if notes.upheaval else 0.0


def _sharp(notes: _Notes) -> float:
    """Sharpness of the clip's middle frame, by sharpness."""
    return statistics.median(notes.sharpness) if notes.sharpness else _FLAWLESS_HIGH


def _motion(notes: _Notes) -> float:
    """How far the picture ever gets from its first; not judged where the clip is frozen whole, or a single frame."""
    frozen = bool(notes.same) and all(notes.same)
    return _FLAWLESS_HIGH if frozen or not notes.upheaval else notes.drift


_FLAWLESS_HIGH = 1e9
"""Stands for a measurement that could not be made, where high is good."""

_BENDS_OF_A_FLASH = 4
"""Second differences that one black or white frame changes, and one for good measure."""

_LEAST_SPREAD = 2.0
"""Luma: a picture whose 8 x 8 blocks differ less than that is texture all over, and has nothing else to keep."""

_LEAST_EDGE = 3.0
"""Luma: a smaller step across eight pixels is the grain of a flat place, and no edge."""

_LEAST_CHANGE = 2.0
"""Luma: the mean change between frames that motion of a product makes anyway."""

_MEASUREMENTS = {
    "black": _black,
    "blank": _blank,
    "frozen": _frozen,
    "flicker": _flicker,
    "scene_cut": _scene_cut,
    "noise": _noisy,
    "boiling": _boiling,
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
    "boiling": "The picture boils: from frame to frame it changes by {:.0%} of all there is in it.",
    "blur": "The picture is blurred: even its sharpest edges rise by only {:.0%} of their height a pixel.",
    "motion": "Nothing moves: no part of the picture changes by more than {:.1f} steps of 255.",
}


def _reduced(image: Image.Image, side: int) -> Luma:
    """Luma (h, w) of the picture, averaged over whole pixels until its shortest side is about `side`."""
    factor = max(1, min(image.size) // side)
    return np.asarray(image.reduce(factor) if factor > 1 else image, np.float32)


def _blocks(luma: Luma) -> Luma:
    """Mean luma of the 8 x 8 blocks, less the picture's: neither texture nor brightness counts."""
    h, w = (length // _EDGE for length in luma.shape)
    blocks: Luma = luma[: h * _EDGE, : w * _EDGE].reshape(h, _EDGE, w, _EDGE).mean(axis=(1, 3))
    blocks -= blocks.mean()
    return blocks


def _edge_contrast(luma: Luma) -> float:
    """Luma step across eight pixels that only half a percent of the picture exceeds; next to none in a gradient."""
    across = np.abs(luma[:, _EDGE:] - luma[:, :-_EDGE])
    down = np.abs(luma[_EDGE:] - luma[:-_EDGE])
    steps = np.concatenate((across.ravel(), down.ravel()))
    rank = steps.size - 1 - steps.size // 200
    return float(np.partition(steps, rank)[rank])


def _sharpness(luma: Luma) -> float:
    """How steep the sharpest of the strong edges are: 1 is a step from pixel to pixel, 1/8 an even ramp of eight.

    Strong edges are where the step across eight pixels is at least half the picture's edge contrast; of the steepest
    single-pixel step within each, as a share of the whole, the upper tenth counts. Contrast and texture cancel out.
    Where next to nothing has an edge, a small product before flat white, the product's own are the strong ones.
    """
    strong = max(_edge_contrast(luma) / 2, _LEAST_EDGE)
    shares = np.concatenate([_steepness(lines, strong) for lines in (luma, luma.T)])
    return float(np.quantile(shares, 0.9)) if shares.size else _FLAWLESS_HIGH


def _steepness(lines: Luma, strong: float) -> Luma:
    """Along each line: the largest one-pixel step inside every strong step across eight pixels, as a share of it."""
    one = np.abs(lines[:, 1:] - lines[:, :-1])
    two = np.maximum(one[:, 1:], one[:, :-1])
    four = np.maximum(two[:, 2:], two[:, :-2])
    steepest = np.maximum(four[:, 4:], four[:, :-4])
    whole = np.abs(lines[:, _EDGE:] - lines[:, :-_EDGE])
    edges = whole >= strong
    shares: Luma = np.minimum(steepest[edges] / whole[edges], 1)
    return shares


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


def _upheaval(blocks: Luma, before: Luma) -> float:
    """Mean change of the blocks over the mean spread that they had."""
    return float(np.abs(blocks - before).mean()) / max(float(np.abs(before).mean()), _LEAST_SPREAD)


def _drift(blocks: Luma, first: Luma) -> float:
    """Mean change of the twentieth of the blocks that changed most."""
    ranked = np.sort(np.abs(blocks - first), axis=None)
    return float(ranked[-max(1, ranked.size // 20) :].mean())
