"""`skureel generate`: one clip from one prompt, straight from the engine. Not a deployable function."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from functions.cli.progress import Progress
from functions.render_video.photo import decode_photo
from functions.render_video.studio import open_studio
from model_store.manifest import MANIFEST_NAME, ClipDefaults, SamplerDefaults, model_folder, read_manifest
from shared.bounds import FRAMES_STEP
from shared.errors import ConfigurationError
from shared.settings import Settings
from shared.validation import first_problem

if TYPE_CHECKING:
    from model_store.wan.engine import ClipSpec


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

    The poster lies beside it, as .jpg. ConfigurationError, before the model is loaded: the files cannot be written, the
    photo cannot be read, or no clip can be as asked.
    """
    from model_store.wan.engine import ClipSpec

    if output.suffix.lower() != ".mp4":
        raise ConfigurationError(f"{output} is no name for an MP4 file; give -o a name that ends in .mp4")
    poster = output.with_suffix(".jpg")
    if wanted.image is not None and wanted.image.resolve() in (output.resolve(), poster.resolve()):
        raise ConfigurationError(f"{wanted.image} would be overwritten by the clip or its poster; give -o another name")
    for path in (output, poster):
        _prove_writable(path)
    photo = None if wanted.image is None else _read(wanted.image)
    folder = model_folder(wanted.model)
    asked = _asked(wanted, _defaults(folder).overridden_by(settings.render))
    clip = ClipSpec(
        prompt=wanted.prompt,
        negative_prompt=wanted.negative_prompt,
        width=asked.width,
        height=asked.height,
        frames=asked.frames,
        steps=asked.steps,
        guidance=asked.guidance,
        seed=wanted.seed,
        image=None if photo is None else decode_photo(photo, str(wanted.image)),
    )
    fps = asked.fps
    name = _number(settings, photo, clip, fps, folder)
    studio = open_studio(settings, folder)
    try:
        with tempfile.TemporaryDirectory(prefix="skureel-") as scratch, Progress("clip", 100) as progress:

            def show(stage: str, done: int, total: int) -> None:
                # Denoising is most of the work of the full model; the split is for the eye alone.
                share = 80 * done // total if stage == "denoise" else 80 + 20 * done // total
                progress.update(share, f"{stage} {done}/{total}")

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


def _read(image: Path) -> bytes:
    try:
        return image.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{image} cannot be read: {error.strerror}; give --image another file") from error


def _defaults(folder: Path) -> ClipDefaults:
    """What the model's clips are like. A checkpoint that was never imported says only how it is sampled."""
    if (folder / MANIFEST_NAME).is_file():
        return read_manifest(folder).defaults
    from model_store.wan.checkpoint import Checkpoint

    sampler = Checkpoint.open(folder).sampler
    timesteps = tuple(map(int, sampler.timesteps))
    return ClipDefaults.sampled_by(SamplerDefaults(kind=sampler.kind, shift=sampler.shift, timesteps=timesteps))


def _asked(wanted: Wanted, defaults: ClipDefaults) -> ClipDefaults:
    """The defaults, with what was asked for in their place. ConfigurationError: no clip can be like that."""
    asked = {name: value for name in ClipDefaults.model_fields if (value := getattr(wanted, name, None)) is not None}
    if wanted.seconds is not None:
        asked["frames"] = frames_for(wanted.seconds, asked.get("fps", defaults.fps))
    try:
        return ClipDefaults.model_validate({**defaults.model_dump(), **asked})
    except ValidationError as error:
        first = first_problem(error)
        subject = "".join(f"{name} {first['input']}: " for name in first["loc"])
        raise ConfigurationError(f"{subject}{first['msg'].removeprefix('Value error, ')}; ask for less") from error


def _number(settings: Settings, photo: bytes | None, clip: "ClipSpec", fps: int, folder: Path) -> str:
    """What the label numbers the clip by: the same for the same clip alone, as a video id is."""
    model = read_manifest(folder).revision if (folder / MANIFEST_NAME).is_file() else str(folder.resolve())
    digest = None if photo is None else hashlib.sha256(photo).hexdigest()
    asked = [getattr(clip, field.name) for field in fields(clip) if field.name != "image"]
    decided = json.dumps([model, settings.render.label_profile, digest, fps, *asked])
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
    return FRAMES_STEP * max(0, round(seconds * fps / FRAMES_STEP)) + 1
