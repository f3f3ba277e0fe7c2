"""The render spec and the video id that names it."""

import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from shared.events import ModelReference, RenderSpec, TemplateReference, VideoRequested


def spec(**changes: Any) -> RenderSpec:
    fields: dict[str, Any] = {
        "prompt": "一只红色陶瓷马克杯",
        "negative_prompt": "字幕",
        "negative_prompt_version": "1",
        "width": 640,
        "height": 480,
        "frames": 73,
        "fps": 24,
        "steps": 50,
        "guidance": 5.0,
        "model": ModelReference(name="tiny", revision="r1"),
        "template": TemplateReference(id="drinkware", version=1),
        "label_profile": "cn",
    }
    return RenderSpec(**{**fields, **changes})


def test_equal_specs_have_one_id_in_any_process() -> None:
    code = f"from tests.events.test_render_spec import spec; print(spec(guidance={5}).video_id)"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert other.stdout.strip() == spec().video_id


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "一只蓝色陶瓷马克杯"},
        {"negative_prompt_version": "2"},
        {"width": 480, "height": 640},
        {"frames": 77},
        {"steps": 51},
        {"guidance": 5.5},
        {"seed": 7},
        {"model": ModelReference(name="tiny", revision="r2")},
        {"model": ModelReference(name="tiny", revision="r1", quantisation="int8")},
        {"template": TemplateReference(id="drinkware", version=2)},
        {"image_sha256": "0" * 64},
        {"label_profile": "metadata-only"},
        {"generation": 1},
    ],
)
def test_whatever_decides_the_picture_changes_the_id(change: dict[str, Any]) -> None:
    assert spec(**change).video_id != spec().video_id


def test_the_first_generation_is_named_as_if_there_were_no_other() -> None:
    assert b"generation" not in spec().canonical_json()
    assert spec(generation=0).video_id == spec().video_id
    assert spec(generation=1).video_id != spec(generation=2).video_id


def test_the_id_survives_the_wire() -> None:
    assert RenderSpec.model_validate_json(spec().model_dump_json()).video_id == spec().video_id


@pytest.mark.parametrize(
    "change",
    [{"frames": 72}, {"width": 720}, {"height": 0}, {"guidance": float("nan")}, {"prompt": ""}, {"steps": 0}],
)
def test_what_no_model_can_draw_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        spec(**change)


def test_the_seed_comes_from_the_id_and_moves_on_with_each_attempt() -> None:
    first = spec().seed_for(0)
    assert first == spec().seed_for(0)
    assert spec().seed_for(2) == first + 2
    assert spec(prompt="other").seed_for(0) != first
    assert spec(seed=7).seed_for(1) == 8


def test_a_request_whose_id_does_not_name_its_spec_is_refused() -> None:
    VideoRequested(product_id="p", video_id=spec().video_id, spec=spec())
    with pytest.raises(ValidationError, match="does not name this spec"):
        VideoRequested(product_id="p", video_id="0" * 64, spec=spec())
