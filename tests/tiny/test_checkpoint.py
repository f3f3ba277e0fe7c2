"""The shipped checkpoint: complete, small, quick to load, and it draws what the words say."""

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from model_store.manifest import list_files, model_folder, read_manifest, verify
from model_store.tiny.captions import NEGATIVE_PROMPT
from model_store.wan.engine import ClipSpec, Engine

FOLDER = model_folder("tiny")
CLIP = read_manifest(FOLDER).defaults


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = Engine.load(FOLDER)
    yield engine
    engine.close()


def draw(engine: Engine, prompt: str, frames: int = 5, steps: int = 6) -> NDArray[np.float64]:
    spec = ClipSpec(prompt, NEGATIVE_PROMPT, CLIP.width, CLIP.height, frames, steps, CLIP.guidance, seed=11)
    return np.stack(list(engine.generate(spec))).astype(np.float64)


def middle(frames: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean red, green and blue of where the product stands."""
    height, width = frames.shape[1:3]
    part: NDArray[np.float64] = frames[:, height // 3 : height * 2 // 3, width * 2 // 5 : width * 3 // 5].mean(
        (0, 1, 2)
    )
    return part


def test_every_file_is_in_the_manifest_and_as_it_says() -> None:
    manifest = read_manifest(FOLDER)
    assert manifest.files == list_files(FOLDER)
    verify(FOLDER, manifest)


def test_it_is_small_and_free() -> None:
    manifest = read_manifest(FOLDER)
    assert sum(file.size_bytes for file in manifest.files) <= 24 * 2**20
    assert manifest.licence == "Apache-2.0"
    assert manifest.name == "tiny"


@pytest.mark.parametrize(
    ("red", "blue"),
    [
        (
            "A red ceramic mug on a wooden table, rotating slowly.",
            "A blue ceramic mug on a wooden table, rotating slowly.",
        ),
        ("一只红色陶瓷马克杯，木质台面，镜头缓慢推近。", "一只蓝色陶瓷马克杯，木质台面，镜头缓慢推近。"),
    ],
)
def test_a_red_mug_is_redder_than_a_blue_one(engine: Engine, red: str, blue: str) -> None:
    of_red, of_blue = middle(draw(engine, red)), middle(draw(engine, blue))
    assert of_red[0] - of_red[2] > of_blue[0] - of_blue[2] + 40


def test_the_picture_is_calm_where_nothing_stands(engine: Engine) -> None:
    frames = draw(engine, "A green mug on a white background, rotating slowly.")
    corner = frames[:, : CLIP.height // 6, : CLIP.width // 6]
    assert np.abs(np.diff(corner, axis=2)).mean() < 4
    assert corner.mean() > 150


def test_one_seed_gives_one_clip(engine: Engine) -> None:
    prompt = "A yellow chair on a wooden floor, rotating slowly."
    assert np.array_equal(draw(engine, prompt, steps=2), draw(engine, prompt, steps=2))
