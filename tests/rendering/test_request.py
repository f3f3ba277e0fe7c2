"""What one may ask of a clip: refused in words before a model is loaded, or the clip that the model draws for it."""

from typing import Any

import pytest

from functions.render_video.request import ClipRequest, frames_for
from shared.bounds import MOST_FRAMES
from shared.drawing import ClipWishes
from shared.errors import PhotoRefused, RequestRefused
from tests.painting import FPS, FRAMES, HEIGHT, MANIFEST, WIDTH

NOTHING = ClipWishes()
SIZED = MANIFEST.model_copy(update={"sizes": ((WIDTH, HEIGHT), (HEIGHT, WIDTH))})


def test_what_is_not_said_is_the_settings_and_then_the_models_own() -> None:
    request = ClipRequest.of(prompt="a mug", steps=7)
    clip = request.clip(MANIFEST, ClipWishes(steps=9, fps=10))
    assert (clip.width, clip.height, clip.frames, clip.fps, clip.steps) == (WIDTH, HEIGHT, FRAMES, 10, 7)
    assert (clip.prompt, clip.negative_prompt, clip.seed, clip.image) == ("a mug", "", 42, None)


def test_a_length_is_counted_in_the_frames_a_second_that_the_clip_has() -> None:
    request = ClipRequest.of(prompt="a mug", seconds=2)
    assert request.clip(MANIFEST, NOTHING).frames == 2 * FPS + 1
    assert request.clip(MANIFEST, ClipWishes(fps=24)).frames == 49
    assert ClipRequest.of(prompt="a mug", seconds=2, fps=8).clip(MANIFEST, ClipWishes(fps=24)).frames == 17


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"prompt": ""}, "the prompt is empty; say what to draw"),
        ({"prompt": " "}, "the prompt is empty; say what to draw"),
        ({"width": 48}, "width 48: .*multiple of 32"),
        ({"frames": 12}, "frames 12: frames are 4n+1, as 9 or 13"),
        ({"frames": 13, "seconds": 1.0}, "give one of them"),
        ({"seconds": 0}, "seconds 0: "),
        ({"seconds": float("nan")}, "seconds nan: "),
        ({"seed": -1}, "seed -1: "),
        ({"seed": 2**63}, "seed 9223372036854775808: "),
        ({"guidance": float("inf")}, "guidance inf: "),
        ({"steps": 0}, "steps 0: "),
        ({"colour": "red"}, "colour 'red': "),
    ],
)
def test_what_no_clip_can_be_is_refused_whatever_the_model(asked: dict[str, Any], told: str) -> None:
    with pytest.raises(RequestRefused, match=told.replace("+", r"\+")):
        ClipRequest.of(**{"prompt": "a mug", **asked})


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"width": 640, "height": 480}, "model painted was made for 128x96 and 96x128; at 640x480 it draws noise"),
        ({"width": 2048, "height": 1024}, "2048x1024 are more than"),
        (
            {"seconds": 60},
            "60 s at 12 frames a second are 721 frames, and a clip has 241 at most; ask for up to 20.08 s",
        ),
    ],
)
def test_what_this_model_cannot_draw_is_refused_with_what_it_can(asked: dict[str, Any], told: str) -> None:
    with pytest.raises(RequestRefused, match=told):
        ClipRequest.of(prompt="a mug", **asked).clip(SIZED, NOTHING)


def test_any_size_is_drawn_where_the_model_names_none_or_one_insists() -> None:
    asked: dict[str, Any] = {"prompt": "a mug", "width": 640, "height": 480}
    assert ClipRequest.of(**asked).clip(MANIFEST, NOTHING).width == 640
    assert ClipRequest.of(**asked, any_size=True).clip(SIZED, NOTHING).width == 640
    assert ClipRequest.of(prompt="a mug", width=HEIGHT, height=WIDTH).clip(SIZED, NOTHING).width == HEIGHT


def test_a_photo_that_is_none_is_refused_by_its_name() -> None:
    request = ClipRequest.of(prompt="a mug", image=b"no picture", image_name="mug.png")
    with pytest.raises(PhotoRefused, match=r"mug\.png"):
        request.clip(MANIFEST, NOTHING)


@pytest.mark.parametrize(("seconds", "fps", "frames"), [(3, 24, 73), (0.01, 24, 1), (1, 16, 17), (5, 24, 121)])
def test_a_length_becomes_4n_plus_1_frames(seconds: float, fps: int, frames: int) -> None:
    assert frames_for(seconds, fps) == frames


@pytest.mark.parametrize(("seconds", "frames"), [(0.3, 5), (0.7, 9), (1.1, 13)])
def test_of_two_lengths_as_near_the_longer_is_taken(seconds: float, frames: int) -> None:
    assert frames_for(seconds, 10) == frames


def test_no_other_number_of_frames_is_nearer() -> None:
    possible = range(1, MOST_FRAMES + 5, 4)
    for fps in (8, 12, 16, 24, 25, 30):
        for hundredths in range(1, 1 + 100 * MOST_FRAMES // fps):
            exact = round(hundredths * fps / 100, 6)
            nearest = min(possible, key=lambda frames: (round(abs(frames - exact), 6), -frames))
            assert frames_for(hundredths / 100, fps) == nearest, (hundredths, fps)
