"""Real workers in processes of their own, killed, frozen and cut off from broker and store: each product is answered
once, and what an answer names is whole."""

import hashlib
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from functions.render_video.encoding import probe
from model_store.manifest import write_manifest
from shared.clips import ClipRecord
from shared.events import (
    READ_TYPES,
    Event,
    ModelReference,
    RenderSpec,
    TemplateReference,
    VideoReady,
    VideoRequested,
    follow_up_id,
)
from shared.events.cloudevents import from_kafka
from shared.function import Carrier
from shared.kafka import Publisher, create_topics
from shared.objects import ObjectStore
from shared.settings import KafkaSettings, ObjectSettings
from tests.delivery.conftest import with_short_sessions
from tests.delivery.fleet import PATIENCE_SECONDS, Fleet, fleet
from tests.delivery.harness import (
    ANSWER,
    CREATED,
    answered,
    headers_of,
    make_delivery_topics,
    publish_products,
    records_of,
    running,
)
from tests.delivery.worker_process import worker_process
from tests.painting import FPS, FRAMES, HEIGHT, MANIFEST, WIDTH
from tests.polling import eventually
from tests.servers import RealKafka, RealMinio

pytestmark = [pytest.mark.connected, pytest.mark.slow, pytest.mark.timeout(900)]

WORKERS = 3
KILLS = 30
RESTARTS = 3
AWAY_SECONDS = 20.0
SESSION_MS = 3_000
"""How long a killed worker's partitions lie idle; a worker that has to wait longer for a core loses its own."""


@pytest.fixture
def breakable(breakable_kafka: RealKafka, prefix_of_its_own: Any) -> KafkaSettings:
    settings: KafkaSettings = prefix_of_its_own(breakable_kafka.settings)
    return with_short_sessions(settings, 2 * SESSION_MS)


@contextmanager
def answering(settings: KafkaSettings, folder: Path) -> Iterator[Fleet]:
    """A fleet whose function answers with one small event, after a moment."""
    make_delivery_topics(settings, partitions=6)
    with fleet(
        settings, "answering", folder, lambda: worker_process(settings, folder, seconds=0.03), workers=WORKERS
    ) as workers:
        yield workers


def finish_answering(workers: Fleet, products: list[str]) -> None:
    """Let the fleet end its work; then nothing may be missing, repeated or dead, and no offset behind."""
    workers.finish(products, CREATED)
    assert records_of(workers.settings, CREATED + ".dlq") == []
    assert sorted(answered(workers.settings)) == sorted(products)
    ids = [headers_of(record)["ce_id"] for record in records_of(workers.settings, ANSWER)]
    assert len(ids) == len(set(ids))


def test_thirty_kills_lose_and_repeat_nothing(real_kafka: KafkaSettings, tmp_path: Path) -> None:
    settings = with_short_sessions(real_kafka, SESSION_MS)
    chance = random.Random(20261121)
    products: list[str] = []
    with answering(settings, tmp_path) as workers:
        for kill in range(KILLS):
            more = [f"p-{kill}-{number}" for number in range(10)]
            products += more
            enough = workers.count("began") + chance.randint(1, 8)
            publish_products(settings, more)
            # Somewhere between the first and the last of these ten: in work, in a transaction, or just after one.
            eventually(lambda: workers.count("began") >= enough, PATIENCE_SECONDS, describe=workers.logs)  # noqa: B023 - called at once
            workers.kill(chance.choice(workers.workers))
            workers.add()
        finish_answering(workers, products)


def test_three_broker_restarts_lose_and_repeat_nothing(
    breakable_kafka: RealKafka, breakable: KafkaSettings, tmp_path: Path
) -> None:
    products: list[str] = []
    with answering(breakable, tmp_path) as workers:
        for restart in range(RESTARTS):
            more = [f"p-{restart}-{number}" for number in range(100)]
            products += more
            enough = workers.count("began") + 20
            publish_products(breakable, more)
            eventually(lambda: workers.count("began") >= enough, PATIENCE_SECONDS, describe=workers.logs)  # noqa: B023 - called at once
            breakable_kafka.kill()
            breakable_kafka.start()
        finish_answering(workers, products)


