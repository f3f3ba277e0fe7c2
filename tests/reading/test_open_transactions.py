"""A transaction that somebody opened and does not end keeps back what is behind it, and nothing else."""

import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest
from kafka import KafkaProducer, TopicPartition

from shared.events import Event
from shared.kafka import Publisher, mends
from shared.kafka.client import connection, open_consumer, retry_topic
from shared.settings import KafkaSettings
from tests.delivery.conftest import SESSION_MS, with_short_sessions
from tests.delivery.harness import CREATED, Answering, answered, make_delivery_topics, product_event, running
from tests.polling import eventually
from tests.servers import make_topics

pytestmark = pytest.mark.connected

UPDATED = "product.updated"


@pytest.fixture
def settings(real_kafka: KafkaSettings) -> KafkaSettings:
    settings = with_short_sessions(real_kafka, SESSION_MS)
    make_delivery_topics(settings, partitions=2)
    make_topics(
        settings, UPDATED, UPDATED + ".dlq", *(retry_topic(UPDATED, delay) for delay in (30.0, 300.0)), partitions=2
    )
    return settings


@pytest.fixture
def stranger(settings: KafkaSettings) -> Iterator[Any]:
    """Somebody's producer, in the middle of a transaction in the first partition of `product.created`."""
    producer = KafkaProducer(
        **connection(settings, client_id="stranger"),
        transactional_id=settings.topic_prefix + "stranger",
        transaction_timeout_ms=300_000,
    )
    producer.init_transactions()
    producer.begin_transaction()
    producer.send(settings.topic_prefix + CREATED, b"open", b"open", partition=0).get(30)
    yield producer
    producer.close(timeout=5)


class Lanes(Answering):
    consumes = (CREATED, UPDATED)


def test_it_holds_up_no_less_urgent_lane(settings: KafkaSettings, stranger: Any) -> None:
    updates = [f"u-{number}" for number in range(10)]
    with Publisher(settings) as publisher:
        for product_id in updates:
            event = product_event(product_id)
            publisher.publish(Event(UPDATED, event.source, event.id, event.data, event.time))
    with running(Lanes(), settings) as worker:
        eventually(lambda: sorted(answered(settings)) == sorted(updates))
        assert worker.ready()
        stranger.abort_transaction()


def test_one_that_stays_open_is_told_once_with_what_to_do(
    settings: KafkaSettings, stranger: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, "shared.kafka.mends")
    first, second = (TopicPartition(settings.topic_prefix + CREATED, number) for number in range(2))
    passed = 0.0
    consumer = open_consumer(settings, client_id="test", group_id=None, auto_offset_reset="earliest")
    consumer._fetcher._clock = lambda: time.monotonic() + passed
    try:
        consumer.assign([first, second])
        eventually(lambda: consumer.poll(timeout_ms=100) is not None and mends.readable_end(consumer, first) == 0)
        for passed in (0.0, 100.0, 130.0, 500.0):
            consumer.poll(timeout_ms=50)
            assert list(mends.open_transactions(consumer)) == ([first] if passed > 120 else [])
        told = [record.getMessage() for record in caplog.records if "transaction has been open" in record.getMessage()]
        assert len(told) == 1
        assert f"abort --topic {first.topic} --partition 0 --start-offset 0" in told[0]
        stranger.commit_transaction()
        eventually(lambda: [record.value for record in consumer.poll(timeout_ms=100).get(first, [])] == [b"open"])
        eventually(lambda: consumer.poll(timeout_ms=100) is not None and not mends.open_transactions(consumer))
    finally:
        consumer.close(autocommit=False)
