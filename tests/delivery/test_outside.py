"""What stands outside the worker: topics, the publisher and the tail."""

import random

import pytest
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.errors import TopicAuthorizationFailedError

from shared.errors import ConfigurationError, PermanentError, TemporaryError
from shared.events import EVENT_TYPES
from shared.kafka import Publisher, Unreadable, check, create_topics, needed_topics, tail
from shared.kafka.client import connection
from shared.kafka.operating import tailing
from shared.settings import KafkaSettings
from tests.delivery.harness import CREATED, ends, product_event, records_of

NOWHERE = KafkaSettings(bootstrap_servers="127.0.0.1:1")


def test_topics_are_made_once_and_then_all_there(kafka_broker: KafkaSettings) -> None:
    made = create_topics(kafka_broker, partitions=2, replication=1)
    assert set(made) == set(needed_topics(kafka_broker))
    assert create_topics(kafka_broker, partitions=2, replication=1) == ()
    assert "all" in check(kafka_broker)


def test_consumed_types_have_retry_and_dead_letter_topics() -> None:
    names = needed_topics(KafkaSettings(topic_prefix="x."))
    assert {f"x.{name}" for name in EVENT_TYPES} <= set(names)
    assert {"x.product.created.retry.30s", "x.product.updated.retry.300s", "x.video.requested.bulk.dlq"} <= set(names)
    assert not {"x.video.ready.dlq", "x.video.review.retry.30s"} & set(names)


@pytest.mark.connected
def test_dead_letter_topics_hold_whatever_can_be_read(real_kafka: KafkaSettings) -> None:
    create_topics(real_kafka, partitions=3, replication=1)
    assert len(ends(real_kafka)) == 3
    names = [real_kafka.topic_prefix + CREATED, real_kafka.topic_prefix + CREATED + ".dlq"]
    with KafkaAdminClient(**connection(real_kafka, client_id="test-admin")) as admin:
        found = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in names])
    text = str(found)
    assert text.count("max.message.bytes") == 2
    with Publisher(real_kafka) as publisher:
        publisher.publish_raw(names[0], b"k", b"x" * (real_kafka.max_request_size_bytes - 2_000))
        publisher.publish_raw(names[1], b"k", b"x" * real_kafka.max_request_size_bytes, [("h", b"y" * 200_000)])
    assert len(records_of(real_kafka, CREATED + ".dlq")) == 1


@pytest.mark.connected
def test_missing_topics_are_named(real_kafka: KafkaSettings) -> None:
    with pytest.raises(ConfigurationError, match=r"video\.requested\.bulk\.dlq.*skureel topics create"):
        check(real_kafka)


@pytest.mark.slow
def test_a_broker_that_is_not_there_is_named() -> None:
    with pytest.raises(TemporaryError, match=r"127\.0\.0\.1:1"):
        check(NOWHERE)


def test_no_broker_set_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="SKUREEL_KAFKA__BOOTSTRAP_SERVERS"):
        check(KafkaSettings())


def test_a_sasl_protocol_without_credentials_is_a_configuration_error() -> None:
    settings = KafkaSettings(bootstrap_servers="h:1", security_protocol="SASL_SSL", sasl_mechanism="PLAIN")
    with pytest.raises(ConfigurationError, match="SASL_PASSWORD"):
        connection(settings, client_id="c")


def test_security_settings_reach_the_client() -> None:
    settings = KafkaSettings(
        bootstrap_servers="a:1, b:2",
        security_protocol="SASL_SSL",
        sasl_mechanism="SCRAM-SHA-512",
        sasl_username="u",
        sasl_password="p",  # type: ignore[arg-type]  # settings come as text
        ssl_cafile="/ca.pem",  # type: ignore[arg-type]  # as above
    )
    arguments = connection(settings, client_id="c")
    assert arguments["bootstrap_servers"] == ["a:1", "b:2"]
    assert (arguments["sasl_plain_username"], arguments["sasl_plain_password"]) == ("u", "p")
    assert arguments["ssl_cafile"] == "/ca.pem"


def test_the_tail_yields_events_and_reports_the_rest(kafka_broker: KafkaSettings) -> None:
    create_topics(kafka_broker, partitions=1, replication=1)
    with Publisher(kafka_broker) as publisher:
        publisher.publish(product_event("p-1"))
        publisher.publish_raw(kafka_broker.topic_prefix + CREATED, b"k", b"\xff")
        publisher.publish(product_event("p-2"))
    unreadable: list[Unreadable] = []
    events = list(
        tail(kafka_broker, [CREATED], from_beginning=True, timeout_seconds=3, on_unreadable=unreadable.append)
    )
    assert sorted(event.data.product_id for event in events) == ["p-1", "p-2"]
    assert [found.error.reason for found in unreadable] == ["not-a-cloudevent"]


def test_the_tail_ends_where_it_may_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refused:
        def partitions_for_topic(self, topic: str) -> set[int]:
            return {0}

        def subscribe(self, topics: list[str]) -> None: ...

        def poll(self, timeout_ms: int) -> None:
            raise TopicAuthorizationFailedError({CREATED})

        def close(self, autocommit: bool) -> None: ...

    monkeypatch.setattr(tailing, "check_listeners", lambda _: None)
    monkeypatch.setattr(tailing, "open_consumer", lambda *_, **__: Refused())
    with pytest.raises(ConfigurationError, match=r"check credentials and ACLs"):
        next(tail(NOWHERE, [CREATED]))


def test_the_tail_ends_when_it_is_told(kafka_broker: KafkaSettings) -> None:
    create_topics(kafka_broker, partitions=1, replication=1)
    with Publisher(kafka_broker) as publisher:
        for number in range(5):
            publisher.publish(product_event(f"p-{number}"))
    assert len(list(tail(kafka_broker, [CREATED], from_beginning=True, max_events=2))) == 2
    assert list(tail(kafka_broker, [CREATED], from_beginning=True, stop=lambda: True)) == []


def test_a_record_larger_than_the_limit_is_refused_at_once(kafka_broker: KafkaSettings) -> None:
    create_topics(kafka_broker, partitions=1, replication=1)
    settings = kafka_broker.model_copy(update={"max_request_size_bytes": 1000})
    with Publisher(settings) as publisher, pytest.raises(PermanentError) as caught:
        publisher.publish_raw(kafka_broker.topic_prefix + CREATED, b"k", b"x" * 400_000)
    assert caught.value.reason == "too-large"


@pytest.mark.connected
def test_what_could_not_be_sent_is_raised_when_the_publisher_closes(real_kafka: KafkaSettings) -> None:
    with KafkaAdminClient(**connection(real_kafka, client_id="test-admin")) as admin:
        from kafka.admin import NewTopic

        small = NewTopic(real_kafka.topic_prefix + CREATED, 1, 1, topic_configs={"max.message.bytes": "500"})
        admin.create_topics([small])
    publisher = Publisher(real_kafka)
    publisher.__enter__()
    publisher.publish_raw(real_kafka.topic_prefix + CREATED, b"k", random.Random(1).randbytes(5000))
    with pytest.raises(PermanentError, match="1 records"):
        publisher.__exit__(None, None, None)
