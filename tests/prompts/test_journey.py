"""The function's story: reject, find, or ask for a clip; and what decides the render spec."""

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from functions.derive_prompt import SpecMaker
from functions.derive_prompt.recognise.understanding import visible_fields
from shared.clips import ClipRecord
from shared.errors import ConfigurationError, PhotoNotYet, PhotoRefused, TemporaryError
from shared.events import Event, Experiment, VideoRequested
from shared.settings import ModelSettings, RenderSettings, Settings
from tests.prompts.conftest import MANIFEST, NOW, CountingStore, created, product, record, started


def test_a_new_product_asks_for_a_clip() -> None:
    function = started()
    item = product(color="白色", channels=["tiktok"], experiment={"key": "k", "variant": "b"})
    (event,) = function.handle(created(item))
    request: VideoRequested = event.data
    assert event.type == "video.requested"
    assert event.key == request.video_id == request.spec.video_id
    assert request.product_id == "SKU-1"
    assert request.channels == ("tiktok",)
    assert request.experiment == Experiment(key="k", variant="b")
    assert event.time == NOW
    assert "白色" in request.spec.prompt


def test_a_clip_that_is_there_is_ready_at_once() -> None:
    store = CountingStore()
    function = started(store=store)
    item = product(color="白色", experiment={"key": "k", "variant": "b"})
    spec = function.handle(created(item))[0].data.spec
    store.records[spec.video_id] = record(spec)
    (event,) = function.handle(created(product(color="白色", product_id="SKU-2", price="9.9"), "e-2"))
    assert event.type == "video.ready"
    assert event.key == "SKU-2"
    assert event.data.cache_hit
    assert event.data.source_video_id == spec.video_id
    assert event.data.timings_seconds == {}


def test_a_clip_that_a_person_must_look_at_is_asked_for_again() -> None:
    store = CountingStore()
    function = started(store=store)
    spec = function.handle(created(product()))[0].data.spec
    store.records[spec.video_id] = record(spec, "review")
    assert function.handle(created(product()))[0].type == "video.requested"


def test_a_ready_clip_that_a_person_is_to_see_first_is_asked_for() -> None:
    store = CountingStore()
    function = started(store=store)
    spec = function.handle(created(product("马克杯")))[0].data.spec
    store.records[spec.video_id] = record(spec)
    (event,) = function.handle(created(product("蜡笔小新 马克杯")))
    assert (event.type, event.data.video_id) == ("video.requested", spec.video_id)
    assert [reason.code for reason in event.data.review] == ["review-licence"]


def test_a_ready_clip_is_asked_for_once_and_an_unknown_one_each_time() -> None:
    store = CountingStore()
    function = started(store=store)
    spec = function.handle(created(product()))[0].data.spec
    function.handle(created(product()))
    assert store.asked == [spec.video_id] * 2
    store.records[spec.video_id] = record(spec)
    for _ in range(5):
        assert function.handle(created(product()))[0].type == "video.ready"
    assert store.asked == [spec.video_id] * 3


def test_a_store_that_does_not_answer_is_not_swallowed() -> None:
    class Dead:
        def find(self, video_id: str) -> ClipRecord | None:
            raise TemporaryError("the store does not answer")

    with pytest.raises(TemporaryError):
        started(store=Dead()).handle(created(product()))  # type: ignore[arg-type]


def test_a_redelivery_says_the_same_under_the_same_id() -> None:
    one, other = (started().handle(created(product(color="红色")))[0] for _ in range(2))
    assert one == other
    assert one.id == other.id


def test_an_update_is_handled_like_a_creation() -> None:
    function = started()
    updated = Event(type="product.updated", source="/market", id="e-9", data=product(), subject="SKU-1")
    assert set(function.consumes) == {"product.created", "product.updated"}
    assert function.handle(updated)[0].data.spec == function.handle(created(product()))[0].data.spec


