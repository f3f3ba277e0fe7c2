"""What the embedded broker can do, and each thing its docstring says it cannot."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic
from kafka.errors import KafkaConnectionError, UnknownBrokerIdError
from kafka.structs import OffsetAndMetadata

from shared.embedded import embedded_broker
from shared.errors import ConfigurationError
from shared.settings import KafkaSettings
from tests.polling import eventually

MIB = 2**20
VERSION = (2, 3)


def test_its_settings_say_how_it_has_to_be_used(embedded_kafka: KafkaSettings) -> None:
    assert embedded_kafka.offsets == "plain"
    assert embedded_kafka.api_version == "2.3"
    assert str(embedded_kafka.bootstrap_servers).startswith("127.0.0.1:")


def test_two_brokers_know_nothing_of_each_other() -> None:
    with embedded_broker() as one, embedded_broker() as two:
        assert one.bootstrap_servers != two.bootstrap_servers
        _send(one, "things", b"one")
        assert _read(one, "things", 1) == [b"one"]
        with _consumer(two) as consumer:
            assert consumer.end_offsets([TopicPartition("things", 0)]) == {TopicPartition("things", 0): 0}


def test_a_record_of_2_mib_passes(embedded_kafka: KafkaSettings) -> None:
    topic = embedded_kafka.topic_prefix + "large"
    _send(embedded_kafka, topic, b"x" * 2 * MIB)
    assert [len(value) for value in _read(embedded_kafka, topic, 1)] == [2 * MIB]


def test_a_partition_keeps_its_last_5_mib(embedded_kafka: KafkaSettings) -> None:
    topic = embedded_kafka.topic_prefix + "kept"
    for _ in range(8):
        _send(embedded_kafka, topic, b"x" * MIB)
    with _consumer(embedded_kafka) as consumer:
        partition = TopicPartition(topic, 0)
        first, last = consumer.beginning_offsets([partition])[partition], consumer.end_offsets([partition])[partition]
    assert last == 8
    assert 0 < first <= 4


def test_records_over_5_mib_are_lost(embedded_kafka: KafkaSettings) -> None:
    topic = embedded_kafka.topic_prefix + "lost"
    for _ in range(2):
        _send(embedded_kafka, topic, b"x" * 6 * MIB)
    with _consumer(embedded_kafka) as consumer:
        partition = TopicPartition(topic, 0)
        assert consumer.beginning_offsets([partition]) == consumer.end_offsets([partition]) == {partition: 2}


def test_topics_are_made_at_first_use_with_4_partitions(embedded_kafka: KafkaSettings) -> None:
    topic = embedded_kafka.topic_prefix + "new"
    _send(embedded_kafka, topic, b"x")
    with _consumer(embedded_kafka) as consumer:
        assert consumer.partitions_for_topic(topic) == {0, 1, 2, 3}


def test_topics_cannot_be_made_by_request(embedded_kafka: KafkaSettings) -> None:
    with KafkaAdminClient(bootstrap_servers=embedded_kafka.bootstrap_servers, api_version=VERSION) as admin:
        with pytest.raises(UnknownBrokerIdError):
            admin.create_topics([NewTopic(embedded_kafka.topic_prefix + "made", 2, 1)])


def test_groups_cannot_be_described(embedded_kafka: KafkaSettings) -> None:
    with KafkaAdminClient(bootstrap_servers=embedded_kafka.bootstrap_servers, api_version=VERSION) as admin:
        with pytest.raises(KafkaConnectionError):
            admin.describe_groups([embedded_kafka.topic_prefix + "group"])


def test_committed_transactions_can_be_read_to_the_end(embedded_kafka: KafkaSettings) -> None:
    """Later mocks than the extra allows write markers that a checking consumer stops at."""
    topic = embedded_kafka.topic_prefix + "transactions"
    with _producer(embedded_kafka, transactional_id=topic) as producer:
        producer.init_transactions()
        for number in range(3):
            producer.begin_transaction()
            producer.send(topic, b"%d" % number, partition=0)
            producer.commit_transaction()
    assert _read(embedded_kafka, topic, 3) == [b"0", b"1", b"2"]


def test_transactions_mean_nothing_to_it(embedded_kafka: KafkaSettings) -> None:
    topic, group = embedded_kafka.topic_prefix + "transactions", embedded_kafka.topic_prefix + "group"
    partition = TopicPartition(topic, 0)
    with _producer(embedded_kafka, transactional_id=topic) as producer:
        producer.init_transactions()
        producer.begin_transaction()
        producer.send(topic, b"aborted", partition=0)
        producer.flush()
        producer.abort_transaction()
        producer.begin_transaction()
        producer.send_offsets_to_transaction({partition: OffsetAndMetadata(1, "", -1)}, group)
        producer.commit_transaction()
    assert _read(embedded_kafka, topic, 1) == [b"aborted"]
    with _consumer(embedded_kafka, group_id=group) as consumer:
        assert consumer.committed(partition) is None
        consumer.assign([partition])
        consumer.commit({partition: OffsetAndMetadata(1, "", -1)})
        assert consumer.committed(partition) == 1


def test_it_knows_no_offsets_by_time(embedded_kafka: KafkaSettings) -> None:
    topic = embedded_kafka.topic_prefix + "timed"
    _send(embedded_kafka, topic, b"x")
    with _consumer(embedded_kafka) as consumer:
        assert consumer.offsets_for_times({TopicPartition(topic, 0): 0}) == {TopicPartition(topic, 0): None}


def test_a_missing_wheel_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    with pytest.raises(ConfigurationError, match=r"confluent-kafka, which is not installed.*skureel\[embedded\]"):
        with embedded_broker():
            pass


@contextmanager
def _producer(settings: KafkaSettings, **more: object) -> Iterator[KafkaProducer]:
    producer = KafkaProducer(
        bootstrap_servers=settings.bootstrap_servers,
        api_version=VERSION,
        enable_idempotence=True,
        max_request_size=8 * MIB,
        **more,
    )
    try:
        yield producer
    finally:
        producer.close(timeout=5)


@contextmanager
def _consumer(settings: KafkaSettings, **more: object) -> Iterator[KafkaConsumer]:
    consumer = KafkaConsumer(
        bootstrap_servers=settings.bootstrap_servers, api_version=VERSION, isolation_level="read_committed", **more
    )
    try:
        yield consumer
    finally:
        consumer.close(autocommit=False)


def _send(settings: KafkaSettings, topic: str, value: bytes) -> None:
    with _producer(settings) as producer:
        producer.send(topic, value, partition=0).get(60)


def _read(settings: KafkaSettings, topic: str, count: int) -> list[bytes]:
    values: list[bytes] = []

    def enough() -> bool:
        for records in consumer.poll(200).values():
            values.extend(record.value for record in records)
        return len(values) >= count

    with _consumer(settings) as consumer:
        consumer.assign([TopicPartition(topic, 0)])
        consumer.seek_to_beginning()
        eventually(enough, describe=lambda: f"{count} records; there are {values!r:.200}")
    return values
