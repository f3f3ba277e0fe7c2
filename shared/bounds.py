"""What a clip may be: the one statement of it, for events, settings, manifests, the command and the engine.

Types with these bounds and nothing else; whether a model can draw a clip that is within them, its engine says.
"""

from typing import Annotated

from pydantic import AfterValidator, Field

SIDE_MULTIPLE = 32
"""Sides divide by 32: the VAE halves four times and the denoiser's patches are 2x2 latents."""
LARGEST_SIDE_PX = 4096
LARGEST_AREA_PX = 1024 * 1024
"""The model was trained up to 1280x704."""
FRAMES_STEP = 4
"""Frames are 4n+1: the VAE makes one frame of its first latent and four of each further one."""
MOST_FRAMES = 241
"""The model was trained up to 121; these are ten seconds at 24 fps."""
MOST_FPS = 120
MOST_STEPS = 200
LARGEST_GUIDANCE = 50.0
LARGEST_SEED = 2**63 - 1


def _whole_latents(frames: int) -> int:
    if frames % FRAMES_STEP != 1:
        below = max(0, (frames - 1) // FRAMES_STEP) * FRAMES_STEP + 1
        raise ValueError(f"frames are {FRAMES_STEP}n+1, as {below} or {below + FRAMES_STEP}, and not {frames}")
    return frames


def _unsigned(guidance: float) -> float:
    # -0.0 equals 0.0 and is written otherwise: it would name another clip.
    return guidance + 0.0


Side = Annotated[int, Field(ge=SIDE_MULTIPLE, le=LARGEST_SIDE_PX, multiple_of=SIDE_MULTIPLE)]
Frames = Annotated[int, Field(ge=1, le=MOST_FRAMES), AfterValidator(_whole_latents)]
Fps = Annotated[int, Field(ge=1, le=MOST_FPS)]
Steps = Annotated[int, Field(ge=1, le=MOST_STEPS)]
Guidance = Annotated[float, Field(ge=0, le=LARGEST_GUIDANCE, allow_inf_nan=False), AfterValidator(_unsigned)]
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]


def check_area(width: int, height: int) -> None:
    """Raise ValueError where a picture has more pixels than any clip."""
    if width * height > LARGEST_AREA_PX:
        raise ValueError(f"{width}x{height} are more than {LARGEST_AREA_PX:,} pixels, the most a clip can have")
