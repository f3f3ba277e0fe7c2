"""Scenes: a seed says everything, and what is asked for is drawn."""

from itertools import pairwise

import pytest
import torch

from model_store.tiny.evaluate import SMALLEST_CHANGE
from model_store.tiny.scenes import BACKGROUNDS, COLOURS, MATERIALS, MOTIONS, draw_scene, render, trace
from model_store.tiny.shapes import BOUNDS, KINDS

SIZE = {"width": 96, "height": 64, "frames": 25}


def test_the_choice_is_as_wide_as_promised() -> None:
    assert len(KINDS) >= 12
    assert len(COLOURS) >= 10
    assert len(MATERIALS) == 4
    assert len(BACKGROUNDS) == 6
    assert len(MOTIONS) == 3


def test_a_seed_gives_the_same_clip_again() -> None:
    first, again, other = (render(draw_scene(seed), only=[0, 12], **SIZE) for seed in (7, 7, 8))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_named_choice_leaves_the_others_as_drawn() -> None:
    free, named = draw_scene(3), draw_scene(3, kind="mug")
    assert named.kind == "mug"
    assert (named.colour, named.material, named.light) == (free.colour, free.material, free.light)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_stands_inside_its_bounds(kind: str) -> None:
    low, high = BOUNDS
    axes = [torch.linspace(a - 0.1, b + 0.1, 40) for a, b in zip(low, high, strict=True)]
    points = torch.cartesian_prod(*axes)
    outside = ((points < torch.tensor(low)) | (points > torch.tensor(high))).any(-1)
    distances = torch.stack([part.distance(points) for part in KINDS[kind](dict.fromkeys("abc", 1.0))]).amin(0)
    assert (distances < 0).any(), "nothing there"
    assert not (distances[outside] < -0.02).any(), "the baked grid would cut it off"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_shows_its_colour(kind: str) -> None:
    pictures = [
        render(draw_scene(1, kind=kind, colour=colour, material="matte", background="cool"), only=[0], **SIZE)
        .float()
        .mean((0, 1, 2))
        for colour in ("red", "blue")
    ]
    assert pictures[0][0] > pictures[1][0] + 4
    assert pictures[1][2] > pictures[0][2] + 4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("colour", ["white", "black"])
def test_every_kind_is_seen_to_turn(kind: str, colour: str) -> None:
    scene = draw_scene(6, kind=kind, colour=colour, material="matte", background="studio", motion="turntable")
    first, last = render(scene, only=[0, 24], **SIZE).float()
    assert (last - first).abs().mean() > 2 * SMALLEST_CHANGE


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_turns_until_it_is_seen_edge_on(kind: str) -> None:
    frames = list(range(0, 25, 2))
    for seed in range(3):
        scene = draw_scene(seed, kind=kind, motion="turntable")
        geometry = trace(scene, width=96, height=64, frames=25, only=frames)
        seen = torch.bincount(geometry.pixel // (96 * 64), minlength=len(frames))
        assert seen.min() > 0.55 * seen.max()


def test_a_colour_is_told_by_its_lightness_whatever_the_material() -> None:
    def lightness(colour: str, material: str) -> float:
        scene = draw_scene(2, kind="mug", colour=colour, material=material, background="cool")
        geometry = trace(scene, width=96, height=64, frames=25, only=[0])
        return float(render(scene, only=[0], **SIZE).float().mean(-1).flatten()[geometry.pixel].median())

    for lighter, darker in pairwise(("white", "silver", "grey", "black")):
        lights = [lightness(lighter, material) for material in MATERIALS]
        darks = [lightness(darker, material) for material in MATERIALS]
        assert min(lights) > max(darks) + 8, (lighter, lights, darker, darks)
