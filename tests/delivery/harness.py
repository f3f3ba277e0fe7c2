"""What delivery tests share: small functions to run, a worker on a thread, and a reader of raw records."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from shared.events import Event, Product, Reason, VideoRejected, answer
from shared.function import Carrier, Function
from shared.kafka import Publisher, Worker
from shared.kafka.client import connection, open_consumer, retry_topic
from shared.settings import KafkaSettings
from tests.servers import make_topics

CREATED = "product.created"
ANSWER = "video.rejected"
NOW = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)


class Answering:
    """A function that answers each product with one small event, after doing what the test says."""

    name = "answering"
    consumes: Sequence[str] = (CREATED,)
    deadline_seconds = 60.0

    def __init__(self, behave: Callable[[Event[Any]], None] = lambda event: None) -> None:
        self._behave = behave
        self.handled: list[str] = []
        """Product ids in the order in which handling began."""

    def start(self) -> None: ...

    def ready(self) -> bool:
        return True

    def stop(self) -> None: ...

    def check(self) -> None: ...

    def handle(self, event: Event[Any]) -> Sequence[Event[Any]]:
        self.handled.append(event.data.product_id)
        self._behave(event)
        return [answer_to(event)]


def answer_to(event: Event[Any]) -> Event[Any]:
    """The small event that a product leads to; its id is a function of the product event's."""
    reasons = (Reason(code="test", message="a test's answer"),)
    data = VideoRejected(product_id=event.data.product_id, stage="screening", reasons=reasons)
    return answer(event, data, source="/tests", time=NOW)


def product_event(product_id: str, *, event_id: str | None = None) -> Event[Any]:
    """A minimal product event."""
    return Event(
        CREATED, "/tests", event_id or f"e-{product_id}", Product(product_id=product_id, name="a red cup"), NOW
    )


def publish_products(settings: KafkaSettings, product_ids: Sequence[str]) -> None:
    """Send one event a product id."""
    with Publisher(settings) as publisher:
        for number, product_id in enumerate(product_ids):
            publisher.publish(product_event(product_id, event_id=f"e-{number}-{product_id}"))


def make_delivery_topics(settings: KafkaSettings, *, partitions: int = 4) -> None:
    """The topics of an `Answering`."""
    retries = [retry_topic(CREATED, delay) for delay in sorted(set(settings.retry_delays_seconds))]
    make_topics(settings, CREATED, *retries, CREATED + ".dlq", ANSWER, partitions=partitions)


class Clock:
    """Epoch seconds that move when told, and a monotonic time that goes on beside them and moves as far."""

    def __init__(self) -> None:
        self._began = self.now = time.time()

    def __call__(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return time.monotonic() + self.now - self._began


@contextmanager
def running(function: Function | Carrier, settings: KafkaSettings, *, clock: Clock | None = None) -> Iterator[Worker]:
    """A worker whose owner is a thread of its own; drained at the end. What `run` raised is raised here."""
    worker = Worker(function, settings)
    if clock is not None:
        worker = Worker(function, settings, clock=clock, monotonic=clock.monotonic)
    failures: list[BaseException] = []

    def run() -> None:
        try:
            worker.run()
        except BaseException as error:  # noqa: BLE001 - raised again in the test's thread
            failures.append(error)

    thread = threading.Thread(target=run, name="owner", daemon=True)
    thread.start()
    try:
        yield worker
    finally:
        worker.stop()
        thread.join(60)
    assert not thread.is_alive(), "the worker did not stop"
    if failures:
        raise failures[0]


def records_of(settings: KafkaSettings, topic: str, *, isolation: str = "read_committed") -> list[Any]:
    """All records of a topic, named without prefix, that are there now, in partition and offset order."""
    name = settings.topic_prefix + topic
    found: dict[TopicPartition, list[Any]] = {}
    # The client's own reader does not get past a header's name that is not UTF-8.
    consumer = open_consumer(
        settings,
        client_id="test-reader",
        group_id=None,
        auto_offset_reset="earliest",
        isolation_level=isolation,
    )
    try:
        partitions = [TopicPartition(name, number) for number in sorted(consumer.partitions_for_topic(name) or ())]
        if not partitions:
            return []
        ends = consumer.end_offsets(partitions)
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        # Bounded: an open transaction keeps a read_committed position below the end.
        for _ in range(100):
            for partition, records in consumer.poll(timeout_ms=100).items():
                found.setdefault(partition, []).extend(records)
            if all((consumer.position(partition) or 0) >= end for partition, end in ends.items()):
                break
    finally:
        consumer.close(autocommit=False)
    return [record for partition in partitions for record in found.get(partition, [])]


def answered(settings: KafkaSettings) -> list[str]:
    """Product ids of the answers that a `read_committed` reader sees."""
    return [record.key.decode() for record in records_of(settings, ANSWER)]


def committed(settings: KafkaSettings, group: str, topic: str = CREATED) -> Mapping[int, int]:
    """The group's committed offset of each partition of a topic, named without prefix."""
    name = settings.topic_prefix + topic
    # Not the admin client: the stand-in does not answer its request.
    consumer = KafkaConsumer(**connection(settings, client_id="test-reader"), group_id=group, enable_auto_commit=False)
    try:
        offsets = {n: consumer.committed(TopicPartition(name, n)) for n in consumer.partitions_for_topic(name) or ()}
    finally:
        consumer.close(autocommit=False)
    return {number: offset for number, offset in offsets.items() if offset is not None}


def ends(settings: KafkaSettings, topic: str = CREATED) -> Mapping[int, int]:
    """One past the last record (or marker) of each partition of a topic, named without prefix."""
    name = settings.topic_prefix + topic
    consumer = KafkaConsumer(**connection(settings, client_id="test-reader"))
    try:
        partitions = [TopicPartition(name, number) for number in consumer.partitions_for_topic(name) or ()]
        return {partition.partition: end for partition, end in consumer.end_offsets(partitions).items()}
    finally:
        consumer.close()


def headers_of(record: Any) -> dict[str, str]:
    """A record's headers as text; fails on a name that occurs twice."""
    names = [name for name, _ in record.headers]
    assert len(names) == len(set(names)), f"a header occurs twice: {names}"
    return {name: raw.decode("utf-8", "replace") for name, raw in record.headers}
