"""The way of a record, on the stand-in and on Apache Kafka: handled, answered, committed; poison, retries, order."""

import random
import threading
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import pytest

from shared.errors import ConfigurationError
from shared.events import Event, Product
from shared.events.cloudevents import to_kafka, to_structured
from shared.kafka import Publisher, Worker
from shared.kafka.client import FETCH_BYTES
from shared.settings import KafkaSettings
from tests.delivery.harness import (
    ANSWER,
    CREATED,
    NOW,
    Answering,
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

BINARY = to_kafka(product_event("p-0"))


def test_every_product_is_answered_once_and_lag_is_zero(kafka_broker: KafkaSettings) -> None:
    make_delivery_topics(kafka_broker)
    products = [f"p-{number}" for number in range(200)]
    publish_products(kafka_broker, products)
    function = Answering()
    with running(function, kafka_broker) as worker:
        eventually(lambda: len(answered(kafka_broker)) == len(products))
        eventually(lambda: committed(kafka_broker, worker.group) == ends(kafka_broker))
    assert sorted(answered(kafka_broker)) == sorted(products)
    assert sorted(function.handled) == sorted(products)


def test_a_restarted_worker_repeats_nothing(kafka_broker: KafkaSettings) -> None:
    make_delivery_topics(kafka_broker)
    publish_products(kafka_broker, ["p-1", "p-2", "p-3"])
    with running(Answering(), kafka_broker):
        eventually(lambda: len(answered(kafka_broker)) == 3)
    again = Answering()
    with running(again, kafka_broker) as worker:
        eventually(lambda: worker.ready())
        publish_products(kafka_broker, ["p-4"])
        eventually(lambda: len(answered(kafka_broker)) == 4)
    assert again.handled == ["p-4"]


def with_header(name: str, value: bytes) -> list[tuple[str, bytes]]:
    """The good event's headers with one changed, or, if it has none of that name, added."""
    return [(name, value), *[header for header in BINARY.headers if header[0] != name]]


POISON: list[tuple[str, bytes | None, bytes | None, list[tuple[str, bytes]]]] = [
    ("tombstone", b"p-1", None, [("ce_id", b"1")]),
    ("tombstone", None, None, []),
    ("not-a-cloudevent", b"\xff\xfe", b"\x00\xff plain bytes", []),
    ("not-a-cloudevent", b"", b"", []),
    ("no-id", b"p-1", BINARY.value, [header for header in BINARY.headers if header[0] != "ce_id"]),
    ("invalid-utf8", b"p-1", BINARY.value, with_header("ce_source", b"\xff")),
    ("invalid-utf8", b"p-1", b'{"product_id": "\xff", "name": "x"}', BINARY.headers),
    ("invalid-json", b"p-1", b"{", BINARY.headers),
    ("invalid-data", b"p-1", b'{"name": "no id"}', BINARY.headers),
    ("too-large", b"p-1", b'{"product_id": "p", "name": "' + b"x" * (2 * 1024 * 1024) + b'"}', BINARY.headers),
    ("unsupported-specversion", b"p-1", BINARY.value, with_header("ce_specversion", b"0.3")),
    ("unexpected-type", b"p-1", BINARY.value, with_header("ce_type", b"product.updated")),
    ("unknown-type", b"p-1", BINARY.value, with_header("ce_type", b"../../etc/passwd")),
    ("not-a-cloudevent", b"p-1", BINARY.value, with_header("ce_type", b"\xe2\x80\xaeforged\n")),
]


def test_poison_becomes_a_dead_letter_with_its_exact_bytes(kafka_broker: KafkaSettings) -> None:
    make_delivery_topics(kafka_broker, partitions=1)
    with Publisher(kafka_broker) as publisher:
        for number, (_, key, value, headers) in enumerate(POISON):
            mark = [("number", str(number).encode())]
            publisher.publish_raw(kafka_broker.topic_prefix + CREATED, key, value, [*headers, *mark])
            publisher.publish(product_event(f"good-{number}"))
    function = Answering()
    with running(function, kafka_broker):
        eventually(lambda: len(answered(kafka_broker)) == len(POISON))
        eventually(lambda: len(records_of(kafka_broker, CREATED + ".dlq")) == len(POISON))
    assert sorted(function.handled) == sorted(f"good-{number}" for number in range(len(POISON)))
    dead = {int(dict(record.headers)["number"]): record for record in records_of(kafka_broker, CREATED + ".dlq")}
    assert len(dead) == len(POISON)
    for number, (reason, key, value, headers) in enumerate(POISON):
        record = dead[number]
        assert (record.key, record.value) == (key, value), reason
        assert record.headers[: len(headers)] == headers
        told = dict(record.headers[len(headers) :])
        assert told["skureel.reason"].decode() == reason
        assert told["skureel.attempts"] == b"0"
        assert told["__connect.errors.topic"].decode() == kafka_broker.topic_prefix + CREATED
        assert told["__connect.errors.stage"] == b"decode"


def test_a_structured_event_with_ce_headers_is_handled(kafka_broker: KafkaSettings) -> None:
    make_delivery_topics(kafka_broker, partitions=1)
    headers = [("content-type", b"application/cloudevents+json"), ("ce_id", b"other"), ("ce_type", b"other")]
    with Publisher(kafka_broker) as publisher:
        topic = kafka_broker.topic_prefix + CREATED
        publisher.publish_raw(topic, None, to_structured(product_event("p-1")), headers)
    with running(Answering(), kafka_broker):
        eventually(lambda: answered(kafka_broker) == ["p-1"])


def test_equal_keys_are_handled_in_order_and_never_together(kafka_broker: KafkaSettings) -> None:
    make_delivery_topics(kafka_broker, partitions=1)
    active: dict[str, int] = defaultdict(int)
    order: dict[str, list[str]] = defaultdict(list)
    overlapped = threading.Event()
    together = threading.Barrier(2)
    wrong: list[str] = []

    def behave(event: Event[Any]) -> None:
        key = event.data.product_id
        active[key] += 1
        if active[key] > 1:
            wrong.append(key)
        order[key].append(event.id)
        if not overlapped.is_set():
            try:
                together.wait(5)
                overlapped.set()
            except threading.BrokenBarrierError:
                pass
        active[key] -= 1

    products = ["a", "a", "a", "b", "b", "a"] * 10
    publish_products(kafka_broker, products)
    with running(Answering(behave), kafka_broker):
        eventually(lambda: len(answered(kafka_broker)) == len(products))
    assert wrong == []
    assert overlapped.is_set(), "different keys never overlapped"
    for key in ("a", "b"):
        assert order[key] == [f"e-{number}-{key}" for number, product in enumerate(products) if product == key]
    assert answered(kafka_broker).count("a") == products.count("a")


def test_a_poison_key_does_not_hold_up_others(kafka_broker: KafkaSettings) -> None:
    make_delivery_topics(kafka_broker, partitions=1)
    release = threading.Event()
    # All three keys hash to one partition, be there one or the stand-in's four.
    slow, others = "p-5", {"p-1", "p-2"}

    def behave(event: Event[Any]) -> None:
        if event.data.product_id == slow:
            release.wait(30)

    function = Answering(behave)
    publish_products(kafka_broker, [slow, slow, *sorted(others)])
    with running(function, kafka_broker):
        eventually(lambda: others <= set(function.handled))
        assert function.handled.count(slow) == 1
        assert answered(kafka_broker) == [], "an output went out before the offsets below it were finished"
        release.set()
        eventually(lambda: len(answered(kafka_broker)) == 4)


def test_memory_is_bounded_by_pausing(kafka_broker: KafkaSettings) -> None:
    settings = kafka_broker.model_copy(update={"max_in_flight": 10, "handler_threads": 2})
    make_delivery_topics(settings, partitions=1)
    gate = threading.Event()
    large = Product(product_id="p-large", name="a red cup")
    with Publisher(settings) as publisher:
        for number in range(100):
            # Hexadecimal noise of 40 kB shrinks to half on the wire, and no further.
            pad = random.Random(number).randbytes(20_000).hex()
            publisher.publish(Event(CREATED, "/tests", f"e-{number}", large, NOW, extensions={"pad": pad}))
    with running(Answering(lambda event: gate.wait(30) and None), settings) as worker:
        value = worker.metrics.registry.get_sample_value
        try:
            eventually(lambda: value("skureel_paused_partitions"))
            # Above the limit by what one fetch brings.
            assert 10 <= (value("skureel_in_flight_records") or 0) <= 10 + FETCH_BYTES // 20_000
        finally:
            gate.set()
        eventually(lambda: len(answered(settings)) == 100)


def test_a_less_urgent_lane_waits_while_the_urgent_one_has_a_backlog(kafka_broker: KafkaSettings) -> None:
    class Lanes(Answering):
        name = "lanes"
        consumes = ("product.updated", CREATED)

    settings = kafka_broker.model_copy(update={"handler_threads": 1, "max_in_flight": 10})
    make_delivery_topics(settings)
    make_topics(settings, "product.updated")
    publish_products(settings, [f"bulk-{number}" for number in range(50)])
    with Publisher(settings) as publisher:
        for number in range(50):
            event = product_event(f"live-{number}")
            publisher.publish(Event("product.updated", event.source, event.id, event.data, event.time))
    function = Lanes()
    with running(function, settings):
        eventually(lambda: len(function.handled) == 100, 60)
    assert all(name.startswith("live-") for name in function.handled[:50]), function.handled


def test_a_misconfigured_process_stops_and_leaves_its_record(kafka_broker: KafkaSettings) -> None:
    make_delivery_topics(kafka_broker, partitions=1)
    publish_products(kafka_broker, ["p-1", "p-2"])

    def behave(event: Event[Any]) -> None:
        if event.data.product_id == "p-2":
            raise ConfigurationError("bucket skureel does not exist")

    # Not with `running`: this worker stops by itself.
    with pytest.raises(ConfigurationError, match="bucket"):
        Worker(Answering(behave), kafka_broker).run()
    assert records_of(kafka_broker, CREATED + ".dlq") == []
    again = Answering()
    with running(again, kafka_broker):
        eventually(lambda: "p-2" in answered(kafka_broker))
    assert again.handled == ["p-2"]


class Emitting(Answering):
    """Answers each product with many events, to see that they come out together."""

    def handle(self, event: Event[Any]) -> Sequence[Event[Any]]:
        (answer,) = super().handle(event)
        return [Event(answer.type, answer.source, f"{answer.id}-{n}", answer.data, answer.time) for n in range(3)]


def test_all_events_of_a_handler_go_out_in_their_order(kafka_broker: KafkaSettings) -> None:
    make_delivery_topics(kafka_broker, partitions=1)
    publish_products(kafka_broker, ["p-1"])
    with running(Emitting(), kafka_broker):
        eventually(lambda: len(records_of(kafka_broker, ANSWER)) == 3)
    ids = [headers_of(record)["ce_id"][-2:] for record in records_of(kafka_broker, ANSWER)]
    assert ids == ["-0", "-1", "-2"]
