"""The evaluation: a jump is told from a motion that quickens, and its cases go round all there is."""

import numpy as np
import pytest

from model_store.tiny.captions import MATERIAL_WORDS
from model_store.tiny.evaluate import held_out_cases, motion_of
from model_store.tiny.scenes import COLOURS, MATERIALS, MOTIONS, draw_scene, render
from model_store.tiny.shapes import KINDS

SIZE = {"width": 128, "height": 96, "frames": 25}


@pytest.mark.slow
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


def test_the_cases_go_round_all_pairs() -> None:
    cases = held_out_cases(len(KINDS) * len(COLOURS))
    assert len({(case.kind, case.colour) for case in cases}) == len(KINDS) * len(COLOURS)
    assert len({(case.kind, case.motion) for case in cases}) == len(KINDS) * len(MOTIONS)
    assert len({(case.colour, case.language) for case in cases}) == len(COLOURS) * 2
    of_a_report = held_out_cases(102)
    assert {case.colour for case in of_a_report} == set(COLOURS)
    for which, language in enumerate(("zh", "en")):
        prompts = [case.prompt for case in of_a_report if case.language == language]
        for material in MATERIALS:
            word = MATERIAL_WORDS[material][which][0]
            assert any(word in prompt for prompt in prompts), f"{material} is never asked for in {language}"
