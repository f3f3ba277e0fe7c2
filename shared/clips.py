"""The record of a rendered clip, and the names of its objects. A record is what makes redelivery boring.

A clip's files are named by their content below the video id, and the record, written last, names the files:

    videos/<video id>/<sha256>.mp4
    videos/<video id>/<sha256>.jpg
    videos/<video id>/record.json

So two renders of one video id (a redelivery on another GPU, say) can never mix their files. Whoever writes the record
first decides; the other reads it and emits the same. Files that no record names are left-overs of a crash. A record
whose files somebody removed counts as none, and so does garbage in its place: the clip is drawn again, and of all that
draw it one record takes that place. A record of another release is never overwritten: its clip is waited for.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Literal, TypeVar

import tenacity
from pydantic import BaseModel, ValidationError

from shared.bucket import CLIPS
from shared.errors import DamagedRecord, PermanentError, TemporaryError, Unavailable, UnreadableRecord
from shared.events import (
    Clip,
    Experiment,
    Inspection,
    Label,
    Poster,
    RenderSpec,
    Rendition,
    VideoReady,
    VideoRequested,
    VideoReview,
)
from shared.events.payload import Payload
from shared.events.video import Seconds
from shared.objects import ObjectStore, UrlTrial
from shared.printable import one_line
from shared.validation import described

RECORD_LIMIT_BYTES = 1024 * 1024
NEVER_CHANGES = "max-age=31536000, immutable"
"""Cache-Control of what is named by its content. Not public: a signed url is for who has it."""
SOME_OBJECTS = 1000
STORING_ATTEMPTS = 5
STORING_WAIT_SECONDS = 0.5
STORING_LONGEST_WAIT_SECONDS = 8.0

log = logging.getLogger(__name__)


class ClipRecord(Payload):
    """What is known of a video id: `ready` clips may be shown, `review` ones wait for a person."""

    video_id: str
    outcome: Literal["ready", "review"]
    spec: RenderSpec
    master: Clip
    renditions: tuple[Rendition, ...] = ()
    poster: Poster
    seed: int
    attempts: int
    inspection: Inspection
    label: Label
    timings_seconds: dict[str, Seconds]

    def keys(self) -> Iterator[str]:
        """The keys of all files that the record names."""
        yield self.master.key
        yield from (rendition.key for rendition in self.renditions)
        yield self.poster.key

    def ready(self, product_id: str, experiment: Experiment | None, *, cache_hit: bool) -> VideoReady:
        """The data of `video.ready` for one product. What was not rendered for it took it no time."""
        return VideoReady(
            product_id=product_id,
            video_id=self.video_id,
            master=self.master,
            renditions=self.renditions,
            poster=self.poster,
            prompt=self.spec.prompt,
            negative_prompt_version=self.spec.negative_prompt_version,
            template=self.spec.template,
            model=self.spec.model,
            seed=self.seed,
            steps=self.spec.steps,
            guidance=self.spec.guidance,
            mode=self.spec.mode,
            inspection=self.inspection,
            label=self.label,
            cache_hit=cache_hit,
            source_video_id=self.video_id,
            experiment=experiment,
            timings_seconds={} if cache_hit else self.timings_seconds,
        )

    def review(self, request: VideoRequested) -> VideoReview:
        """The data of `video.review` for one product."""
        return VideoReview(
            product_id=request.product_id,
            video_id=self.video_id,
            spec=self.spec,
            master=self.master,
            poster=self.poster,
            seed=self.seed,
            attempts=self.attempts,
            inspection=self.inspection,
            label=self.label,
            channels=request.channels,
            experiment=request.experiment,
            reasons=request.review,
        )


AddressedT = TypeVar("AddressedT", Clip, Rendition, Poster)


class ClipStore:
    """Clips in the object store, found and kept by video id. Safe to use from several threads.

    What is to be kept has cost a GPU minutes, so keeping is tried again here, for some seconds; `sleep` waits between.
    """

    def __init__(self, objects: ObjectStore, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self.objects = objects
        self._looked = False
        # Its state is each thread's own.
        self._retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(TemporaryError),
            stop=tenacity.stop_after_attempt(STORING_ATTEMPTS),
            wait=tenacity.wait_random_exponential(multiplier=STORING_WAIT_SECONDS, max=STORING_LONGEST_WAIT_SECONDS),
            sleep=sleep,
            reraise=True,
        )

    def check(self) -> None:
        """Prove that clips may be read. Raises Unavailable or ConfigurationError."""
        self.objects.check(reads=[CLIPS])

    def find(self, video_id: str) -> ClipRecord | None:
        """The record of a video id, or None where nothing has been rendered, its files are gone or it is damaged.

        One request to the store, and one for each file that a record names. UnreadableRecord: it is another release's.
        """
        try:
            record = self.recorded(video_id)
        except DamagedRecord as damage:
            log.warning("%s; the clip is drawn again, and its record replaced", damage)
            return None
        if record is None:
            return None
        with _our_own():
            missing = next((key for key in record.keys() if self.objects.head(key) is None), None)
        if missing is not None:
            log.warning("video %s: %s is gone though its record names it", video_id[:12], missing)
            return None
        return self.addressed(record)

    def recorded(self, video_id: str) -> ClipRecord | None:
        """The record of a video id as it was stored, whether or not its files are there.

        DamagedRecord: something else lies in its place. UnreadableRecord: it is another release's.
        """
        with _our_own():
            try:
                stored = self.objects.get(_record_key(video_id), limit_bytes=RECORD_LIMIT_BYTES)
            except PermanentError as error:
                if error.reason != "object-too-large":
                    raise
                raise _damaged(video_id, "is larger than any record") from error
        return None if stored is None else _parse(video_id, stored)

    def try_url(self) -> UrlTrial | None:
        """Open the url of one clip, as those who read events do; None where there is no clip yet."""
        key = self._any_clip()
        return None if key is None else self.objects.try_url(key)

    def warn_of_closed_urls(self, key: str | None = None) -> None:
        """Say it in the log, once, as soon as there is a clip to try: this one or any."""
        key = None if self._looked else key or self._any_clip()
        if key is None:
            return
        self._looked = True
        told = closed_url(self.objects.try_url(key))
        if told is not None:
            log.warning("%s", told)

    def _any_clip(self) -> str | None:
        some = islice(self.objects.list(CLIPS), SOME_OBJECTS)
        return next((found.key for found in some if found.key.endswith(".mp4")), None)

    def addressed(self, record: ClipRecord) -> ClipRecord:
        """The record with urls of this moment: those it was stored with may have expired, or their host has moved."""
        return record.model_copy(
            update={
                "master": self._addressed(record.master),
                "renditions": tuple(map(self._addressed, record.renditions)),
                "poster": self._addressed(record.poster),
            }
        )

    def _addressed(self, file: AddressedT) -> AddressedT:
        return file.model_copy(update={"url": self.objects.url(file.key)})

    def keep_file(self, video_id: str, path: Path, sha256: str, content_type: str) -> tuple[str, str]:
        """Store one of the clip's files under its content's name; returns key and url. Twice is once."""
        key = f"{CLIPS}{video_id}/{sha256}{path.suffix}"
        self._retrying(self.objects.put_file_new, key, path, content_type, cache_control=NEVER_CHANGES)
        return key, self.objects.url(key)

    def keep_record(self, record: ClipRecord) -> ClipRecord:
        """Store the record, after its files. Returns the record that holds: another worker's where it was first."""
        held = self._retrying(self._keep_record, record)
        self.warn_of_closed_urls(held.master.key)
        return held

    def _keep_record(self, record: ClipRecord) -> ClipRecord:
        key, data = _record_key(record.video_id), record.model_dump_json().encode()
        if self.objects.put_new(key, data, "application/json"):
            return record
        # Looked up before it is read, so that what is replaced is what was read, or nothing.
        facts = self.objects.head(key)
        stored = self.find(record.video_id)
        if stored is not None:
            return stored
        if facts is not None and self.objects.replace(key, data, "application/json", etag=facts.etag):
            return record
        raise TemporaryError(f"video {record.video_id[:12]}: its record was there and is another; trying again")


