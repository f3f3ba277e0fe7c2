"""The recipe: a few steps of every stage make a checkpoint that draws, once, and a checkpoint can be gone on from."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from functions.cli.write_captions import draw_rows
from model_store.manifest import list_files, model_folder, read_manifest, verify
from model_store.tiny.captions import write_rows
from model_store.tiny.export import export
from model_store.tiny.recipe import Plan, make, read_taught
from model_store.wan.engine import Engine
from shared.drawing import ClipNumbers
from shared.errors import ConfigurationError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """What was asked for, and lies there now: a checkpoint of a few steps of everything."""
    folder = tmp_path_factory.mktemp("recipe")
    write_rows(folder / "new" / "captions.jsonl.gz", draw_rows(300))
    plan = Plan(
        work=folder / "work",
        captions=folder / "new" / "captions.jsonl.gz",
        checkpoint=folder / "checkpoint",
        start=None,
        version="test",
        device="cpu",
        vae_groups=1,
        clip_groups=1,
        still_groups=1,
        vae_steps=2,
        refine_steps=1,
        word_steps=2,
        steps=8,
        vae_scale=1,
        pictures=2,
        clips=1,
    )
    make(plan)
    return plan


def test_from_nothing_it_makes_a_checkpoint_that_draws(made: Plan) -> None:
    manifest = read_manifest(made.checkpoint)
    verify(made.checkpoint, manifest)
    assert manifest.version == "test"
    assert (made.checkpoint.parent / "training.png").stat().st_size > 1000
    engine = Engine.load(made.checkpoint)
    frames = list(
        engine.generate(
            ClipNumbers(width=64, height=64, frames=5, fps=12, steps=2, guidance=3.0).clip("a red mug", seed=1)
        )
    )
    engine.close()
    assert np.stack(frames).std() > 0


def test_the_same_command_again_repeats_no_stage(made: Plan) -> None:
    before = {path: path.stat().st_mtime_ns for path in made.work.rglob("*") if path.is_file()}
    revision = read_manifest(made.checkpoint).revision
    make(made)
    assert {path: path.stat().st_mtime_ns for path in made.work.rglob("*") if path.is_file()} == before
    assert read_manifest(made.checkpoint).revision == revision


def test_a_work_folder_is_for_one_plan(made: Plan) -> None:
    with pytest.raises(ConfigurationError, match=r"was begun with other vae_steps; name another work folder"):
        make(replace(made, vae_steps=3))
    write_rows(made.work / "others.jsonl.gz", draw_rows(10, seed=1))
    with pytest.raises(ConfigurationError, match=r"other captions"):
        make(replace(made, captions=made.work / "others.jsonl.gz"))


def test_a_folder_that_is_no_model_is_left_alone(made: Plan, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"is no model; name a new folder"):
        make(replace(made, checkpoint=tmp_path))
    assert (tmp_path / "thesis.txt").exists()


def test_going_on_starts_from_what_the_checkpoint_knows(made: Plan, tmp_path: Path) -> None:
    known = read_taught(made.checkpoint)
    # Twice the weights: nothing that is taught from nothing comes near them.
    known = replace(
        known,
        words={name: 2 * weight for name, weight in known.words.items()},
        denoiser={name: 2 * weight for name, weight in known.denoiser.items()},
    )
    export(
        tmp_path / "start",
        version="start",
        vae_state=known.vae,
        mean=known.mean,
        std=known.std,
        denoiser_state=known.denoiser,
        words=known.words,
        tokenizer=known.tokenizer,
    )
    further = replace(made, work=tmp_path / "work", checkpoint=tmp_path / "checkpoint", start=tmp_path / "start")
    make(further)
    was, now = read_taught(tmp_path / "start"), read_taught(further.checkpoint)
    kept = {name for name in was.vae if torch.equal(was.vae[name], now.vae[name])}
    assert {name for name in was.vae if name.startswith("encoder.")} <= kept
    assert not {name for name in was.vae if name.startswith("decoder.") and name.endswith("weight")} <= kept
    assert now.tokenizer.to_str() == was.tokenizer.to_str()
    assert torch.equal(now.mean, was.mean)
    for taught, before in ((now.words, was.words), (now.denoiser, was.denoiser)):
        after, start = (torch.cat([state[name].float().flatten() for name in before]) for state in (taught, before))
        assert 0 < (after - start).norm() < 0.2 * start.norm()


def test_a_checkpoint_that_is_read_and_written_comes_out_as_it_went_in(tmp_path: Path) -> None:
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
    )
    assert read_manifest(tmp_path / "again") == was
    assert list_files(tmp_path / "again") == list_files(model_folder("tiny"))
