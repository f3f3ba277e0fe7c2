"""What an engine is asked to draw: the six numbers of a clip, wishes about them, and a whole clip. No torch here.

A setting wishes, a request wishes, a manifest knows the numbers of its model's clips; what comes of them is one record,
which is inside the bounds (`shared/bounds.py`) from the moment that it is there.
"""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from shared.bounds import Fps, Frames, Guidance, Seed, Side, Steps, check_area


class ClipNumbers(BaseModel):
    """The six numbers that every clip has."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: Side
    height: Side
    frames: Frames
    fps: Fps
    steps: Steps
    guidance: Guidance

    @model_validator(mode="after")
    def _the_area_is_bounded(self) -> Self:
        check_area(self.width, self.height)
        return self

    def by_name(self) -> dict[str, Any]:
        """The six alone, whatever else there may be of a clip."""
        return {name: getattr(self, name) for name in ClipNumbers.model_fields}

    def changed(self, **changes: Any) -> Self:
        """The same with other values. ValidationError: no clip can be like that."""
        return type(self).model_validate({**dict(self), **changes})

    def clip(self, prompt: str, negative_prompt: str = "", *, seed: int, image: Any = None) -> "ClipSpec":
        """The clip of a prompt in these numbers."""
        return ClipSpec(**self.by_name(), prompt=prompt, negative_prompt=negative_prompt, seed=seed, image=image)


class ClipWishes(BaseModel):
    """What somebody wants of the six; None leaves one to the model."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    width: Side | None = None
    """Width in pixels; a multiple of 32."""
    height: Side | None = None
    """Height in pixels; a multiple of 32."""
    frames: Frames | None = None
    """Frames of a clip, 4n+1: 73 are 3 s at 24 fps."""
    fps: Fps | None = None
    """Frames a second."""
    steps: Steps | None = None
    """Denoising steps."""
    guidance: Guidance | None = None
    """Classifier-free guidance scale; 1 and below turn guidance off."""

    def wished(self) -> dict[str, Any]:
        """Those of the six that were wished for, by their names."""
        six = ((name, getattr(self, name)) for name in ClipNumbers.model_fields)
        return {name: value for name, value in six if value is not None}


class ClipSpec(ClipNumbers):
    """One clip, as an engine draws it. Guidance up to 1 leaves the negative prompt out."""

    prompt: str
    negative_prompt: str
    seed: Seed
    image: Any = Field(default=None, repr=False)
    """A Pillow image, the first frame: scaled to cover the clip and cropped. Who only asks for clips has no Pillow."""
