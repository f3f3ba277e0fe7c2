"""Who reads committed offsets past the open transaction of a process that died goes on, or says what it waits for."""

import time

import pytest
from kafka import KafkaProducer, OffsetAndMetadata, TopicPartition

from shared.errors import PermanentError, TemporaryError
from shared.events import Event
from shared.kafka import Ledger, Publisher, list_dead_letters, read_lag, replay_dead_letters
from shared.kafka.client import connection, group_name
from shared.kafka.operating import deadletters
from shared.settings import KafkaSettings
from tests.delivery.harness import (
    CREATED,
    Answering,
    committed,
    ends,
    make_delivery_topics,
    product_event,
    publish_products,
    records_of,
    running,
)
from tests.delivery.test_refused_output import make_topic, noise
from tests.polling import eventually

pytestmark = pytest.mark.connected


def die_in_a_transaction(settings: KafkaSettings, *, group: str, topic: str, name: str, offset: int) -> None:
    """Send a record and an offset in a transaction, and be killed before its end."""
    producer = KafkaProducer(
        **connection(settings, client_id="dying"), transactional_id=name, transaction_timeout_ms=300_000
    )
    producer.init_transactions()
    producer.begin_transaction()
    producer.send(settings.topic_prefix + CREATED, b"half").get(timeout=60)
    offsets = {TopicPartition(settings.topic_prefix + topic, 0): OffsetAndMetadata(offset, "", -1)}
    producer.send_offsets_to_transaction(offsets, group)
    producer._sender.force_close()
    producer._sender.join(60)
    producer.close(timeout=0)


def make_dead_letters(settings: KafkaSettings, number: int) -> str:
    """Returns their topic."""
    make_delivery_topics(settings, partitions=1)
    topic = settings.topic_prefix + CREATED + ".dlq"
    with Publisher(settings) as publisher:
        for n in range(number):
            publisher.publish_raw(topic, f"k-{n}".encode(), b"v")
    assert len(list(list_dead_letters(settings, [topic]))) == number
    return topic


def test_a_replay_goes_on_after_one_that_died(real_kafka: KafkaSettings) -> None:
    topic = make_dead_letters(real_kafka, 5)
    group = deadletters._replay_group(real_kafka)
    die_in_a_transaction(real_kafka, group=group, topic=CREATED + ".dlq", name=group, offset=3)
    begun = time.monotonic()
    done = replay_dead_letters(real_kafka, topics=[topic])
    # Not by waiting for the dead one's transaction to time out.
    assert time.monotonic() - begun < 120
    assert done.sent == 5
    assert [record.key for record in records_of(real_kafka, CREATED)] == [f"k-{n}".encode() for n in range(5)]
    assert committed(real_kafka, group, CREATED + ".dlq") == {0: 5}
    assert replay_dead_letters(real_kafka, topics=[topic]).sent == 0


def test_a_replay_says_what_it_waits_for(real_kafka: KafkaSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadletters, "_COMMITTED_MS", 1_000)
    topic = make_dead_letters(real_kafka, 1)
    group = deadletters._replay_group(real_kafka)
    die_in_a_transaction(real_kafka, group=group, topic=CREATED + ".dlq", name=f"{group}-other", offset=1)
    with pytest.raises(TemporaryError, match=r"a process that died is still open.*try again"):
        replay_dead_letters(real_kafka, topics=[topic])


def test_many_letters_go_in_portions_that_are_each_committed(
    real_kafka: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadletters, "_PORTION_LETTERS", 3)
    topic = make_dead_letters(real_kafka, 8)
    assert replay_dead_letters(real_kafka, topics=[topic]).sent == 8
    assert [record.key for record in records_of(real_kafka, CREATED)] == [f"k-{n}".encode() for n in range(8)]
    # Three transactions, each with its marker.
    assert ends(real_kafka) == {0: 11}


def test_lag_is_told_whatever_is_open(real_kafka: KafkaSettings) -> None:
    make_delivery_topics(real_kafka, partitions=1)
    publish_products(real_kafka, ["p-1", "p-2"])
    with running(Answering(), real_kafka) as worker:
        eventually(lambda: committed(real_kafka, worker.group) == ends(real_kafka))
    publish_products(real_kafka, ["p-3"])
    group = group_name(real_kafka, "answering")
    die_in_a_transaction(real_kafka, group=group, topic=CREATED, name="a-dead-worker", offset=3)
    begun = time.monotonic()
    (lag,) = (part for part in read_lag(real_kafka, {"answering": [CREATED]}, {}) if part.topic.endswith(CREATED))
    assert time.monotonic() - begun < 120
    # Its own half-sent record among them, as KEDA counts.
    assert (lag.committed, lag.end, lag.offsets) == (2, 4, 2)


def test_a_replay_whose_event_is_refused_ends(real_kafka: KafkaSettings) -> None:
    make_topic(real_kafka, CREATED, {"max.message.bytes": "20000"})
    event = product_event("p-1")
    pad = noise(50_000, 1)
    large = Event(event.type, event.source, event.id, event.data, event.time, extensions={"pad": pad})
    with Ledger(real_kafka, "refused") as ledger:
        ledger.claim()
        with pytest.raises(PermanentError, match="MessageSizeTooLarge"):
            ledger.write([large], {})
    assert records_of(real_kafka, CREATED) == []
