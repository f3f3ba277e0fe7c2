"""The measures of the evaluation: a jump is told from a motion that quickens."""

import numpy as np
import pytest

from model_store.tiny.evaluate import motion_of
from model_store.tiny.scenes import MOTIONS, draw_scene, render
from model_store.tiny.shapes import KINDS

SIZE = {"width": 128, "height": 96, "frames": 25}


@pytest.mark.parametrize("motion", MOTIONS)
def test_a_drawn_clip_moves_without_a_jump(motion: str) -> None:
    for number, kind in enumerate(KINDS):
        clip = render(draw_scene(number, kind=kind, motion=motion), **SIZE).numpy()
        assert motion_of(clip) == (True, True), kind


@pytest.mark.parametrize("at", [1, 12, 24])
@pytest.mark.parametrize("motion", MOTIONS)
def test_a_step_in_brightness_is_a_jump(motion: str, at: int) -> None:
    clip = render(draw_scene(3, kind="bag", background="cool", motion=motion), **SIZE).numpy()
    steps = np.abs(np.diff(clip.astype(np.int16), axis=0)).mean((1, 2, 3))
    brighter = clip.copy()
    brighter[at:] += np.uint8(np.ceil(2 * steps.max()))
    assert motion_of(brighter) == (True, False)


@pytest.mark.parametrize("at", [0, 12, 24])
def test_one_frame_that_is_not_of_the_clip_is_a_jump(at: int) -> None:
    clip = render(draw_scene(3, kind="bag", background="cool", motion="light"), **SIZE).numpy()
    clip[at] += 3
    assert motion_of(clip) == (True, False)


def test_a_light_that_sweeps_faster_at_first_is_no_jump() -> None:
    scene = draw_scene(3, kind="bag", background="cool", motion="light")
    slow = render(scene, width=128, height=96, frames=97).numpy()
    eased = slow[np.round(96 * (1 - (1 - np.linspace(0, 1, 25)) ** 4)).astype(int)]
    steps = np.abs(np.diff(eased.astype(np.int16), axis=0)).mean((1, 2, 3))
    assert steps.max() > 3 * np.median(steps), "it does not quicken: the test shows nothing"
    assert motion_of(eased) == (True, True)


def test_a_still_does_not_move() -> None:
    still = np.full((25, 96, 128, 3), 120, np.uint8)
    assert motion_of(still) == (False, True)
