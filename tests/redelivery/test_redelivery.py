"""Due records go back to their topics, each once, as they are, and none waits for another's delay."""

import time
from collections.abc import Iterable
from typing import Any

import pytest
from kafka import KafkaProducer

from functions.redeliver import build
from shared.errors import TemporaryError
from shared.events import Event
from shared.events.cloudevents import to_kafka
from shared.kafka import create_topics
from shared.kafka.client import producer_arguments, retry_topic
from shared.kafka.runtime import membership
from shared.settings import KafkaSettings, Settings
from tests.delivery.harness import (
    ANSWER,
    CREATED,
    Answering,
    Clock,
    answered,
    committed,
    ends,
    headers_of,
    make_delivery_topics,
    product_event,
    publish_products,
    records_of,
    running,
)
from tests.polling import eventually
from tests.servers import make_topics

REDELIVER = build(Settings.model_construct())


def put(
    settings: KafkaSettings, topic: str, keys: Iterable[str], *, age: float = 0.0, partition: int | None = None
) -> None:
    """Lay records into a topic, named without prefix, that were written `age` seconds ago."""
    producer = KafkaProducer(**producer_arguments(settings, client_id="test-producer"))
    try:
        for key in keys:
            producer.send(
                settings.topic_prefix + topic,
                f"value of {key}".encode(),
                key.encode(),
                [("x", b"\xff\x00"), ("x", b"again")],
                partition=partition,
                timestamp_ms=int((time.time() - age) * 1000),
            )
        producer.flush(30)
    finally:
        producer.close()


def put_event(settings: KafkaSettings, product_id: str, *, partition: int) -> None:
    """Publish a product event to a partition of its producer's choice."""
    message = to_kafka(product_event(product_id, event_id=f"e-{partition}"))
    producer = KafkaProducer(**producer_arguments(settings, client_id="test-producer"))
    try:
        producer.send(settings.topic_prefix + CREATED, message.value, message.key, message.headers, partition).get(30)
    finally:
        producer.close()


def keys_of(settings: KafkaSettings, topic: str = CREATED) -> list[str]:
    return [record.key.decode() for record in records_of(settings, topic)]


def test_a_temporary_failure_comes_back_when_it_is_due(kafka_broker: KafkaSettings) -> None:
    settings = kafka_broker.model_copy(update={"retry_delays_seconds": (30.0, 300.0), "retries_in_place": 0})
    make_delivery_topics(settings, partitions=1)
    clock = Clock()

    def behave(event: Event[Any]) -> None:
        if event.data.product_id == "p-bad":
            raise TemporaryError("the store does not answer")

    function = Answering(behave)
    publish_products(settings, ["p-bad", "p-1"])
    with running(function, settings, clock=clock), running(REDELIVER, settings, clock=clock) as redeliver:
        eventually(lambda: answered(settings) == ["p-1"])
        eventually(lambda: len(records_of(settings, CREATED + ".retry.30s")) == 1)
        paused = redeliver.metrics.registry.get_sample_value
        eventually(lambda: paused("skureel_paused_partitions") == 1)
        clock.now += 28
        publish_products(settings, ["p-2"])
        eventually(lambda: "p-2" in answered(settings))
        assert function.handled.count("p-bad") == 1, "retried before it was due"
        clock.now += 40
        eventually(lambda: function.handled.count("p-bad") == 2)
        eventually(lambda: len(records_of(settings, CREATED + ".retry.300s")) == 1)
        clock.now += 400
        eventually(lambda: records_of(settings, CREATED + ".dlq"))
        for topic in (CREATED + ".retry.30s", CREATED + ".retry.300s"):
            eventually(lambda: committed(settings, redeliver.group, topic) == ends(settings, topic))  # noqa: B023 - called at once
    assert function.handled.count("p-bad") == 3
    (first,), (second,) = (records_of(settings, f"{CREATED}.retry.{delay}") for delay in ("30s", "300s"))
    (dead,) = records_of(settings, CREATED + ".dlq")
    for number, record in enumerate((first, second, dead), start=1):
        told = headers_of(record)
        assert told["ce_id"] == "e-0-p-bad"
        assert told["skureel.attempts"] == str(number)
        assert told["skureel.rounds"] == str(min(number, 2))
        assert told["__connect.errors.topic"] == settings.topic_prefix + CREATED
        assert told["__connect.errors.offset"] == "0"
        assert told["skureel.first-failed-at"] == headers_of(first)["skureel.first-failed-at"]
        assert told["skureel.written-at"] == headers_of(first)["skureel.written-at"]
        assert (record.key, record.value) == (first.key, first.value)
    assert headers_of(dead)["skureel.reason"] == "temporary"


