"""What render_video does with a request: find or draw, inspect, keep, answer. A stand-in draws, a real store keeps."""

import errno
import hashlib
import io
import re
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from functions.render_video import RenderVideo
from functions.render_video.drawn import Drawn, DrawnClips
from functions.render_video.encoding import probe
from functions.render_video.labels import Labeller, read_label
from model_store.manifest import ModelFile, write_manifest
from model_store.sampling import SamplerConfig
from shared.clips import ClipStore
from shared.endings import reason_of
from shared.errors import ConfigurationError, NotANumber, PermanentError, TemporaryError, Unavailable, UnreadableRecord
from shared.events import Event, Experiment, ModelReference, Reason, RenderSpec, TemplateReference, VideoRequested
from shared.objects import ObjectStore
from shared.photos import Photos
from shared.settings import ObjectSettings, RenderSettings, Settings
from tests.painting import FPS, FRAMES, HEIGHT, MANIFEST, WIDTH, Paint, Painter, moving_disc, noise, studio

Start = Callable[[Paint], tuple[RenderVideo, Painter]]


def spec(**changes: Any) -> RenderSpec:
    fields: dict[str, Any] = {
        "prompt": "一只红色陶瓷马克杯",
        "negative_prompt": "字幕",
        "negative_prompt_version": "1",
        "width": WIDTH,
        "height": HEIGHT,
        "frames": FRAMES,
        "fps": FPS,
        "steps": 2,
        "guidance": 1.0,
        "seed": 100,
        "model": ModelReference(name="painted", revision=MANIFEST.revision),
        "template": TemplateReference(id="drinkware", version=1),
        "label_profile": "cn",
    }
    return RenderSpec(**{**fields, **changes})


def request(wanted: RenderSpec, product_id: str = "SKU-1") -> Event[VideoRequested]:
    experiment = Experiment(key="hero", variant="b")
    data = VideoRequested(product_id=product_id, video_id=wanted.video_id, spec=wanted, experiment=experiment)
    extensions = {"traceparent": f"00-{'1' * 32}-{'2' * 16}-01", "other": "x"}
    return Event("video.requested", "/skureel/derive_prompt", f"request-{product_id}", data, extensions=extensions)


@pytest.fixture
def store(object_store: ObjectSettings) -> ClipStore:
    return ClipStore(ObjectStore(object_store))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    write_manifest(folder, MANIFEST)
    return folder


@pytest.fixture
def start(store: ClipStore, object_store: ObjectSettings, model: Path) -> Start:
    settings = Settings().model_copy(update={"objects": object_store})
    settings = settings.model_copy(update={"model": settings.model.model_copy(update={"name": str(model)})})

    def started(paint: Paint) -> tuple[RenderVideo, Painter]:
        painter = Painter(paint)
        photos = Photos(store.objects, RenderSettings())
        function = RenderVideo(settings, store, photos, open_studio=lambda _settings, _folder: studio(painter))
        function.start()
        painter.specs.clear()
        return function, painter

    return started