def test_a_frozen_worker_that_thaws_repeats_nothing(real_kafka: KafkaSettings, tmp_path: Path) -> None:
    settings = with_short_sessions(real_kafka, SESSION_MS)
    products: list[str] = []
    with answering(settings, tmp_path) as workers:

        def publish_more() -> None:
            more = [f"p-{number}" for number in range(len(products), len(products) + 60)]
            products.extend(more)
            publish_products(settings, more)

        # Before all have joined one of them does everything.
        eventually(lambda: all("assigned" in one.log() for one in workers.workers), PATIENCE_SECONDS)
        publish_more()
        eventually(
            lambda: all(worker.noted("began") for worker in workers.workers), PATIENCE_SECONDS, describe=workers.logs
        )
        with workers.frozen(random.Random(20261121), publish_more) as victim:
            pass
        eventually(lambda: "lost" in victim.log(), PATIENCE_SECONDS, describe=workers.logs)
        finish_answering(workers, products)


class Rendering:
    """A fleet of render_video with painters, the requests sent to it, and what must be true of their answers."""

    def __init__(self, workers: Fleet, store: ObjectStore) -> None:
        self.workers = workers
        self.store = store
        self.requests: dict[str, Event[VideoRequested]] = {}

    def ask(self, number: int) -> None:
        """Request that many clips: every fourth from the bulk lane, every eighth for two products."""
        with Publisher(self.workers.settings) as publisher:
            for index in range(len(self.requests), len(self.requests) + number):
                spec = requested_spec(index - 1 if index % 8 == 7 else index)
                product = f"SKU-{index}"
                data = VideoRequested(product_id=product, video_id=spec.video_id, spec=spec)
                lane = "video.requested.bulk" if index % 4 == 3 else "video.requested"
                event = Event(lane, "/tests", f"e-{index}", data, datetime.now(UTC))
                self.requests[product] = event
                publisher.publish(event)

    def wait_for(self, what: str, number: int) -> None:
        """Wait until so many more handlings have begun or ended."""
        enough = self.workers.count(what) + number
        eventually(lambda: self.workers.count(what) >= enough, PATIENCE_SECONDS, describe=self.workers.logs)

    def finish(self) -> dict[str, VideoReady]:
        """Let the fleet end its work. Returns each product's one answer, all of whose objects were checked."""
        settings = self.workers.settings
        self.workers.finish(self.requests, "video.requested", "video.requested.bulk")
        for topic in ("video.requested.dlq", "video.requested.bulk.dlq", "video.review"):
            assert records_of(settings, topic) == [], topic
        events = [from_kafka(record.headers, record.value) for record in records_of(settings, "video.ready")]
        assert Counter(event.data.product_id for event in events) == Counter(dict.fromkeys(self.requests, 1))
        answers = {event.data.product_id: event for event in events}
        expected = {product: follow_up_id("video.ready", cause) for product, cause in self.requests.items()}
        assert {product: event.id for product, event in answers.items()} == expected
        self._check_objects([event.data for event in events])
        return {product: event.data for product, event in answers.items()}

    def _check_objects(self, answers: Sequence[VideoReady]) -> None:
        """What a record names is there, whole; and so is what lies there unnamed."""
        stored = {}
        for facts in self.store.list("videos/"):
            stored[facts.key] = self.store.get(facts.key) or b""
            if not facts.key.endswith("/record.json"):
                assert facts.key.rsplit("/", 1)[1].split(".")[0] == hashlib.sha256(stored[facts.key]).hexdigest()
        for answer in answers:
            record = ClipRecord.model_validate_json(stored[f"videos/{answer.video_id}/record.json"])
            # A url is of the moment it was sent; what it leads to is not.
            assert (record.master.key, record.poster.key) == (answer.master.key, answer.poster.key)
            for named in (answer.master, answer.poster):
                assert len(stored[named.key]) == named.size_bytes
                assert hashlib.sha256(stored[named.key]).hexdigest() == named.sha256


def shared(product_id: str) -> bool:
    """Whether another product asked for the same clip."""
    return int(product_id.removeprefix("SKU-")) % 8 >= 6


