"""What one poll gives: slices, of each partition in its turn, and all of a partition, whenever it was paused."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from kafka import KafkaProducer, TopicPartition

from shared.kafka.client import connection, open_consumer
from shared.kafka.reading import UnreadableBatch
from shared.settings import KafkaSettings
from tests.polling import eventually
from tests.servers import make_topics

pytestmark = pytest.mark.connected

TOPIC = "events"


def send(settings: KafkaSettings, numbers: Mapping[int, int]) -> None:
    """As many records to each partition, in one batch."""
    producer = KafkaProducer(
        **connection(settings, client_id="test"), batch_size=1 << 20, linger_ms=60_000, compression_type="gzip"
    )
    for partition, number in numbers.items():
        for value in range(number):
            producer.send(settings.topic_prefix + TOPIC, b"%d" % value, partition=partition)
    producer.flush(timeout=30)
    producer.close(timeout=10)


@pytest.fixture
def settings(real_kafka: KafkaSettings) -> KafkaSettings:
    make_topics(real_kafka, TOPIC, partitions=4)
    return real_kafka


@pytest.fixture
def consumer(settings: KafkaSettings) -> Iterator[Any]:
    consumer = open_consumer(settings, client_id="test", group_id=None, auto_offset_reset="earliest")
    consumer.assign(partitions(settings))
    yield consumer
    consumer.close(autocommit=False)


def partitions(settings: KafkaSettings) -> list[TopicPartition]:
    return [TopicPartition(settings.topic_prefix + TOPIC, number) for number in range(4)]


class Reading:
    """Polls, and keeps what came."""

    def __init__(self, consumer: Any, most: int) -> None:
        self.consumer = consumer
        self.most = most
        self.values: dict[int, list[int]] = {}
        self.turns: list[int] = []
        """The partition of each slice."""

    def on(self) -> int:
        polled = self.consumer.poll(timeout_ms=200, max_records=self.most)
        number = sum(map(len, polled.values()))
        assert number <= self.most
        for partition, records in polled.items():
            self.turns.append(partition.partition)
            self.values.setdefault(partition.partition, []).extend(int(record.value) for record in records)
        return number

    def until(self, number: int) -> None:
        eventually(lambda: self.on() is not None and sum(map(len, self.values.values())) >= number)


def test_each_partition_is_served_in_its_turn(settings: KafkaSettings, consumer: Any) -> None:
    send(settings, dict.fromkeys(range(4), 1_000))
    reading = Reading(consumer, 100)
    reading.until(4_000)
    assert reading.values == {number: list(range(1_000)) for number in range(4)}
    whole = reading.turns[: len(reading.turns) // 4 * 4]
    assert {tuple(sorted(whole[place : place + 4])) for place in range(4, len(whole) - 4, 4)} == {(0, 1, 2, 3)}


def test_a_partition_that_was_paused_half_read_is_returned_to(settings: KafkaSettings, consumer: Any) -> None:
    send(settings, {0: 50, 1: 50, 2: 50})
    reading = Reading(consumer, 10)
    eventually(lambda: reading.on() and 0 in reading.values)
    for number in range(3):
        # Each is paused half read, the others read to their ends, and resumed.
        consumer.pause(partitions(settings)[number])
        for _ in range(3):
            reading.on()
        consumer.resume(partitions(settings)[number])
        reading.on()
    reading.until(150)
    assert reading.values == {number: list(range(50)) for number in range(3)}
    assert [consumer.position(partition) for partition in partitions(settings)] == [50, 50, 50, 0]


def test_a_large_batch_keeps_no_other_partition_waiting(settings: KafkaSettings, consumer: Any) -> None:
    send(settings, {0: 20_000})
    reading = Reading(consumer, 100)
    eventually(reading.on)
    send(settings, {1: 1})
    eventually(lambda: reading.on() and 1 in reading.values)
    assert len(reading.values[0]) < 20_000
    reading.until(20_001)
    assert reading.values[0] == list(range(20_000))


def test_what_was_half_read_is_forgotten_after_a_seek(settings: KafkaSettings, consumer: Any) -> None:
    send(settings, {0: 50})
    first, *_ = partitions(settings)
    reading = Reading(consumer, 10)
    eventually(reading.on)
    consumer.seek(first, 40)
    reading.until(20)
    assert reading.values == {0: [*range(10), *range(40, 50)]}
    consumer.assign(partitions(settings)[1:])
    send(settings, {0: 5, 2: 5})
    reading.until(25)
    assert reading.values[2] == list(range(5))


def test_transactions_and_their_markers_are_stepped_over_in_slices(settings: KafkaSettings, consumer: Any) -> None:
    topic = settings.topic_prefix + TOPIC
    producer = KafkaProducer(
        **connection(settings, client_id="test"), transactional_id=f"{settings.topic_prefix}t", linger_ms=60_000
    )
    producer.init_transactions()
    for round_ in range(6):
        producer.begin_transaction()
        for number in range(10):
            producer.send(topic, b"%d" % (round_ * 10 + number), partition=0)
        producer.flush(timeout=30)
        if round_ % 2:
            producer.abort_transaction()
        else:
            producer.commit_transaction()
    producer.close(timeout=10)
    first, *_ = partitions(settings)
    for most in (1, 10, 500):
        consumer.seek(first, 0)
        reading = Reading(consumer, most)
        eventually(lambda reading=reading: reading.on() is not None and consumer.position(first) == 66)
        assert reading.values == {0: [*range(10), *range(20, 30), *range(40, 50)]}


@pytest.mark.parametrize("codec", [None, "gzip", "snappy", "lz4", "zstd"])
def test_what_this_client_packs_is_read(codec: str | None, settings: KafkaSettings, consumer: Any) -> None:
    producer = KafkaProducer(
        **connection(settings, client_id="test"), compression_type=codec, batch_size=1 << 21, linger_ms=60_000
    )
    sent = [b"%d " % number + b"words that come again " * 100 for number in range(1_000)]
    for value in sent:
        producer.send(settings.topic_prefix + TOPIC, value, partition=3)
    producer.flush(timeout=30)
    producer.close(timeout=10)
    came: list[Any] = []

    def all_came() -> bool:
        came.extend(record for records in consumer.poll(timeout_ms=200).values() for record in records)
        return len(came) >= len(sent)

    eventually(all_came)
    assert not [record for record in came if isinstance(record, UnreadableBatch)]
    assert [record.value for record in came] == sent