def closed_url(trial: UrlTrial) -> str | None:
    """What is wrong where nobody can open the urls in events, such as plain ones of a private bucket."""
    return trial.refused and (
        f"nobody can open the urls in events: {trial.url} {trial.refused} to who has no credentials; set "
        f"SKUREEL_OBJECTS__PRESIGN_SECONDS or __PUBLIC_URL, or let everyone read {CLIPS}* in the bucket's policy"
    )


@contextmanager
def _our_own() -> Iterator[None]:
    """Keys in the block are of our own making: what is wrong with one is no fault of an event, and can be mended."""
    try:
        yield
    except PermanentError as error:
        raise Unavailable(str(error)) from error


def _record_key(video_id: str) -> str:
    return f"{CLIPS}{video_id}/record.json"


class _Named(BaseModel):
    """What every release's record has."""

    video_id: str


def _parse(video_id: str, stored: bytes) -> ClipRecord:
    try:
        named = _Named.model_validate_json(stored).video_id
    except ValidationError as error:
        raise _damaged(video_id, "is no clip's record") from error
    if named != video_id:
        raise _damaged(video_id, f"is that of {one_line(named, 12)}")
    try:
        record = ClipRecord.model_validate_json(stored)
    except ValidationError as error:
        raise _unreadable(video_id, described(error)) from error
    if record.spec.video_id != video_id:
        raise _unreadable(video_id, f"its spec is that of {record.spec.video_id[:12]}")
    return record


def _damaged(video_id: str, fact: str) -> DamagedRecord:
    return DamagedRecord(f"video {video_id[:12]}: {_record_key(video_id)} {fact}")


def _unreadable(video_id: str, fact: str) -> UnreadableRecord:
    """A newer release may have written it: to draw the clip again would take from that one what it has said."""
    return UnreadableRecord(
        f"video {video_id[:12]}: {_record_key(video_id)} is none that this release of skureel can read ({fact}); "
        "upgrade this worker if a newer one wrote it, or delete the object to have the clip drawn again"
    )
