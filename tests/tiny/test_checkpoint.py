"""The shipped checkpoint: complete, small, quick to load, and it draws what the words say."""

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from model_store.manifest import list_files, model_folder, read_manifest
from model_store.tiny.captions import NEGATIVE_PROMPT
from model_store.wan.engine import Engine

FOLDER = model_folder("tiny")
CLIP = read_manifest(FOLDER).defaults


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = Engine.load(FOLDER)
    yield engine
    engine.close()


def draw(engine: Engine, prompt: str, frames: int = 5, steps: int = 6) -> NDArray[np.float64]:
    spec = CLIP.changed(frames=frames, steps=steps).clip(prompt, NEGATIVE_PROMPT, seed=11)
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


def test_it_is_small_and_free() -> None:
    manifest = read_manifest(FOLDER)
    assert sum(file.size_bytes for file in manifest.files) <= 24 * 2**20
    assert manifest.licence == "Apache-2.0"
    assert manifest.name == "tiny"


PROMPTS = {
    "short, en": ("A {} ceramic mug on a wooden table, rotating slowly.", ("red", "blue")),
    "short, zh": ("一只{}陶瓷马克杯，木质台面，镜头缓慢推近。", ("红色", "蓝色")),
    "written, en": (
        "Warm tones, side light, close-up, balanced composition. A {} titanium kettle rests on a tidy stove top in a "
        "home kitchen. Hot soup simmers inside and white steam rises slowly into the air. Highlights travel slowly "
        "along its edge and show the shape clearly. In the softly blurred background, light and shade move gently over "
        "a pale wall. The camera slowly pushes in and keeps the whole piece in view.",
        ("red", "blue"),
    ),
    "written, zh": (
        "日光，柔光，全景，平衡构图。一张{}沙发摆放在明亮的房间里，阳光从一侧缓缓移过表面，"
        "影子在木地板上渐渐拉长，表面纹理清晰，线条完整，白色纱帘轻轻飘动，镜头缓慢推近。",
        ("红色", "蓝色"),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PROMPTS)
def test_the_named_colour_is_drawn_from_the_first_frame_to_the_last(engine: Engine, name: str) -> None:
    prompt, (red, blue) = PROMPTS[name]
    of_red, of_blue = (draw(engine, prompt.format(word), CLIP.frames, CLIP.steps) for word in (red, blue))
    for moment in (0, CLIP.frames // 2, CLIP.frames - 1):
        red_there, blue_there = middle(of_red[[moment]]), middle(of_blue[[moment]])
        assert red_there[0] - red_there[2] > 40
        assert blue_there[2] - blue_there[0] > 40


def test_the_picture_is_calm_where_nothing_stands(engine: Engine) -> None:
    frames = draw(engine, "A green mug on a white background, rotating slowly.")
    corner = frames[:, : CLIP.height // 6, : CLIP.width // 6]
    assert np.abs(np.diff(corner, axis=2)).mean() < 4
    assert corner.mean() > 150


def test_one_seed_gives_one_clip(engine: Engine) -> None:
    prompt = "A yellow chair on a wooden floor, rotating slowly."
    assert np.array_equal(draw(engine, prompt, steps=2), draw(engine, prompt, steps=2))
