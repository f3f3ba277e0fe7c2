"""Making a model of a published checkpoint: checked tensor by tensor, complete or not there at all.

The model keeps the checkpoint's layout and file names. Its safetensors files are links to the checkpoint's where the
file system can link, so that it costs no second copy; pickles become safetensors; the manifest is written last.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch
from pydantic import ValidationError

from model_store.manifest import (
    MANIFEST_NAME,
    Manifest,
    list_files,
    numbers_of,
    read_manifest,
    verify,
    write_manifest,
)
from model_store.sampling import SamplerConfig
from model_store.wan.checkpoint import CONFIGURATIONS, Checkpoint, Weights
from model_store.wan.pickles import opened_pickle, write_safetensors
from shared.errors import ConfigurationError, TemporaryError
from shared.validation import described

OnBytes = Callable[[int, int, str], None]
"""Told the bytes that are done, their total, and the file at hand."""

META = torch.device("meta")


def import_model(
    source: Path,
    destination: Path,
    *,
    name: str | None = None,
    version: str | None = None,
    licence: str | None = None,
    timesteps: tuple[int, ...] = (),
    on_bytes: OnBytes | None = None,
) -> Manifest:
    """Make the model folder `destination` of the checkpoint in `source`.

    source: either layout that `Checkpoint.open` reads, or the original one with its pickles. name, version, licence: by
    default what a manifest in `source` says, else the folder's name, "1" and "unknown". timesteps: those of a distilled
    checkpoint whose folder does not name them.

    ConfigurationError: `source` is incomplete, damaged or of another model, or `destination` is taken. TemporaryError:
    the disk refuses. Either way, and when interrupted, nothing is left of `destination`.
    """
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise ConfigurationError(f"{destination} exists already; name another folder, or remove that one")
    checkpoint = Checkpoint.open(source, opened_pickle)
    manifest = describe(
        source,
        checkpoint,
        {"name": name, "version": version, "licence": licence},
        {"name": destination.resolve().name, "version": "1", "licence": "unknown"},
        timesteps,
    )
    check_tensors(checkpoint)
    weights = (checkpoint.denoiser_weights, checkpoint.vae_weights, checkpoint.text_encoder_weights)
    with staged(destination) as staging:
        tally = Tally(work_bytes(weights), on_bytes)
        place_configurations(source, staging, CONFIGURATIONS[checkpoint.layout])
        for network in weights:
            place_weights(source, staging, network, tally)
        files = list_files(staging, tally.add)
        manifest = manifest.model_copy(update={"files": files})
        write_manifest(staging, manifest)
        tally.finish()
    return manifest


# What is to be imported ---------------------------------------------------------------------------------------------


def describe(
    source: Path,
    checkpoint: Checkpoint,
    wanted: dict[str, str | None],
    otherwise: dict[str, str],
    timesteps: tuple[int, ...],
) -> Manifest:
    """The manifest, its files still to come. ConfigurationError: what was asked for makes none."""
    stated = None
    if (source / MANIFEST_NAME).is_file():
        stated = read_manifest(source)
        verify(source, stated)
    words = {key: value or getattr(stated, key, otherwise[key]) for key, value in wanted.items()}
    try:
        sampler = SamplerConfig(kind="few-step", timesteps=timesteps) if timesteps else checkpoint.sampler
        return Manifest(
            **words,
            architecture="wan2.2-ti2v",
            quantisation="none",
            sampler=sampler,
            defaults=numbers_of(sampler) if stated is None or timesteps else stated.defaults,
            sizes=() if stated is None else stated.sizes,
            files=(),
        )
    except ValidationError as error:
        raise ConfigurationError(f"model of {source}: {described(error, whole='sampler')}; give another") from error


def unlisted(folder: Path) -> Manifest:
    """What a checkpoint that was never imported says of itself, without files. CheckpointError: it is none."""
    words = {"name": "unlisted", "version": "0", "licence": "unknown"}
    return describe(folder, Checkpoint.open(folder), dict.fromkeys(words), words, ())


def check_tensors(checkpoint: Checkpoint) -> None:
    """CheckpointError: a tensor is missing, surplus, misshapen or no number, or the tokenizer is another model's.

    No weights are read into memory.
    """
    checkpoint.load_tokenizer()
    checkpoint.load_denoiser(META, torch.bfloat16)
    checkpoint.load_vae(META, torch.bfloat16)
    checkpoint.load_text_encoder(META, torch.bfloat16)


# Writing it ---------------------------------------------------------------------------------------------------------


@contextmanager
def staged(destination: Path) -> Iterator[Path]:
    """A folder beside `destination` that takes its place once everything is in it, or is removed.

    Whoever made it is the only one to write it: two imports never mix.
    """
    staging = destination.with_name(f"{destination.name}.importing")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        staging.mkdir()
    except FileExistsError as error:
        raise ConfigurationError(
            f"{staging} exists: another import is writing it, or one was killed; remove it once none is running"
        ) from error
    except OSError as error:
        raise ConfigurationError(f"{destination} cannot be made: {error}; name another folder") from error
    try:
        yield staging
        staging.rename(destination)
    except OSError as error:
        raise TemporaryError(f"{destination} cannot be written: {error}; make room and import again") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


class Tally:
    """How far the import is."""

    def __init__(self, total_bytes: int, on_bytes: OnBytes | None) -> None:
        self._total, self._done, self._file = total_bytes, 0, ""
        self._report: OnBytes = on_bytes or (lambda _done, _total, _file: None)

    def add(self, size_bytes: int, file: Path) -> None:
        """So much of `file` was written or hashed."""
        self._done, self._file = min(self._done + size_bytes, self._total), file.name
        self._report(self._done, self._total, self._file)

    def finish(self) -> None:
        """Everything is done: the sizes of converted files were only nearly known."""
        self._report(self._total, self._total, self._file)


def work_bytes(networks: tuple[Weights, ...]) -> int:
    """What is hashed, and what is written before."""
    files = [file for weights in networks for file in weights.files]
    return sum(file.stat().st_size * (2 if is_pickle(file) else 1) for file in files)


def place_configurations(source: Path, staging: Path, names: tuple[str, ...]) -> None:
    """Copy those that are there: a change to the checkpoint's must not change the model's."""
    for name in names:
        if (source / name).is_file():
            (staging / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, staging / name)


def place_weights(source: Path, staging: Path, weights: Weights, tally: Tally) -> None:
    """Link or copy the files of one network, or turn its pickle into safetensors."""
    for file in (*weights.files, *((weights.index,) if weights.index else ())):
        target = staging / file.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        if is_pickle(file):
            with weights.read(file) as tensors:
                write_safetensors(target.with_suffix(".safetensors"), tensors, partial(tally.add, file=file))
        else:
            link_or_copy(file.resolve(), target)


def is_pickle(file: Path) -> bool:
    """Whether the file is one of the published pickles."""
    return file.suffix == ".pth"


def link_or_copy(file: Path, target: Path) -> None:
    """A hard link, or a copy where the file system or its rules allow none."""
    try:
        os.link(file, target)
    except OSError:
        shutil.copyfile(file, target)
