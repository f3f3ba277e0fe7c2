"""video.requested -> video.ready, video.review or video.rejected: draw the clip, inspect, label and store it.

The one that needs a GPU. Nothing but drawing belongs here: what to draw was decided by derive_prompt and is in the
event's render spec.
"""

import hashlib
import logging
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from functions.render_video.drawn import Drawn, DrawnClips
from functions.render_video.ffmpeg import FfmpegRun, ffmpeg_path
from functions.render_video.photo import decode_photo
from functions.render_video.studio import Draft, Studio, open_studio
from model_store.manifest import Manifest, model_folder, read_manifest, verify
from shared.bucket import access_of
from shared.clips import ClipRecord, ClipStore
from shared.errors import PHOTO_HELP, ConfigurationError, NotANumber, PhotoRefused, TemporaryError
from shared.events import Clip, Event, Poster, Reason, RenderSpec, VideoRejected, VideoRequested, answer, read_by
from shared.machine import own_machine
from shared.objects import ObjectStore
from shared.photos import Photos
from shared.settings import Settings

if TYPE_CHECKING:
    from PIL.Image import Image

log = logging.getLogger(__name__)

SOURCE = "/skureel/render_video"
_TRIAL_BYTES = 4 * 1024 * 1024
"""Room for a clip: a disk that is full for clips may still take small files."""


def build(settings: Settings) -> "RenderVideo":
    """The function as a trigger runs it."""
    objects = ObjectStore(settings.objects)
    return RenderVideo(settings, ClipStore(objects), Photos(objects, settings.render))