def test_what_is_still_missing_in_the_last_round_is_answered_and_no_dead_letter(kafka_broker: KafkaSettings) -> None:
    settings = kafka_broker.model_copy(update={"retry_delays_seconds": (30.0, 300.0), "retries_in_place": 0})
    make_delivery_topics(settings, partitions=1)
    clock = Clock()
    rounds: list[bool] = []

    def behave(event: Event[Any]) -> None:
        rounds.append(event.last_round)
        if not event.last_round:
            raise TemporaryError("the photo is not there yet")

    publish_products(settings, ["p-1"])
    with running(Answering(behave), settings, clock=clock), running(REDELIVER, settings, clock=clock):
        for delay in ("30s", "300s"):
            eventually(lambda: records_of(settings, f"{CREATED}.retry.{delay}"))  # noqa: B023 - called at once
            clock.now += 400
        eventually(lambda: answered(settings) == ["p-1"])
    assert rounds == [False, False, True]
    assert records_of(settings, CREATED + ".dlq") == []


def test_a_record_comes_back_with_its_exact_bytes(kafka_broker: KafkaSettings) -> None:
    settings = kafka_broker.model_copy(update={"retry_delays_seconds": (30.0,)})
    make_delivery_topics(settings, partitions=1)
    put(settings, CREATED + ".retry.30s", ["a"], age=31)
    with running(REDELIVER, settings):
        eventually(lambda: records_of(settings, CREATED))
    (record,) = records_of(settings, CREATED)
    assert (record.key, record.value) == (b"a", b"value of a")
    assert list(record.headers) == [("x", b"\xff\x00"), ("x", b"again")]


def test_a_record_stays_in_its_partition_whatever_hash_chose_it(kafka_broker: KafkaSettings) -> None:
    """So that all events of a product meet at one worker."""
    settings = kafka_broker.model_copy(update={"retry_delays_seconds": (1.0,), "retries_in_place": 0})
    make_delivery_topics(settings)

    def fail(event: Event[Any]) -> None:
        raise TemporaryError("the store does not answer")

    put_event(settings, "p-1", partition=1)
    put_event(settings, "p-1", partition=3)
    with running(Answering(fail), settings), running(REDELIVER, settings):
        eventually(lambda: len(records_of(settings, CREATED + ".dlq")) == 2)
    for topic in (CREATED, CREATED + ".retry.1s"):
        assert {record.partition for record in records_of(settings, topic)} == {1, 3}


def test_where_a_topic_has_no_such_partition_the_key_decides(kafka_broker: KafkaSettings) -> None:
    settings = kafka_broker.model_copy(update={"retry_delays_seconds": (1.0,)})
    make_topics(settings, CREATED, partitions=1)
    make_topics(settings, CREATED + ".retry.1s", partitions=4)
    put(settings, CREATED + ".retry.1s", ["a", "b"], age=2, partition=3)
    with running(REDELIVER, settings):
        eventually(lambda: sorted(keys_of(settings)) == ["a", "b"])


def test_a_short_wait_is_not_behind_a_long_one(kafka_broker: KafkaSettings) -> None:
    settings = kafka_broker.model_copy(update={"retry_delays_seconds": (2.0, 40.0)})
    make_delivery_topics(settings, partitions=1)
    clock = Clock()
    with running(REDELIVER, settings, clock=clock):
        put(settings, CREATED + ".retry.40s", ["long"])
        put(settings, CREATED + ".retry.2s", ["short"])
        clock.now += 5
        eventually(lambda: keys_of(settings) == ["short"])
        clock.now += 60
        eventually(lambda: sorted(keys_of(settings)) == ["long", "short"])


