"""A model's manifest: what it is, which files it has, how it is sampled. Its digest is the model's revision.

Read without torch: derive_prompt needs the revision and the defaults, not the weights.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from model_store.sampling import SamplerConfig
from shared.bounds import Side
from shared.drawing import ClipNumbers, ClipWishes
from shared.errors import ConfigurationError
from shared.settings import RenderSettings
from shared.validation import described, first_problem

MANIFEST_NAME = "manifest.json"
BUNDLED = {"tiny": Path(__file__).parent / "tiny" / "checkpoint"}
PIECE_BYTES = 1 << 24  # hashed at once


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelFile(_Record):
    """One file of the model, by its path inside the model's folder."""

    path: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    size_bytes: Annotated[int, Field(ge=0)]

    @field_validator("path")
    @classmethod
    def _stays_inside(cls, path: str) -> str:
        pure = PurePosixPath(path)
        if pure.is_absolute() or ".." in pure.parts or "\\" in path or not pure.parts:
            raise ValueError(f"file path {path!r} leaves the model's folder")
        return path


class ClipImpossible(ValueError):
    """A model can draw no such clip. `field` is the number that stands in the way."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


class SizeUntried(ClipImpossible):
    """A model was not made for the size: it can draw it, and what comes of it is noise."""


def numbers_of(sampler: SamplerConfig) -> ClipNumbers:
    """3 s of 480p at 24 fps: in the full model's own steps and guidance, or in a distilled one's steps and none."""
    distilled = bool(sampler.timesteps)
    return ClipNumbers(
        width=640,
        height=480,
        frames=73,
        fps=24,
        steps=len(sampler.timesteps) if distilled else 50,
        guidance=1.0 if distilled else 5.0,
    )


class Manifest(_Record):
    """What a model is. Two models with equal manifests have equal weights."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
    version: Annotated[str, Field(min_length=1, max_length=100)]
    architecture: Literal["wan2.2-ti2v"]
    quantisation: str
    licence: str
    sampler: SamplerConfig
    defaults: ClipNumbers
    sizes: tuple[tuple[Side, Side], ...] = ()
    """Widths and heights that it was made for; none: whatever is within the bounds."""
    files: tuple[ModelFile, ...]

    def must_be(self, revision: str | None) -> None:
        """ConfigurationError: another revision is asked for, so that a rollout can't mix weights."""
        if revision is not None and revision != self.revision:
            raise ConfigurationError(
                f"model {self.name} has revision {self.revision[:12]}, SKUREEL_MODEL__REVISION asks for "
                f"{revision[:12]}; fetch that one or change the setting"
            )

    def numbers(self, *wishes: ClipWishes, any_size: bool = False) -> ClipNumbers:
        """This model's own numbers, with those wished for in their place, the last wish first.

        ClipImpossible: it can draw no such clip; SizeUntried: it was not made for the size, and `any_size` is False.
        """
        wished = {name: value for wish in wishes for name, value in wish.wished().items()}
        try:
            clip = self.defaults.changed(**wished)
        except ValidationError as error:
            first = first_problem(error)
            subject = "".join(f"{name} {first['input']}: " for name in first["loc"])
            field = str(first["loc"][0]) if first["loc"] else "width"
            raise ClipImpossible(subject + first["msg"].removeprefix("Value error, "), field) from error
        levels = len(self.sampler.timesteps)
        if levels and clip.steps != levels:
            raise ClipImpossible(f"model {self.name} was distilled to {levels} steps, not {clip.steps}", "steps")
        if self.sizes and not any_size and (clip.width, clip.height) not in self.sizes:
            sizes = " and ".join(f"{width}x{height}" for width, height in self.sizes)
            raise SizeUntried(
                f"model {self.name} was made for {sizes}; at {clip.width}x{clip.height} it draws noise", "width"
            )
        return clip

    def configured_numbers(self, settings: RenderSettings) -> ClipNumbers:
        """What this model's clips are like by the settings. ConfigurationError: it can draw no such clip."""
        try:
            return self.numbers(settings)
        except ClipImpossible as error:
            variable = f"SKUREEL_RENDER__{error.field.upper()}"
            raise ConfigurationError(f"{error}; change {variable}, or leave it empty") from error

    @property
    def revision(self) -> str:
        """SHA-256 of the canonical JSON, 64 hexadecimal digits. Sizes are left out: they change no clip's bytes."""
        decisive = self.model_dump(mode="json", exclude={"sizes"})
        document = json.dumps(decisive, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(document.encode()).hexdigest()


def model_folder(name_or_folder: str) -> Path:
    """The folder of a bundled model's name, or the folder itself. A missing one is a ConfigurationError."""
    folder = BUNDLED.get(name_or_folder, Path(name_or_folder))
    if not folder.is_dir():
        raise ConfigurationError(
            f"model {name_or_folder!r}: no such folder and no bundled model of that name; bundled: {', '.join(BUNDLED)}"
        )
    return folder


def read_manifest(folder: Path) -> Manifest:
    """Read a folder's manifest.json. Missing or malformed is a ConfigurationError that names the file."""
    path = folder / MANIFEST_NAME
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"model folder {folder} has no {MANIFEST_NAME}; `skureel models import` writes one"
        ) from error
    except ValidationError as error:
        raise ConfigurationError(f"{path}: {described(error)}; import the model again") from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write a folder's manifest.json, readable, with a stable order."""
    text = json.dumps(manifest.model_dump(mode="json"), indent=2, ensure_ascii=False)
    (folder / MANIFEST_NAME).write_text(text + "\n", encoding="utf-8")


def list_files(folder: Path, hashed: Callable[[int, Path], None] | None = None) -> tuple[ModelFile, ...]:
    """Every file below the folder but the manifest, with its digest and size, sorted by path.

    `hashed` is told the bytes of each piece, and the file that it is of.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST_NAME)
    return tuple(
        ModelFile(
            path=path.relative_to(folder).as_posix(),
            sha256=file_sha256(path, hashed),
            size_bytes=path.stat().st_size,
        )
        for path in paths
    )


def verify(folder: Path, manifest: Manifest) -> None:
    """Prove every byte of a model folder against its manifest; the first file that differs is a ConfigurationError."""
    for entry in manifest.files:
        path = folder / entry.path
        if not path.is_file():
            raise ConfigurationError(f"model {manifest.name}: {path} is missing; fetch the model again")
        size_bytes = path.stat().st_size
        if size_bytes != entry.size_bytes:
            raise ConfigurationError(
                f"model {manifest.name}: {path} has {size_bytes} bytes, not {entry.size_bytes}; fetch the model again"
            )
        if file_sha256(path) != entry.sha256:
            raise ConfigurationError(f"model {manifest.name}: {path} differs from its sha256; fetch it again")


def file_sha256(path: Path, hashed: Callable[[int, Path], None] | None = None) -> str:
    """SHA-256 of a file's bytes, 64 hexadecimal digits; `hashed` as for `list_files`."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            digest.update(piece)
            if hashed is not None:
                hashed(len(piece), path)
    return digest.hexdigest()
