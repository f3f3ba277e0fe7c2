"""`skureel generate`: one clip from one prompt, straight from the engine. Not a deployable function."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from functions.progress import Progress
from functions.render_video import open_studio
from functions.render_video.photo import open_photo
from model_store.manifest import MANIFEST_NAME, ClipDefaults, model_folder, read_manifest
from shared.errors import ConfigurationError
from shared.settings import Settings

if TYPE_CHECKING:
    from PIL import Image

    from model_store.wan.engine import ClipSpec

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
    """Draw, inspect, label and write the clip; yields what is worth telling, line by line.

    The poster lies beside it, as .jpg. ConfigurationError, before anything is drawn: the files cannot be written.
    """
    if output.suffix.lower() != ".mp4":
        raise ConfigurationError(f"{output} is no name for an MP4 file; give -o a name that ends in .mp4")
    poster = output.with_suffix(".jpg")
    if wanted.image is not None and wanted.image.resolve() in (output.resolve(), poster.resolve()):
        raise ConfigurationError(f"{wanted.image} would be overwritten by the clip or its poster; give -o another name")
    for path in (output, poster):
        _prove_writable(path)
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
    fps = defaults.fps if wanted.fps is None else wanted.fps
    clip = ClipSpec(
        prompt=wanted.prompt,
        negative_prompt=wanted.negative_prompt,
        width=defaults.width if wanted.width is None else wanted.width,
        height=defaults.height if wanted.height is None else wanted.height,
        frames=defaults.frames if wanted.seconds is None else frames_for(wanted.seconds, fps),
        steps=defaults.steps if wanted.steps is None else wanted.steps,
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

            name = _number(settings, wanted, clip, fps, folder)
            draft = studio.draw(clip, fps=fps, name=name, folder=Path(scratch), progress=show)
            with _writing(output):
                shutil.copyfile(draft.clip_path, output)
                output.with_suffix(".jpg").write_bytes(draft.poster)
    finally:
        studio.engine.close()
    for reason in draft.inspection.reasons:
        yield f"inspection: {reason.message}"
    took = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in draft.seconds.items())
    yield f"{output}: {clip.width}x{clip.height}, {clip.frames} frames at {fps} fps; {took}"


def _number(settings: Settings, wanted: Wanted, clip: "ClipSpec", fps: int, folder: Path) -> str:
    """What the label numbers the clip by: the same for the same clip alone, as a video id is."""
    model = read_manifest(folder).revision if (folder / MANIFEST_NAME).is_file() else str(folder.resolve())
    photo = None if wanted.image is None else hashlib.sha256(wanted.image.read_bytes()).hexdigest()
    asked = [getattr(clip, field.name) for field in fields(clip) if field.name != "image"]
    decided = json.dumps([model, settings.render.label_profile, photo, fps, *asked])
    return hashlib.sha256(decided.encode()).hexdigest()[:32]


def _prove_writable(path: Path) -> None:
    """Try it: who may write where has too many rules to ask. Leaves behind what was there."""
    was_there = path.exists()
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("ab").close()
        if not was_there:
            path.unlink()


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}; give -o another place") from error


def frames_for(seconds: float, fps: int) -> int:
    """The nearest number of frames the model can draw: 4n+1. 3 s at 24 fps are 73."""
    return 4 * max(0, round(seconds * fps / 4)) + 1
