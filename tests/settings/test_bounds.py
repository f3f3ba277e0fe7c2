"""What a clip may be is the same to a setting, a render spec, a manifest and the command."""

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from model_store.manifest import Manifest
from model_store.sampling import SamplerConfig
from shared.bounds import LARGEST_AREA_PX, MOST_FRAMES
from shared.drawing import ClipNumbers
from shared.errors import ConfigurationError
from shared.events import RenderSpec
from shared.settings import RenderSettings
from tests.events.test_render_spec import spec

CLIP: dict[str, Any] = {"width": 640, "height": 480, "frames": 73, "fps": 24, "steps": 50, "guidance": 5.0}


def settings(**clip: Any) -> RenderSettings:
    return RenderSettings.model_validate(clip)


def defaults(**clip: Any) -> ClipNumbers:
    return ClipNumbers.model_validate({**CLIP, **clip})


def manifest(*timesteps: int, steps: int) -> Manifest:
    return Manifest(
        name="m",
        version="1",
        architecture="wan2.2-ti2v",
        quantisation="none",
        licence="unknown",
        sampler=SamplerConfig(kind="few-step" if timesteps else "unipc", timesteps=timesteps),
        defaults=defaults(steps=steps),
        files=(),
    )


@pytest.mark.parametrize("make", [settings, spec, defaults])
@pytest.mark.parametrize(
    ("name", "within", "beyond"),
    [
        ("width", [32, 1280], [0, 48, 4128]),
        ("height", [32, 1280], [0, 48, 4128]),
        ("frames", [1, 5, MOST_FRAMES], [0, -3, 72, MOST_FRAMES + 4, 1001]),
        ("fps", [1, 120], [0, 121]),
        ("steps", [1, 200], [0, 201]),
        ("guidance", [0.0, 50.0], [-0.1, 50.1, float("nan"), float("inf")]),
    ],
)
def test_the_bounds_are_the_same_everywhere(
    make: Callable[..., Any], name: str, within: list[Any], beyond: list[Any]
) -> None:
    for value in within:
        assert getattr(make(**{name: value}), name) == value
    for value in beyond:
        with pytest.raises(ValidationError):
            make(**{name: value})


@pytest.mark.parametrize("make", [spec, defaults])
def test_a_picture_has_no_more_pixels_than_a_model_can_draw(make: Callable[..., Any]) -> None:
    assert 1024 * 1024 == LARGEST_AREA_PX
    make(width=1024, height=1024)
    with pytest.raises(ValidationError, match="2048x1024 are more than 1,048,576 pixels"):
        make(width=2048, height=1024)


def test_a_setting_and_a_default_that_together_are_too_large_are_refused() -> None:
    assert manifest(steps=50).configured_numbers(settings(width=1280)).width == 1280
    with pytest.raises(ConfigurationError, match=r"2304x480 are more than .*; change SKUREEL_RENDER__WIDTH"):
        manifest(steps=50).configured_numbers(settings(width=2304))


def test_a_distilled_model_takes_its_own_steps_alone() -> None:
    distilled = manifest(1000, 757, 522, steps=3)
    assert distilled.configured_numbers(settings(fps=12)).steps == 3
    assert manifest(steps=50).configured_numbers(settings(steps=20)).steps == 20
    with pytest.raises(ConfigurationError, match=r"distilled to 3 steps, not 50; change SKUREEL_RENDER__STEPS"):
        distilled.configured_numbers(settings(steps=50))


@pytest.mark.parametrize("make", [settings, spec, defaults])
def test_guidance_has_one_zero(make: Callable[..., Any]) -> None:
    assert str(make(guidance=-0.0).guidance) == "0.0"


def test_two_writings_of_zero_name_one_video() -> None:
    written = spec(guidance=0.0).model_dump_json()
    other = written.replace('"guidance":0.0', '"guidance":-0.0')
    assert other != written
    assert RenderSpec.model_validate_json(other).video_id == spec(guidance=0.0).video_id