def test_the_spec_takes_the_models_defaults_and_settings_override_them() -> None:
    plain = SpecMaker(Settings(), MANIFEST).derive(visible_fields(product())).spec
    assert (plain.width, plain.height, plain.frames, plain.fps, plain.steps, plain.guidance, plain.seed) == (
        *(640, 480, 73, 24, 50, 5.0),
        None,
    )
    assert plain.model.revision == MANIFEST.revision
    assert plain.negative_prompt_version == "wan2.2-default-1"
    render = RenderSettings(
        width=480, height=832, frames=25, fps=16, steps=4, guidance=1.0, seed=7, label_profile="metadata-only"
    )
    asked = SpecMaker(Settings(render=render), MANIFEST).derive(visible_fields(product())).spec
    assert (asked.width, asked.height, asked.frames, asked.fps, asked.steps, asked.guidance, asked.seed) == (
        *(480, 832, 25, 16, 4, 1.0),
        7,
    )
    assert asked.label_profile == "metadata-only"
    assert asked.video_id != plain.video_id


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (Settings(render=RenderSettings(width=2304)), "WIDTH"),
        (Settings(model=ModelSettings(revision="0" * 64)), "REVISION"),
    ],
)
def test_settings_that_no_clip_can_meet_stop_the_start(settings: Settings, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        started(settings)


def test_a_photo_is_used_only_where_something_digests_it() -> None:
    item = product(image="photos/1.jpg")
    assert started().handle(created(item))[0].data.spec.image_sha256 is None
    digest = "a" * 64
    seen: list[str] = []

    def photo_digest(image: str) -> str | None:
        seen.append(image)
        return digest

    spec = started(photo_digest=photo_digest).handle(created(item))[0].data.spec
    assert spec.image_sha256 == digest
    assert spec.mode == "ti2v"
    assert seen == ["photos/1.jpg"]


def test_the_function_is_ready_between_start_and_stop() -> None:
    function = started()
    assert function.ready()
    function.stop()
    assert not function.ready()


@pytest.mark.parametrize("text", ["好" * 20_000, "a" * 20_000])
def test_a_huge_product_is_handled_and_not_remembered(text: str) -> None:
    item = product(material=["棉"] * 60, attributes={"材质": text})
    assert started().handle(created(item))[0].type == "video.requested"


def test_importing_the_function_imports_no_heavy_library() -> None:
    script = (
        "import sys, functions.derive_prompt, functions.derive_prompt.prompts\n"
        "heavy = {'torch', 'transformers', 'numpy', 'kafka', 'minio', 'PIL', 'confluent_kafka'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_prompts_do_not_depend_on_the_process() -> None:
    script = (
        "from tests.prompts.conftest import captioned\n"
        "print(captioned('刺绣蕾丝条纹连衣裙 女', color='白色+红色').prompt)\n"
    )
    outputs: set[Any] = set()
    for seed in ("0", "1"):
        command = [sys.executable, "-X", "utf8", "-c", script]
        ran = subprocess.run(
            command, check=True, timeout=60, capture_output=True, env={"PYTHONHASHSEED": seed, "PYTHONPATH": "."}
        )
        outputs.add(ran.stdout)
    assert len(outputs) == 1


def test_a_photo_that_is_refused_is_told_to_the_merchant() -> None:
    def refused(image: str) -> str:
        raise PhotoRefused(f"image {image!r} is not in the bucket; upload it first")

    function = started(photo_digest=refused)
    (answer,) = function.handle(created(product(image="uploads/none.jpg")))
    assert answer.type == "video.rejected"
    assert [(reason.code, reason.field) for reason in answer.data.reasons] == [("invalid-image", "image")]
    assert "商品图片无法使用" in answer.data.reasons[0].message


def test_a_photo_that_is_not_there_yet_is_waited_for_and_then_told_to_the_merchant() -> None:
    def missing(image: str) -> str:
        raise PhotoNotYet(f"image {image!r} is not there; upload it and publish the product again")

    function = started(photo_digest=missing)
    event = created(product(image="uploads/none.jpg"))
    with pytest.raises(PhotoNotYet):
        function.handle(event)
    (answer,) = function.handle(replace(event, last_round=True))
    assert answer.type == "video.rejected"
    (reason,) = answer.data.reasons
    assert (reason.code, reason.field) == ("invalid-image", "image")
    assert "publish the product again" in reason.message


def test_a_photo_is_part_of_the_spec() -> None:
    function = started(photo_digest=lambda _image: "a" * 64)
    with_photo, without = (function.handle(created(product(image=image)))[0].data for image in ("x.jpg", None))
    assert with_photo.spec.image_sha256 == "a" * 64
    assert with_photo.video_id != without.video_id
