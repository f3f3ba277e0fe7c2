"""The fixtures themselves: a record and an object go through whatever they yield."""

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from shared.objects import ObjectStore
from shared.settings import KafkaSettings, ObjectSettings
from tests.servers import make_topics


def test_a_broker_takes_and_gives_a_record(kafka_broker: KafkaSettings) -> None:
    make_topics(kafka_broker, "things")
    topic = kafka_broker.topic_prefix + "things"
    version = tuple(map(int, kafka_broker.api_version.split("."))) if kafka_broker.api_version else None
    common = {"bootstrap_servers": kafka_broker.bootstrap_servers, "api_version": version}
    with KafkaProducer(**common) as producer:
        producer.send(topic, b"value", key=b"key", headers=[("ce_id", b"1")], partition=0).get(60)
    with KafkaConsumer(**common, isolation_level="read_committed", consumer_timeout_ms=10_000) as consumer:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        consumer.seek_to_beginning()
        record = next(consumer)
    assert (record.key, record.value, record.headers) == (b"key", b"value", [("ce_id", b"1")])


def test_a_store_takes_and_gives_an_object(object_store: ObjectSettings) -> None:
    store = ObjectStore(object_store)
    store.check()
    assert store.put_new("a/b", b"bytes", "text/plain")
    assert store.get("a/b") == b"bytes"
