"""A whole clip equals the public pipelines: text to video and image to video."""

import numpy as np
import pytest
import torch
from diffusers import WanImageToVideoPipeline
from PIL import Image

from model_store.wan.engine import Engine
from model_store.wan.first_frame import cover
from shared.drawing import ClipSpec
from tests.engine.closeness import relative_error

SPEC = ClipSpec(
    prompt="a red kettle turns slowly on a table",
    negative_prompt="blue",
    width=64,
    height=96,
    frames=13,
    fps=24,
    steps=20,
    guidance=5.0,
    seed=3,
)


@pytest.fixture(scope="module")
def engine(diffusers_folder):
    engine = Engine.load(diffusers_folder)
    yield engine
    engine.close()


def a_photo(width, height):
    pixels = np.random.default_rng(0).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)


def arguments(spec):
    return {
        "prompt": spec.prompt,
        "negative_prompt": spec.negative_prompt,
        "width": spec.width,
        "height": spec.height,
        "num_frames": spec.frames,
        "num_inference_steps": spec.steps,
        "guidance_scale": spec.guidance,
        "generator": torch.Generator().manual_seed(spec.seed),
        "output_type": "pt",
    }


def frames_of(engine, spec, photo=None):
    """Ours as [F, 3, H, W] in [0, 1], before they are rounded to bytes."""
    clip = torch.cat(list(engine.decode(engine.denoise(spec, photo))), dim=2)
    return clip[0].transpose(0, 1) / 2 + 0.5


@pytest.mark.parametrize(
    "spec",
    [
        SPEC,
        SPEC.changed(guidance=1.0, negative_prompt=""),
        SPEC.changed(frames=1, steps=3),
        SPEC.changed(prompt="耳机 黑色 旋转", width=96, height=32, frames=25, steps=4, guidance=2.5),
    ],
    ids=["20 steps, guided", "no guidance", "one frame", "Chinese, wide, 25 frames"],
)
def test_text_to_video_equals_the_public_pipeline(engine, public_pipeline, spec):
    expected = public_pipeline(**arguments(spec)).frames[0]
    assert relative_error(frames_of(engine, spec), expected) <= 1e-5


@pytest.mark.parametrize("spec", [SPEC, SPEC.changed(frames=5, steps=3, guidance=1.0)], ids=["20 steps", "short"])
def test_image_to_video_equals_the_public_pipeline(engine, public_pipeline, spec):
    parts = {name: part for name, part in public_pipeline.components.items() if name != "transformer_2"}
    theirs = WanImageToVideoPipeline(**parts, image_encoder=None, image_processor=None, expand_timesteps=True)
    theirs.set_progress_bar_config(disable=True)
    photo = a_photo(spec.width, spec.height)
    expected = theirs(image=photo, **arguments(spec)).frames[0]
    actual = frames_of(engine, spec, cover(photo, spec.width, spec.height))
    assert relative_error(actual, expected) <= 1e-5


def test_generate_hands_out_the_decoded_frames_as_bytes(engine):
    spec = SPEC.changed(steps=2)
    frames = list(engine.generate(spec))
    assert len(frames) == spec.frames
    assert {(frame.shape, frame.dtype.name) for frame in frames} == {((96, 64, 3), "uint8")}
    expected = frames_of(engine, spec).permute(0, 2, 3, 1) * 255
    assert np.abs(np.stack(frames) - expected.numpy()).max() <= 0.51


def test_a_photo_makes_generate_image_to_video(engine):
    photo = a_photo(64, 96)
    spec = SPEC.changed(steps=2, frames=5, image=photo)
    first = frames_of(engine, spec, cover(photo, 64, 96))[0].permute(1, 2, 0) * 255
    generated = list(engine.generate(spec))
    assert np.abs(generated[0] - first.numpy()).max() <= 0.51
    assert not np.array_equal(generated[0], next(iter(engine.generate(spec.changed(image=None)))))


def test_bf16_stays_near_the_exact_clip(diffusers_folder, engine):
    spec = SPEC.changed(steps=3, frames=5)
    rounded = Engine.load(diffusers_folder, dtype=torch.bfloat16)
    assert relative_error(frames_of(rounded, spec).float(), frames_of(engine, spec)) <= 2e-2