def test_a_short_wait_is_not_behind_thousands_of_long_ones(kafka_broker: KafkaSettings) -> None:
    settings = kafka_broker.model_copy(update={"retry_delays_seconds": (1.0, 600.0)})
    make_delivery_topics(settings, partitions=1)
    put(settings, CREATED + ".retry.600s", [f"long-{number}" for number in range(3_999)])
    put(settings, CREATED + ".retry.1s", ["short"])
    with running(REDELIVER, settings):
        eventually(lambda: keys_of(settings) == ["short"])


def test_a_record_that_is_not_due_holds_its_own_partition_alone(kafka_broker: KafkaSettings) -> None:
    settings = kafka_broker.model_copy(update={"retry_delays_seconds": (600.0,)})
    make_delivery_topics(settings, partitions=4)
    topic = CREATED + ".retry.600s"
    put(settings, topic, ["due-0"], age=700, partition=0)
    put(settings, topic, ["waits"], partition=0)
    put(settings, topic, ["behind"], age=700, partition=0)
    put(settings, topic, ["due-1"], age=700, partition=1)
    clock = Clock()
    with running(REDELIVER, settings, clock=clock):
        eventually(lambda: sorted(keys_of(settings)) == ["due-0", "due-1"])
    # A worker that has seen a record counts its wait by a clock that nobody sets; the next one looks at its date.
    clock.now += 700
    with running(REDELIVER, settings, clock=clock):
        eventually(lambda: len(keys_of(settings)) == 4)


def test_records_keep_their_order(kafka_broker: KafkaSettings) -> None:
    settings = kafka_broker.model_copy(update={"retry_delays_seconds": (1.0,)})
    make_delivery_topics(settings, partitions=1)
    sent = [f"k-{number}" for number in range(500)]
    put(settings, CREATED + ".retry.1s", sent, age=2, partition=0)
    with running(REDELIVER, settings):
        eventually(lambda: len(keys_of(settings)) == len(sent))
    by_partition: dict[int, list[int]] = {}
    for record in records_of(settings, CREATED):
        by_partition.setdefault(record.partition, []).append(int(record.key.decode().removeprefix("k-")))
    assert all(numbers == sorted(numbers) for numbers in by_partition.values())


def test_what_waits_under_a_former_delay_is_carried_too(kafka_broker: KafkaSettings) -> None:
    settings = kafka_broker.model_copy(update={"retry_delays_seconds": ()})
    make_delivery_topics(settings, partitions=1)
    make_topics(settings, CREATED + ".retry.7s", partitions=1)
    put(settings, CREATED + ".retry.7s", ["a"], age=8)
    with running(REDELIVER, settings):
        eventually(lambda: keys_of(settings) == ["a"])


def test_a_retry_topic_that_appears_later_is_read(kafka_broker: KafkaSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "_METADATA_MS", 1_000)
    settings = kafka_broker.model_copy(update={"retry_delays_seconds": (1.0,)})
    make_delivery_topics(settings, partitions=1)
    put(settings, CREATED + ".retry.1s", ["first"], age=2)
    with running(REDELIVER, settings):
        eventually(lambda: keys_of(settings) == ["first"])
        make_topics(settings, "product.updated.retry.5s", "product.updated", partitions=1)
        put(settings, "product.updated.retry.5s", ["a"], age=6)
        eventually(lambda: keys_of(settings, "product.updated") == ["a"], 60)


def test_nothing_but_retry_topics_is_read(kafka_broker: KafkaSettings) -> None:
    create_topics(kafka_broker, partitions=1, replication=1)
    with running(REDELIVER, kafka_broker) as worker:
        eventually(lambda: worker.assigned)
        read = {partition.topic.removeprefix(kafka_broker.topic_prefix) for partition in worker.assigned}
    types = ("product.created", "product.updated", "video.requested", "video.requested.bulk")
    assert read == {retry_topic(name, delay) for name in types for delay in (30.0, 300.0)}
    assert records_of(kafka_broker, ANSWER) == []
