"""What one may ask of a clip in plain words, and the clip that a model makes of it; no event, no store.

Everything is refused here that can be, before weights are loaded: numbers out of their bounds, and sizes that the model
was never made for, at which it would draw noise without a word.
"""

import hashlib
import json
import math
from collections.abc import Iterator
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, model_validator

from functions.render_video.photo import decode_photo
from model_store.manifest import ClipImpossible, Manifest, SizeUntried
from shared.bounds import FRAMES_STEP, MOST_FRAMES, Seed
from shared.drawing import ClipNumbers, ClipSpec, ClipWishes
from shared.errors import RequestRefused
from shared.events.payload import LongText
from shared.validation import first_problem

DEFAULT_SEED = 42


class ClipRequest(ClipWishes):
    """One clip, as somebody asks for it. What is None is the model's own."""

    prompt: LongText
    negative_prompt: LongText = ""
    seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Length; the nearest number of frames that there is. Instead of `frames`."""
    seed: Seed = DEFAULT_SEED
    image: bytes | None = Field(default=None, repr=False)
    """A photo's file, JPEG, PNG or WebP, for the first frame."""
    image_name: str = "image"
    any_size: bool = False
    """Whether to draw at sizes that the model was not made for."""

    @model_validator(mode="after")
    def _says_what_to_draw(self) -> Self:
        if not self.prompt.strip():
            raise ValueError("the prompt is empty; say what to draw")
        return self

    @model_validator(mode="after")
    def _has_one_length(self) -> Self:
        if self.seconds is not None and self.frames is not None:
            raise ValueError("frames and seconds both say how long the clip is; give one of them")
        return self

    @classmethod
    def of(cls, **asked: Any) -> Self:
        """What was asked for, checked. RequestRefused: no clip can be like that, whatever the model."""
        try:
            return cls(**asked)
        except ValidationError as error:
            first = first_problem(error)
            subject = "".join(f"{name} {first['input']!r:.80}: " for name in first["loc"])
            raise RequestRefused(f"{subject}{first['msg'].removeprefix('Value error, ')}") from error

    def clip(self, model: Manifest, configured: ClipWishes) -> ClipSpec:
        """The clip that `model` draws for this; `configured` is wished for where the request says nothing.

        RequestRefused: it cannot, or was not made for it. PhotoRefused: the image is none.
        """
        numbers = self._numbers(model, configured)
        image = None if self.image is None else decode_photo(self.image, self.image_name)
        return numbers.clip(self.prompt, self.negative_prompt, seed=self.seed, image=image)

    def _numbers(self, model: Manifest, configured: ClipWishes) -> ClipNumbers:
        fps = self.fps or configured.fps or model.defaults.fps
        wishes = [configured, self]
        if self.seconds is not None:
            wishes.append(ClipWishes(frames=self._frames(self.seconds, fps)))
        try:
            return model.numbers(*wishes, any_size=self.any_size)
        except SizeUntried as error:
            raise RequestRefused(f"{error}; ask for a size of its own, or for any size (--any-size)") from error
        except ClipImpossible as error:
            raise RequestRefused(f"{error}; ask for another clip") from error

    @staticmethod
    def _frames(seconds: float, fps: int) -> int:
        frames = frames_for(seconds, fps)
        if frames > MOST_FRAMES:
            raise RequestRefused(
                f"{seconds:g} s at {fps} frames a second are {frames:,} frames, and a clip has {MOST_FRAMES} at most; "
                f"ask for up to {MOST_FRAMES / fps:.4g} s, or for fewer frames a second"
            )
        return frames

    def unheeded(self, clip: ClipNumbers) -> Iterator[str]:
        """What was asked for and changes nothing, in sentences."""
        if self.negative_prompt and clip.guidance <= 1:
            yield f"the negative prompt has no effect at guidance {clip.guidance:g}; ask for more than 1"

    def digest(self, clip: ClipNumbers, *further: str) -> str:
        """32 hexadecimal digits that are the same for the same clip alone, as a video id is.

        `further` is what else decides its bytes: the model's weights, how it is labelled.
        """
        image = None if self.image is None else hashlib.sha256(self.image).hexdigest()
        decided = [self.prompt, self.negative_prompt, self.seed, image, clip.by_name(), *further]
        return hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()[:32]


def frames_for(seconds: float, fps: int) -> int:
    """The number of frames, 4n+1, that lasts nearest to this long; of two as near, the longer. 3 s at 24 fps are 73."""
    # Rounded, as 0.28 s at 25 fps are 7 frames and not 7.000000000000001.
    exact = round(seconds * fps, 6)
    return FRAMES_STEP * max(0, math.floor((exact - 1) / FRAMES_STEP + 0.5)) + 1