def test_a_machine_without_room_or_processes_is_no_fault_of_a_record(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    function, _ = start(moving_disc)
    function.check()

    def no_process(*_: Any, **__: Any) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    def no_room(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("subprocess.Popen", no_process)
        with pytest.raises(Unavailable, match="end some processes"):
            function.check()
    with monkeypatch.context() as patched:
        patched.setattr(tempfile, "TemporaryFile", no_room)
        with pytest.raises(Unavailable, match="free some space"):
            function.check()
    function.check()


def test_a_request_becomes_a_stored_labelled_clip_and_a_ready_event(
    start: Start, store: ClipStore, tmp_path: Path
) -> None:
    function, painter = start(moving_disc)
    event = request(spec())
    (answer,) = function.handle(event)
    ready = answer.data
    assert answer.type == "video.ready"
    assert answer.extensions == {"traceparent": event.extensions["traceparent"]}
    assert (ready.product_id, ready.video_id, ready.source_video_id) == ("SKU-1", spec().video_id, spec().video_id)
    assert (ready.cache_hit, ready.seed, ready.mode, ready.experiment.variant) == (False, 100, "t2v", "b")
    assert ready.prompt == painter.specs[0].prompt == spec().prompt
    assert painter.specs[0].negative_prompt == "字幕"
    assert set(ready.timings_seconds) == {"denoise", "decode", "store"}
    assert min(ready.inspection.scores.values()) > 0

    clip = tmp_path / "clip.mp4"
    store.objects.download(ready.master.key, clip)
    assert hashlib.sha256(clip.read_bytes()).hexdigest() == ready.master.sha256
    assert clip.stat().st_size == ready.master.size_bytes
    played = probe(clip)
    assert (played.frames, played.width, played.height, played.fps) == (FRAMES, WIDTH, HEIGHT, FPS)
    label = read_label(clip)
    assert label is not None
    assert label.produce_id == ready.label.produce_id
    poster = store.objects.get(ready.poster.key)
    assert poster is not None
    assert hashlib.sha256(poster).hexdigest() == ready.poster.sha256


@pytest.mark.parametrize("asked", ["cn", "metadata-only"])
@pytest.mark.parametrize("own", ["cn", "metadata-only"])
def test_a_clip_is_labelled_as_its_spec_asks_whatever_the_worker_is_set_to(
    own: str, asked: str, start: Start, store: ClipStore
) -> None:
    function, _ = start(moving_disc)
    function._studio.labeller = Labeller(own, "skureel")
    wanted = spec(label_profile=asked)
    (answer,) = function.handle(request(wanted))
    poster = store.objects.get(answer.data.poster.key)
    assert poster is not None
    drawn = np.asarray(Image.open(io.BytesIO(poster)), np.int16)
    unmarked = moving_disc(100, FRAMES // 2).astype(np.int16)
    corner = np.abs(drawn - unmarked)[: HEIGHT // 5, : WIDTH // 4].mean()
    assert (corner > 20) == (asked == "cn"), corner
    record = store.find(wanted.video_id)
    assert record is not None
    assert (record.spec.label_profile, record.label.profile, answer.data.label.profile) == (asked, asked, asked)


def test_a_label_profile_that_is_not_known_is_never_drawn(start: Start) -> None:
    function, painter = start(moving_disc)
    with pytest.raises(PermanentError, match="use one of") as caught:
        function.handle(request(spec(label_profile="eu")))
    assert (caught.value.reason, painter.specs) == ("unknown-label-profile", [])


def test_an_equal_request_finds_the_clip_and_draws_nothing(start: Start) -> None:
    function, painter = start(moving_disc)
    (first,) = function.handle(request(spec(), "SKU-1"))
    (second,) = function.handle(request(spec(), "SKU-2"))
    assert len(painter.specs) == 1
    assert (second.data.cache_hit, second.data.product_id) == (True, "SKU-2")
    assert second.data.master == first.data.master
    assert second.data.timings_seconds == {}
    assert second.id != first.id


def test_every_clip_that_is_answered_with_is_one_line_of_the_log(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    function, _ = start(moving_disc)
    with caplog.at_level("INFO"):
        function.handle(request(spec(), "SKU-1"))
        function.handle(request(spec(), "SKU-2"))
    drawn, found = (line for line in caplog.messages if line.startswith("video "))
    video_id = spec().video_id[:12]
    number = r"\d+\.\d s"
    stages = rf"denoise {number}, decode {number}, store {number}"
    assert re.fullmatch(rf"video {video_id} for product SKU-1: ready, {stages}; seed 100, attempt 1", drawn)
    assert found == f"video {video_id} for product SKU-2: ready, was there; seed 100, attempt 1"


def test_a_redelivered_request_has_the_same_answer_id(start: Start) -> None:
    function, _ = start(moving_disc)
    (first,) = function.handle(request(spec()))
    (again,) = function.handle(request(spec()))
    assert again.id == first.id


def test_a_clip_that_fails_inspection_is_drawn_again_with_the_next_seed(start: Start) -> None:
    function, painter = start(lambda seed, index: moving_disc(seed, index) if seed == 102 else noise(seed, index))
    (answer,) = function.handle(request(spec()))
    assert [asked.seed for asked in painter.specs] == [100, 101, 102]
    assert (answer.type, answer.data.seed) == ("video.ready", 102)


def test_a_clip_that_never_passes_is_for_a_person(start: Start, store: ClipStore) -> None:
    function, painter = start(noise)
    (answer,) = function.handle(request(spec()))
    assert len(painter.specs) == 3
    assert (answer.type, answer.data.attempts) == ("video.review", 3)
    assert "noise" in {reason.code for reason in answer.data.inspection.reasons}
    assert store.objects.head(answer.data.master.key) is not None
    (again,) = function.handle(request(spec(), "SKU-2"))
    assert (again.type, len(painter.specs)) == ("video.review", 3)


def test_a_good_clip_is_for_a_person_where_its_product_wants_one(start: Start) -> None:
    """The clip is everybody's: a product that shares it and wants nobody is ready."""
    function, painter = start(moving_disc)
    wanted = request(spec())
    why = (Reason(code="review-licence", message="a figure of somebody's"),)
    (answer,) = function.handle(replace(wanted, data=wanted.data.model_copy(update={"review": why})))
    assert (answer.type, answer.data.reasons, answer.data.inspection.reasons) == ("video.review", why, ())
    (other,) = function.handle(request(spec(), "SKU-2"))
    assert (other.type, len(painter.specs)) == ("video.ready", 1)


def test_whoever_writes_the_record_first_decides(start: Start, store: ClipStore) -> None:
    """Two GPUs may draw one request after a redelivery, with different bytes: all events name the same files."""
    slow, _ = start(lambda seed, index: moving_disc(seed, index + 1))
    quick, _ = start(moving_disc)

    class Overtaken(ClipStore):
        """Between the slow one's look and its record, the quick one does the same work."""

        def keep_record(self, record: Any) -> Any:
            quick.handle(request(spec()))
            return super().keep_record(record)

    slow._store = Overtaken(store.objects)
    (answer,) = slow.handle(request(spec()))
    record = store.find(spec().video_id)
    assert record is not None
    assert answer.data.master == record.master
    masters = [facts.key for facts in store.objects.list(f"videos/{spec().video_id}/") if facts.key.endswith(".mp4")]
    assert len(masters) == 2


class Away(ClipStore):
    """A store that is away for what is named, as often as it is asked."""

    def __init__(self, objects: ObjectStore, *names: str) -> None:
        super().__init__(objects)
        self.names = names

    def keep_file(self, video_id: str, path: Path, sha256: str, content_type: str) -> tuple[str, str]:
        self._fail_for(path.suffix)
        return super().keep_file(video_id, path, sha256, content_type)

    def keep_record(self, record: Any) -> Any:
        self._fail_for("record")
        return super().keep_record(record)

    def _fail_for(self, name: str) -> None:
        if name in self.names:
            raise Unavailable("the store does not answer")


@pytest.mark.parametrize("missing", [".jpg", ".mp4", "record"])
def test_what_is_drawn_is_stored_when_the_store_is_back_and_not_drawn_again(
    start: Start, store: ClipStore, missing: str
) -> None:
    function, painter = start(moving_disc)
    function._store = Away(store.objects, missing)
    for _ in range(3):
        with pytest.raises(Unavailable):
            function.handle(request(spec()))
    function._store = store
    (answer,) = function.handle(request(spec()))
    assert (answer.type, answer.data.cache_hit) == ("video.ready", False)
    assert len(painter.specs) == 1
    stored = store.objects.get(answer.data.master.key)
    assert stored is not None
    assert hashlib.sha256(stored).hexdigest() == answer.data.master.sha256


def test_what_waits_for_the_store_is_bounded_and_leaves_the_disk(
    start: Start, store: ClipStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "disk"))
    (tmp_path / "disk").mkdir()
    function, painter = start(moving_disc)
    function._drawn = DrawnClips(most=2)
    function._store = Away(store.objects, ".mp4")
    for seed in range(4):
        with pytest.raises(Unavailable):
            function.handle(request(spec(seed=seed)))
    assert len(list((tmp_path / "disk").iterdir())) == 2
    function._store = store
    function.handle(request(spec(seed=3)))
    assert len(painter.specs) == 4
    function.handle(request(spec(seed=0)))
    assert len(painter.specs) == 5
    function.stop()
    assert list((tmp_path / "disk").iterdir()) == []


@pytest.mark.parametrize("error", [PermanentError("no", reason="no"), KeyError("a defect"), KeyboardInterrupt()])
def test_a_clip_whose_storing_makes_no_sense_to_try_again_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    clips = DrawnClips()

    def draw(folder: Path) -> Drawn:
        (folder / "clip.mp4").write_bytes(b"x")
        return Drawn(None, 1, folder)  # type: ignore[arg-type]

    with pytest.raises(type(error)), clips.drawn_once("a" * 64, draw):
        raise error
    assert list(tmp_path.iterdir()) == []


def test_other_weights_are_waited_for(start: Start) -> None:
    function, painter = start(moving_disc)
    wanted = spec(model=ModelReference(name="painted", revision="f" * 64))
    with pytest.raises(TemporaryError, match="roll out the same model"):
        function.handle(request(wanted))
    assert painter.specs == []


def test_a_photo_becomes_the_first_frame(start: Start, store: ClipStore, tmp_path: Path) -> None:
    function, painter = start(moving_disc)
    Image.new("RGB", (50, 40), (10, 120, 30)).save(tmp_path / "photo.png")
    store.objects.put_new("uploads/photo.png", (tmp_path / "photo.png").read_bytes(), "image/png")
    digest = Photos(store.objects, RenderSettings()).digest("uploads/photo.png")
    (answer,) = function.handle(request(spec(image_sha256=digest)))
    assert painter.specs[0].image.getpixel((0, 0)) == (10, 120, 30)
    assert answer.data.mode == "ti2v"


def png(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.effect_noise((width, height), 60).save(file, "png")
    return file.getvalue()


@pytest.mark.parametrize(
    ("photo", "because"),
    [
        (b"\x89PNG\r\n\x1a\n broken", "the product's photo is damaged; save it again as JPEG or PNG and send that"),
        (png(60, 60)[:1500], "the product's photo is cut off; send the whole file"),
        (png(60, 5), "the product's photo has 60x5 pixels, too few to be filmed"),
    ],
)
def test_a_photo_that_cannot_be_opened_rejects_the_product(
    photo: bytes, because: str, start: Start, store: ClipStore
) -> None:
    function, painter = start(moving_disc)
    store.objects.put_new("uploads/broken.png", photo, "image/png")
    wanted = spec(image_sha256=Photos(store.objects, RenderSettings()).digest("uploads/broken.png"))
    event = request(wanted)
    (answer,) = function.handle(event)
    assert (answer.type, answer.data.product_id, answer.data.video_id) == ("video.rejected", "SKU-1", wanted.video_id)
    (reason,) = answer.data.reasons
    assert (reason.code, reason.field) == ("invalid-image", "image")
    assert reason.message.startswith(because)
    assert painter.specs == []
    assert answer.data.experiment == event.data.experiment
    assert store.find(wanted.video_id) is None


def test_a_photo_that_has_gone_rejects_the_product(start: Start) -> None:
    function, _ = start(moving_disc)
    (answer,) = function.handle(request(spec(image_sha256="0" * 64)))
    assert answer.type == "video.rejected"
    assert "publish the product again" in answer.data.reasons[0].message


def test_a_request_that_fails_for_another_reason_is_not_the_merchants_fault(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    function, painter = start(moving_disc)

    def generate(*_: object) -> None:
        raise PermanentError("the prompt has no words", reason="invalid-spec")

    monkeypatch.setattr(painter, "generate", generate)
    with pytest.raises(PermanentError, match="no words"):
        function.handle(request(spec()))


def test_garbage_in_the_place_of_a_record_has_the_clip_drawn_again_and_every_product_answered(
    start: Start, store: ClipStore
) -> None:
    function, _ = start(moving_disc)
    store.objects.put_new(f"videos/{spec().video_id}/record.json", b"<html>hello</html>", "application/json")
    (first,), (second,) = function.handle(request(spec())), function.handle(request(spec()))
    assert (first.data.cache_hit, second.data.cache_hit) == (False, True)
    assert first.data.master.key == second.data.master.key


def test_the_record_of_another_release_has_its_product_wait_with_a_reason_of_its_own(
    start: Start, store: ClipStore
) -> None:
    function, painter = start(moving_disc)
    key, stored = f"videos/{spec().video_id}/record.json", f'{{"video_id": "{spec().video_id}", "outcome": "archived"}}'
    store.objects.put_new(key, stored.encode(), "application/json")
    with pytest.raises(UnreadableRecord, match="delete the object") as waits:
        function.handle(request(spec()))
    assert reason_of(waits.value) == "unreadable-record"
    assert store.objects.get(key) == stored.encode()
    assert painter.specs == []


def test_the_model_is_proved_before_it_is_used(start: Start, model: Path) -> None:
    (model / "weights.safetensors").write_bytes(b"abc")
    listed = ModelFile(path="weights.safetensors", sha256="0" * 64, size_bytes=3)
    write_manifest(model, MANIFEST.model_copy(update={"files": (listed,)}))
    with pytest.raises(ConfigurationError, match="differs from its sha256"):
        start(moving_disc)


def test_a_worker_whose_warm_up_is_no_number_is_not_ready_and_says_so(
    store: ClipStore, object_store: ObjectSettings, model: Path
) -> None:
    def broken(seed: int, index: int) -> None:
        raise NotANumber("latents of a clip: 12 of 90 values are NaN or infinite on cuda:0; try another device")

    settings = Settings().model_copy(update={"objects": object_store})
    settings = settings.model_copy(update={"model": settings.model.model_copy(update={"name": str(model)})})
    drawing = studio(Painter(broken))
    function = RenderVideo(
        settings, store, Photos(store.objects, RenderSettings()), open_studio=lambda _settings, _folder: drawing
    )
    with pytest.raises(ConfigurationError, match=r"painted cannot draw here: latents.*12 of 90 values"):
        function.start()
    assert not function.ready()


@pytest.mark.parametrize(("timesteps", "steps"), [((), 1), ((1000, 757, 522), 3)])
def test_a_worker_is_warmed_up_in_steps_that_its_model_can_take(
    timesteps: tuple[int, ...], steps: int, store: ClipStore, object_store: ObjectSettings, model: Path
) -> None:
    sampler = SamplerConfig(kind="few-step" if timesteps else "unipc", timesteps=timesteps)
    defaults = MANIFEST.defaults.changed(steps=len(timesteps) or 20)
    write_manifest(model, MANIFEST.model_copy(update={"sampler": sampler, "defaults": defaults}))
    settings = Settings().model_copy(update={"objects": object_store})
    settings = settings.model_copy(update={"model": settings.model.model_copy(update={"name": str(model)})})
    painter = Painter()
    photos = Photos(store.objects, settings.render)
    RenderVideo(settings, store, photos, open_studio=lambda _settings, _folder: studio(painter)).start()
    assert [clip.steps for clip in painter.specs] == [steps]


def test_after_a_clip_that_is_no_number_the_device_is_tried(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it draws nothing any more, no record is to blame; where it does, the clip alone is."""
    function, painter = start(moving_disc)

    def broken(seed: int, index: int) -> None:
        raise NotANumber("latents of a clip: 12 of 90 values are NaN or infinite on cuda:0; try another device")

    function.check()
    assert painter.specs == []  # nothing is drawn without a doubt
    with monkeypatch.context() as device:
        device.setattr(painter, "paint", broken)
        with pytest.raises(NotANumber):
            function.handle(request(spec()))
        with pytest.raises(ConfigurationError, match="cannot draw here"):
            function.check()
    painter.specs.clear()
    function.check()
    function.check()
    assert [clip.prompt for clip in painter.specs] == ["warm-up"]


def test_a_clip_that_is_no_number_is_given_up_at_once(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not drawn with the next seeds: whether the device is broken is for the runtime to find out."""
    function, painter = start(moving_disc)

    def broken(seed: int, index: int) -> None:
        raise NotANumber("latents of a clip: 12 of 90 values are NaN or infinite on cuda:0; try another device")

    monkeypatch.setattr(painter, "paint", broken)
    with pytest.raises(NotANumber, match="12 of 90 values"):
        function.handle(request(spec()))
    assert len(painter.specs) == 1


def test_stopping_gives_the_device_back(start: Start) -> None:
    function, painter = start(moving_disc)
    assert function.ready()
    function.stop()
    assert painter.closed
    assert not function.ready()


def test_a_clip_that_is_given_up_lets_go_of_the_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever handles the error may keep its traceback, and with it everything that waits for the next frame."""
    frames = (np.zeros((HEIGHT, WIDTH + 2, 3), np.uint8) for _ in range(FRAMES))
    painter = Painter()
    monkeypatch.setattr(painter, "generate", lambda *_: frames)
    with pytest.raises(PermanentError):
        studio(painter).draw(spec().attempt(0), name="given-up", folder=tmp_path)
    assert frames.gi_frame is None


def test_urls_are_of_the_moment_they_are_sent(start: Start, store: ClipStore, object_store: ObjectSettings) -> None:
    """A presigned url expires and a public host moves; the record does not change."""
    function, _ = start(moving_disc)
    function.handle(request(spec()))
    moved = object_store.model_copy(update={"public_url": "https://cdn.example.com/v"})
    function._store = ClipStore(ObjectStore(moved))
    (again,) = function.handle(request(spec(), "SKU-2"))
    assert again.data.master.url == f"https://cdn.example.com/v/{again.data.master.key}"
    assert again.data.poster.url == f"https://cdn.example.com/v/{again.data.poster.key}"