def requested_spec(index: int) -> RenderSpec:
    """The spec of the clip of that number."""
    return RenderSpec(
        prompt=f"a red disc, number {index}",
        negative_prompt="text",
        negative_prompt_version="1",
        width=WIDTH,
        height=HEIGHT,
        frames=FRAMES,
        fps=FPS,
        steps=2,
        guidance=1.0,
        model=ModelReference(name="painted", revision=MANIFEST.revision),
        template=TemplateReference(id="drinkware", version=1),
        label_profile="cn",
    )


@contextmanager
def rendering(settings: KafkaSettings, objects: ObjectSettings, folder: Path) -> Iterator[Rendering]:
    """A fleet of render_video: short waits in place and for the store, rounds of retries for minutes."""
    settings = settings.model_copy(
        update={
            "handler_threads": 2,
            "retry_wait_seconds": 0.1,
            "retry_delays_seconds": (2.0, *[4.0] * 20),
            # Gathered longer, so that a kill often comes between storing a clip and saying so.
            "commit_interval_seconds": 2.0,
        }
    )
    objects = objects.model_copy(update={"timeout_seconds": 3.0})
    create_topics(settings, partitions=6, replication=1)
    model = folder / "model"
    model.mkdir()
    write_manifest(model, MANIFEST)
    with (
        fleet(
            settings,
            "render_video",
            folder,
            lambda: worker_process(settings, folder, objects=objects, model=model),
            workers=WORKERS,
        ) as workers,
        running(Carrier("redeliver", READ_TYPES), settings),
    ):
        yield Rendering(workers, ObjectStore(objects))


def test_clips_survive_kills_a_broker_restart_and_a_freeze(
    breakable_kafka: RealKafka, breakable: KafkaSettings, real_minio: ObjectSettings, tmp_path: Path
) -> None:
    chance = random.Random(20261121)
    with rendering(breakable, real_minio, tmp_path) as clips:
        workers = clips.workers
        for kill in range(6):
            clips.ask(8)
            # By turns while some are drawn, and while some are stored and not yet said to be ready.
            clips.wait_for("ended" if kill % 2 else "began", 3)
            drawing = [worker for worker in workers.workers if worker.noted("ended" if kill % 2 else "began")]
            workers.kill(chance.choice(drawing))
            workers.add()
        clips.ask(16)
        with workers.frozen(chance, lambda: clips.ask(8)) as victim:
            pass
        eventually(lambda: "lost" in victim.log(), PATIENCE_SECONDS, describe=workers.logs)
        clips.ask(16)
        clips.wait_for("began", 4)
        breakable_kafka.kill()
        breakable_kafka.start()
        answers = clips.finish()
        assert len(answers) >= 80
        begun = Counter(workers.noted("began"))
        # Without these the faults hit nothing: work that was begun twice, and work whose result lay there already.
        repeated = {product for product, times in begun.items() if times > 1}
        assert repeated
        assert [product for product in repeated if answers[product].cache_hit and not shared(product)]
        clip = tmp_path / "clip.mp4"
        for answer in chance.sample(sorted(answers.values(), key=lambda answer: answer.product_id), 5):
            clips.store.download(answer.master.key, clip)
            assert probe(clip).frames == FRAMES


@pytest.mark.parametrize("fault", ["killed", "paused"])
def test_clips_survive_a_store_that_is_away_for_twenty_seconds(
    fault: str,
    real_kafka: KafkaSettings,
    breakable_minio: RealMinio,
    bucket_of_its_own: Any,
    tmp_path: Path,
) -> None:
    objects = bucket_of_its_own(breakable_minio.settings)
    with rendering(with_short_sessions(real_kafka, 2 * SESSION_MS), objects, tmp_path) as clips:
        clips.ask(16)
        clips.wait_for("ended", 6)
        breakable_minio.kill() if fault == "killed" else breakable_minio.pause()
        back = time.monotonic() + AWAY_SECONDS
        clips.ask(16)
        eventually(lambda: any("losing nothing" in worker.log() for worker in clips.workers.workers), PATIENCE_SECONDS)
        # Some of what was begun has no store to go to, nor a worker. None can start without a store.
        clips.workers.kill(clips.workers.workers[0])
        eventually(lambda: time.monotonic() > back, 2 * AWAY_SECONDS)
        breakable_minio.start() if fault == "killed" else breakable_minio.resume()
        clips.workers.add()
        clips.ask(8)
        answers = clips.finish()
        assert len(answers) == 40
