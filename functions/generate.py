"""`skureel generate`: one clip from one prompt, straight from the engine. Not a deployable function."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from functions.progress import Progress
from functions.render_video import open_studio
from functions.render_video.photo import open_photo
from model_store.manifest import MANIFEST_NAME, ClipDefaults, model_folder, read_manifest
from shared.settings import Settings

if TYPE_CHECKING:
    from PIL import Image

DEFAULTS_480P = ClipDefaults(width=640, height=480, frames=73, fps=24, steps=50, guidance=5.0)
"""For a checkpoint without a manifest: 480p, 3 s at 24 fps, and the full model's own steps and guidance."""


@dataclass(frozen=True)
class Wanted:
    """What was asked for; None leaves it to the model."""

    prompt: str
    negative_prompt: str
    width: int | None
    height: int | None
    seconds: float | None
    fps: int | None
    seed: int
    steps: int | None
    guidance: float | None
    image: Path | None
    model: str


def generate_clip(settings: Settings, wanted: Wanted, output: Path) -> Iterator[str]:
    """Draw, inspect, label and write the clip; yields what is worth telling, line by line."""
    with ExitStack() as stack:
        image = None
        if wanted.image is not None:
            image = open_photo(stack.enter_context(wanted.image.open("rb")), str(wanted.image))
        yield from _drawn(settings, wanted, image, output)


def _drawn(settings: Settings, wanted: Wanted, image: "Image.Image | None", output: Path) -> Iterator[str]:
    from model_store.wan.engine import ClipSpec

    folder = model_folder(wanted.model)
    has_manifest = (folder / MANIFEST_NAME).is_file()
    defaults = (read_manifest(folder).defaults if has_manifest else DEFAULTS_480P).overridden_by(settings.render)
    fps = wanted.fps or defaults.fps
    clip = ClipSpec(
        prompt=wanted.prompt,
        negative_prompt=wanted.negative_prompt,
        width=wanted.width or defaults.width,
        height=wanted.height or defaults.height,
        frames=defaults.frames if wanted.seconds is None else frames_for(wanted.seconds, fps),
        steps=wanted.steps or defaults.steps,
        guidance=defaults.guidance if wanted.guidance is None else wanted.guidance,
        seed=wanted.seed,
        image=image,
    )
    studio = open_studio(settings, folder)
    try:
        with tempfile.TemporaryDirectory(prefix="skureel-") as scratch, Progress("clip", 100) as progress:

            def show(stage: str, done: int, total: int) -> None:
                # Denoising is most of the work of the full model; the split is for the eye alone.
                share = 80 * done // total if stage == "denoise" else 80 + 20 * done // total
                progress.update(share, f"{stage} {done}/{total}")

            draft = studio.draw(clip, fps=fps, name="generate", folder=Path(scratch), progress=show)
            output.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(draft.clip_path, output)
            output.with_suffix(".jpg").write_bytes(draft.poster)
    finally:
        studio.engine.close()
    for reason in draft.inspection.reasons:
        yield f"inspection: {reason.message}"
    took = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in draft.seconds.items())
    yield f"{output}: {clip.width}x{clip.height}, {clip.frames} frames at {fps} fps; {took}"


def frames_for(seconds: float, fps: int) -> int:
    """The nearest number of frames the model can draw: 4n+1. 3 s at 24 fps are 73."""
    return 4 * max(0, round(seconds * fps / 4)) + 1
