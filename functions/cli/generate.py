"""`skureel generate`: one clip from one prompt, straight from the engine. Not a deployable function."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from functions.cli.progress import Progress
from functions.render_video.labels import read_label, read_poster_label
from functions.render_video.request import ClipRequest
from functions.render_video.studio import open_studio
from model_store.manifest import MANIFEST_NAME, Manifest, model_folder, read_manifest, verify
from shared.errors import ConfigurationError, SkureelError
from shared.settings import Settings


def generate_clip(
    settings: Settings, request: ClipRequest, model: str | None, output: Path, *, overwrite: bool = False
) -> Iterator[str]:
    """Draw, inspect, label and write the clip; yields what is worth telling, line by line.

    `model` is used instead of the configured one. The poster lies beside the clip, as .jpg; what else lies there is not
    overwritten, unless `overwrite` says so.

    Before the model is loaded, ConfigurationError: the files cannot be written, or the model is not what its manifest
    says; RequestRefused: no clip can be as asked; PhotoRefused: the image is none.
    """
    poster = output.with_suffix(".jpg")
    _check_places(output, poster, overwrite)
    folder = model_folder(model or settings.model.name)
    manifest, revision = _proved(folder, settings.model.revision if model is None else None)
    clip = request.clip(manifest, settings.render)
    yield from request.unheeded(clip)
    name = request.digest(clip, revision or str(folder.resolve()), settings.render.label_profile)
    studio = open_studio(settings, folder)
    try:
        with tempfile.TemporaryDirectory(prefix="skureel-") as scratch, Progress("clip", 100) as progress:

            def show(stage: str, done: int, total: int) -> None:
                # Denoising is most of the work of the full model; the split is for the eye alone.
                share = 80 * done // total if stage == "denoise" else 80 + 20 * done // total
                progress.update(share, f"{stage} {done}/{total}")

            draft = studio.draw(clip, name=name, folder=Path(scratch), on_stage=show)
            with _writing(output):
                shutil.copyfile(draft.clip_path, output)
                poster.write_bytes(draft.poster)
    finally:
        studio.engine.close()
    for reason in draft.inspection.reasons:
        yield f"inspection: {reason.message}"
    if revision is None:
        yield f"model {folder} was never imported: its files are not proved"
    else:
        yield f"model {manifest.name}, revision {revision[:12]}"
    took = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in draft.seconds.items())
    yield f"{output}: {clip.width}x{clip.height}, {clip.frames} frames at {clip.fps} fps; {took}"


def read_image(image: Path, output: Path) -> bytes:
    """The photo's file. ConfigurationError: it cannot be read, or the clip or its poster would take its place."""
    if image.resolve() in (output.resolve(), output.with_suffix(".jpg").resolve()):
        raise ConfigurationError(f"{image} would be overwritten by the clip or its poster; give -o another name")
    try:
        return image.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{image} cannot be read: {error.strerror}; give --image another file") from error


def _proved(folder: Path, revision: str | None) -> tuple[Manifest, str | None]:
    """The model's manifest and its revision, after every byte was compared with it.

    A checkpoint that was never imported has no revision, and a manifest that says how it is sampled and no more.
    """
    if not (folder / MANIFEST_NAME).is_file():
        from model_store.importing import unlisted

        return unlisted(folder), None
    manifest = read_manifest(folder)
    manifest.must_be(revision)
    verify(folder, manifest)
    return manifest, manifest.revision


def _check_places(output: Path, poster: Path, overwrite: bool) -> None:
    if output.suffix.lower() != ".mp4":
        raise ConfigurationError(f"{output} is no name for an MP4 file; give -o a name that ends in .mp4")
    if poster.is_file() and not overwrite and not _is_poster_of(poster, output):
        raise ConfigurationError(
            f"{poster} would be overwritten by the poster, and is not that of {output}; give -o another name, or "
            "--overwrite"
        )
    for path in (output, poster):
        _prove_writable(path)


def _is_poster_of(poster: Path, clip: Path) -> bool:
    """Whether both bear one label, as `skureel generate` has written them."""
    try:
        label = read_poster_label(poster.read_bytes())
        return label is not None and label == read_label(clip)
    except (SkureelError, OSError, SyntaxError, ValueError):  # no picture, no clip, no label that can be read
        return False


def _prove_writable(path: Path) -> None:
    """Try it: who may write where has too many rules to ask. Leaves behind what was there."""
    was_there = path.exists()
    with _writing(path):
        path.open("ab").close()
        if not was_there:
            path.unlink()


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}; give -o another place") from error
