"""The recipe: what it reads from a finished checkpoint is all that the checkpoint holds."""

from pathlib import Path

from model_store.manifest import list_files, model_folder, read_manifest
from model_store.tiny.export import export
from model_store.tiny.recipe import read_taught


def test_a_checkpoint_that_is_gone_on_from_comes_out_as_it_went_in(tmp_path: Path) -> None:
    taught, was = read_taught(model_folder("tiny")), read_manifest(model_folder("tiny"))
    export(
        tmp_path / "again",
        version=was.version,
        vae_state=taught.vae,
        mean=taught.mean,
        std=taught.std,
        denoiser_state=taught.denoiser,
        words=taught.words,
        tokenizer=taught.tokenizer,
        size=(was.defaults.width, was.defaults.height),
        steps=was.defaults.steps,
        guidance=was.defaults.guidance,
        shift=was.sampler.shift,
    )
    assert read_manifest(tmp_path / "again") == was
    assert list_files(tmp_path / "again") == list_files(model_folder("tiny"))