class RenderVideo:
    """The warm container that draws clips."""

    name = "render_video"
    consumes = read_by(name)
    deadline_seconds = 3600.0
    """Four handlers share the device: each has its three drafts of a clip drawn after those of the others, which are
    twelve clips of five minutes."""

    def __init__(
        self,
        settings: Settings,
        store: ClipStore,
        photos: Photos,
        *,
        open_studio: Callable[[Settings, Path], Studio] = open_studio,
    ) -> None:
        self._settings = settings
        self._open_studio = open_studio
        self._store = store
        self._photos = photos
        self._drawn = DrawnClips()
        self._loaded = threading.Event()
        self._doubtful = False  # the last clip's numbers were lost: is it the clip, or the device?
        self._studio: Studio
        self._manifest: Manifest

    def start(self) -> None:
        """Check the bucket, prove and load the model, and draw once, so that no event waits for a cold network."""
        self.check()
        self._store.warn_of_closed_urls()
        folder = model_folder(self._settings.model.name)
        self._manifest = read_manifest(folder)
        self._manifest.must_be(self._settings.model.revision)
        started = time.perf_counter()
        verify(folder, self._manifest)
        self._studio = self._open_studio(self._settings, folder)
        self._warm()
        self._loaded.set()
        log.info(
            "model %s %s is warm after %.1f s",
            self._manifest.name,
            self._manifest.revision[:12],
            time.perf_counter() - started,
        )

    def check(self) -> None:
        """Ask whether clips can be looked up and stored, photos read, files written and processes started here, and
        clips drawn where that is in doubt.

        Raises Unavailable or ConfigurationError.
        """
        needed = access_of(self.name, self._settings)
        self._store.objects.check(reads=needed.reads, writes=needed.writes)
        with own_machine(f"{self.name}, trying to write a file and start a process"):
            _try_machine()
        if self._doubtful:
            self._warm()
            self._doubtful = False

    def ready(self) -> bool:
        """Whether the model is loaded and warm."""
        return self._loaded.is_set()

    def stop(self) -> None:
        """Give the device's memory back, and the disk's room."""
        if self._loaded.is_set():
            self._loaded.clear()
            self._studio.engine.close()
        self._drawn.forget()

    def handle(self, event: Event[VideoRequested]) -> Sequence[Event[Any]]:
        """Find the clip, or draw and keep it; then say that it is ready, or that a person has to look at it.

        A photo that turns out to be none when it is opened rejects the product, as it does in derive_prompt.
        """
        request = event.data
        record = self._store.find(request.video_id)
        cache_hit = record is not None
        if record is None:
            try:
                record = self._render(request.spec)
            except PhotoRefused as refused:
                return [_rejected(event, refused)]
        _tell(request, record, cache_hit=cache_hit)
        now = datetime.now(UTC)
        if record.outcome == "review" or request.review:
            return [answer(event, record.review(request), source=SOURCE, time=now)]
        ready = record.ready(request.product_id, request.experiment, cache_hit=cache_hit)
        return [answer(event, ready, source=SOURCE, time=now)]

    def _render(self, spec: RenderSpec) -> ClipRecord:
        """Draw the clip, or take what an earlier attempt could not store, and keep its files and then its record."""
        drawn_once = self._drawn.drawn_once(spec.video_id, lambda folder: self._draw_until_good(spec, folder))
        with drawn_once as clip, own_machine(f"video {spec.video_id[:12]}, keeping its files"):
            return self._store.keep_record(self._keep_files(spec, clip))

    def _draw_until_good(self, spec: RenderSpec, folder: Path) -> Drawn:
        """Draw until a draft passes inspection, at most `max_attempts` times."""
        self._check_model(spec)
        image = None if spec.image_sha256 is None else self._first_frame(spec.image_sha256)
        for attempt in range(self._settings.render.max_attempts):
            draft = self._draw(spec, attempt, image, folder)
            if draft.passed:
                break
            reasons = "; ".join(reason.message for reason in draft.inspection.reasons)
            log.warning("video %s: attempt %d failed inspection: %s", spec.video_id[:12], attempt + 1, reasons)
        return Drawn(draft, attempt + 1, folder)

    def _draw(self, spec: RenderSpec, attempt: int, image: "Image | None", folder: Path) -> Draft:
        try:
            return self._studio.draw(
                spec.attempt(attempt, image),
                name=spec.video_id[:32],
                folder=folder,
                # The spec's, not this worker's: the video id promises it to everyone who finds the clip later.
                label_profile=spec.label_profile,
            )
        except NotANumber:
            self._doubtful = True
            raise

    def _keep_files(self, spec: RenderSpec, clip: Drawn) -> ClipRecord:
        started = time.perf_counter()
        draft = clip.draft
        poster_path = clip.folder / f"{draft.label.produce_id}.jpg"
        poster_path.write_bytes(draft.poster)
        poster_sha256 = hashlib.sha256(draft.poster).hexdigest()
        poster_key, poster_url = self._store.keep_file(spec.video_id, poster_path, poster_sha256, "image/jpeg")
        clip_key, clip_url = self._store.keep_file(spec.video_id, draft.clip_path, draft.clip.sha256, "video/mp4")
        seconds = {**draft.seconds, "store": time.perf_counter() - started}
        return ClipRecord(
            video_id=spec.video_id,
            outcome="ready" if draft.passed else "review",
            spec=spec,
            master=Clip(
                url=clip_url,
                key=clip_key,
                sha256=draft.clip.sha256,
                size_bytes=draft.clip.size_bytes,
                width=spec.width,
                height=spec.height,
                frames=draft.clip.frames,
                fps=spec.fps,
                duration_ms=draft.clip.duration_ms,
                codec=draft.clip.codec,
            ),
            poster=Poster(
                url=poster_url,
                key=poster_key,
                sha256=poster_sha256,
                size_bytes=len(draft.poster),
                width=spec.width,
                height=spec.height,
            ),
            seed=draft.seed,
            attempts=clip.attempts,
            inspection=draft.inspection,
            label=draft.label,
            timings_seconds={stage: round(value, 3) for stage, value in seconds.items()},
        )

    def _first_frame(self, sha256: str) -> "Image":
        return decode_photo(self._photos.load(sha256), "the product's photo")

    def _check_model(self, spec: RenderSpec) -> None:
        """A spec for other weights waits for a worker that holds them: a rollout changes both sides, not at once."""
        if spec.model.revision != self._manifest.revision:
            raise TemporaryError(
                f"video {spec.video_id[:12]} asks for model {spec.model.name} {spec.model.revision[:12]}, this worker "
                f"holds {self._manifest.name} {self._manifest.revision[:12]}; roll out the same model to both functions"
            )

    def _warm(self) -> None:
        """One step at the default size: kernels are chosen and memory is taken before the first event.

        ConfigurationError: what comes of it is no picture, so that no event's clip would be one.
        """
        numbers = self._manifest.configured_numbers(self._settings.render)
        if not self._manifest.sampler.timesteps:  # a distilled model takes its own steps or none
            numbers = numbers.changed(steps=1)
        try:
            next(self._studio.engine.generate(numbers.clip("warm-up", seed=0)))
        except NotANumber as error:
            raise ConfigurationError(f"model {self._manifest.name} cannot draw here: {error}") from error


def _try_machine() -> None:
    """Write as much as a clip takes, and start ffmpeg, both for nothing."""
    with tempfile.TemporaryFile(prefix="skureel-") as file:
        file.write(bytes(_TRIAL_BYTES))
        file.flush()
    with FfmpegRun([ffmpeg_path(), "-version"], "ffmpeg -version") as run:
        run.finish()


def _tell(request: VideoRequested, record: ClipRecord, *, cache_hit: bool) -> None:
    """One line of the log for each clip that is answered with."""
    stages = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in record.timings_seconds.items())
    log.info(
        "video %s for product %s: %s, %s; seed %d, attempt %d",
        record.video_id[:12],
        request.product_id,
        record.outcome,
        "was there" if cache_hit else stages,
        record.seed,
        record.attempts,
    )


def _rejected(event: Event[VideoRequested], refused: PhotoRefused) -> Event[Any]:
    request = event.data
    refusal = VideoRejected(
        product_id=request.product_id,
        stage="screening",
        reasons=(Reason(code=refused.reason, message=f"{refused} / {PHOTO_HELP}", field="image"),),
        video_id=request.video_id,
        experiment=request.experiment,
    )
    return answer(event, refusal, source=SOURCE, time=datetime.now(UTC))
