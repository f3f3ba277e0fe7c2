"""What replay tests share: products published at a time of the test's choosing, a plain derivation, and clips."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from kafka import KafkaProducer

from functions.replay_events import Pace, Rate, Replay, Selection
from shared.clips import ClipRecord
from shared.errors import PermanentError
from shared.events import (
    Clip,
    Event,
    Inspection,
    Label,
    ModelReference,
    Poster,
    Product,
    Reason,
    RenderSpec,
    TemplateReference,
    VideoRejected,
    VideoRequested,
)
from shared.events.cloudevents import from_kafka, to_kafka
from shared.kafka.client import connection
from shared.settings import KafkaSettings
from tests.delivery.harness import records_of
from tests.servers import make_topics

CREATED, UPDATED = "product.created", "product.updated"
BULK, READY, REJECTED = "video.requested.bulk", "video.ready", "video.rejected"
NOW_MS = int(datetime(2026, 11, 21, 8, 30, tzinfo=UTC).timestamp() * 1000)
MINUTE_MS = 60_000
FAST = Rate(1000.0)
Headers = Sequence[tuple[str, bytes]]
TEMPLATES = {"mug": "drinkware", "lamp": "lighting"}


class Clock:
    """Epoch seconds that stand still, and a sleep that moves them."""

    def __init__(self, now: float = NOW_MS / 1000) -> None:
        self.now = now
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def make_replay_topics(settings: KafkaSettings) -> None:
    """The topics a replay reads and writes."""
    names = (CREATED, UPDATED, BULK, READY, REJECTED)
    if settings.offsets == "transaction":
        make_topics(settings, *names)
        return
    # The embedded broker makes a topic when a producer asks for it, not when a consumer looks it up.
    producer = KafkaProducer(**connection(settings, client_id="test-past"))
    try:
        for name in names:
            producer.partitions_for(settings.topic_prefix + name)
    finally:
        producer.close(timeout=10)


def product_event(
    product_id: str, color: str = "red", *, type_name: str = CREATED, kind: str = "mug", **extensions: str
) -> Event[Product]:
    """A product event whose id tells all of it."""
    data = Product(product_id=product_id, name=kind, color=(color,), category=("home", kind))
    return Event(type_name, "/tests", f"{product_id}-{color}-{type_name}", data, extensions=extensions)


def publish(
    settings: KafkaSettings, *events: Event[Any], at_ms: int = NOW_MS - MINUTE_MS, headers: Headers = ()
) -> None:
    """Send events whose records are dated as the test says, with these headers besides."""
    producer = KafkaProducer(**connection(settings, client_id="test-past"))
    try:
        for event in events:
            message = to_kafka(event)
            topic = settings.topic_prefix + event.type
            told = [*message.headers, *headers]
            producer.send(topic, message.value, message.key, told, timestamp_ms=at_ms).get(60)
    finally:
        producer.close(timeout=10)


def spec_of(product: Product, *, revision: str = "r1", version: int = 1) -> RenderSpec:
    """What films a product of these tests."""
    return RenderSpec(
        prompt=f"a {' '.join(product.color)} {product.name}",
        negative_prompt="",
        negative_prompt_version="1",
        width=64,
        height=64,
        frames=5,
        fps=8,
        steps=2,
        guidance=1.0,
        model=ModelReference(name="m", revision=revision),
        template=TemplateReference(id=TEMPLATES.get(product.name, "general"), version=version),
        label_profile="cn",
    )


def derive(event: Event[Product]) -> VideoRequested | VideoRejected:
    """What derive_prompt does, in small: `forbidden` things are rejected and `broken` ones cannot be derived."""
    product = event.data
    if product.name == "broken":
        raise PermanentError("its photo is gone; upload it", reason="bad-image")
    if product.name == "forbidden":
        reasons = (Reason(code="test", message="not allowed"),)
        return VideoRejected(product_id=product.product_id, stage="screening", reasons=reasons)
    spec = spec_of(product)
    review = (Reason(code="test", message="somebody looks first"),) if "licensed" in product.category else ()
    return VideoRequested(product_id=product.product_id, video_id=spec.video_id, spec=spec, review=review)


def record(spec: RenderSpec, outcome: Any = "ready", seconds: Mapping[str, float] | None = None) -> ClipRecord:
    """A clip's record as render_video leaves it."""
    key = f"videos/{spec.video_id}/clip"
    sha256 = hashlib.sha256(key.encode()).hexdigest()
    size = {"width": spec.width, "height": spec.height, "size_bytes": 1, "sha256": sha256, "key": key, "url": key}
    return ClipRecord(
        video_id=spec.video_id,
        outcome=outcome,
        spec=spec,
        master=Clip(frames=spec.frames, fps=spec.fps, duration_ms=625, codec="h264", **size),
        poster=Poster(**size),
        seed=1,
        attempts=1,
        inspection=Inspection(profile="p", profile_version=1, scores={}),
        label=Label(profile="cn", produce_id="x"),
        timings_seconds=dict(seconds or {}),
    )


class Clips(dict[str, ClipRecord]):
    """A store of records by video id; `find` is what a replay is handed."""

    def keep(self, product: Event[Product], outcome: Any = "ready") -> ClipRecord:
        """The clip of a product's spec."""
        spec = spec_of(product.data)
        self[spec.video_id] = record(spec, outcome)
        return self[spec.video_id]

    def find(self, video_id: str) -> ClipRecord | None:
        return self.get(video_id)


def open_replay(
    settings: KafkaSettings, clips: Clips | None = None, *, clock: Clock | None = None, **wanted: Any
) -> Replay:
    """A replay of all products with these tests' derivation."""
    selection = Selection(**{"model": "m r1", **wanted})
    return Replay(settings, selection, derive=derive, find=(clips or Clips()).find, clock=clock or Clock())


def replay_all(
    settings: KafkaSettings, clips: Clips | None = None, *, clock: Clock | None = None, **wanted: Any
) -> int:
    """Plan and send; returns how many events went out."""
    clock = clock or Clock()
    with open_replay(settings, clips, clock=clock, **wanted) as replay:
        return replay.send(replay.plan(), FAST, pace=Pace(FAST, clock=clock, sleep=clock.sleep))


def sent(settings: KafkaSettings, type_name: str = BULK) -> list[Event[Any]]:
    """What a `read_committed` reader sees, by product id."""
    events = [from_kafka(item.headers, item.value) for item in records_of(settings, type_name)]
    return sorted(events, key=lambda event: (event.data.product_id, event.id))


def products_of(events: Sequence[Event[Any]]) -> list[str]:
    """Product ids of events, in order."""
    return [event.data.product_id for event in events]
