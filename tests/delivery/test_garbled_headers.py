"""A header's name that is not UTF-8, which brokers take and Python producers cannot send, stops nobody."""

import pytest
from kafka import KafkaProducer
from kafka.record.default_records import DefaultRecordBatchBuilder

from shared.kafka import Unreadable, list_dead_letters, replay_dead_letters, tail
from shared.kafka.batches import Fetched, Limits
from shared.kafka.client import connection
from shared.kafka.reading import GarbledName
from shared.settings import KafkaSettings
from tests.delivery.harness import (
    CREATED,
    Answering,
    answered,
    committed,
    ends,
    make_delivery_topics,
    publish_products,
    records_of,
    running,
)
from tests.polling import eventually

RAW = b"tr\xffce"


class _Name(str):
    """A name that goes out as RAW, whatever is read here."""

    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return RAW


def send_garbled(settings: KafkaSettings, compression: str | None) -> None:
    producer = KafkaProducer(**connection(settings, client_id="garbling"), compression_type=compression, linger_ms=500)
    topic = settings.topic_prefix + CREATED
    for number in range(3):
        producer.send(topic, b"v" * 200, b"\xfe\x00", [("own", b"\x00\xff"), (_Name("x"), str(number).encode())])
        producer.send(topic, b"plain", b"k", [("own", b"1")])
    producer.close(timeout=10)


@pytest.mark.connected
@pytest.mark.parametrize("compression", [None, "gzip"])
def test_a_garbled_header_is_a_dead_letter_with_its_exact_bytes(
    real_kafka: KafkaSettings, compression: str | None
) -> None:
    make_delivery_topics(real_kafka, partitions=1)
    publish_products(real_kafka, ["before"])
    send_garbled(real_kafka, compression)
    publish_products(real_kafka, ["after"])
    with running(Answering(), real_kafka) as worker:
        eventually(lambda: answered(real_kafka) == ["before", "after"], 60)
        eventually(lambda: committed(real_kafka, worker.group) == ends(real_kafka))
    dead = [record for record in records_of(real_kafka, CREATED + ".dlq") if record.key == b"\xfe\x00"]
    assert len(dead) == 3
    for number, record in enumerate(dead):
        assert record.value == b"v" * 200
        (name, raw), *told = [header for header in record.headers if header[0] != "own"]
        assert isinstance(name, GarbledName)
        assert (name.encode(), raw) == (RAW, str(number).encode())
        assert dict(told)["skureel.reason"] == b"invalid-utf8"
    unreadable: list[Unreadable] = []
    events = list(tail(real_kafka, [CREATED], from_beginning=True, max_events=2, on_unreadable=unreadable.append))
    assert [event.data.product_id for event in events] == ["before", "after"]
    assert [found.error.reason for found in unreadable] == ["invalid-utf8", "not-a-cloudevent"] * 3
    # Sent again, it comes back with the same bytes.
    letters = [letter for letter in list_dead_letters(real_kafka, [dead[0].topic]) if letter.key == b"\xfe\x00"]
    replay_dead_letters(real_kafka, [letters[0].place])
    last = records_of(real_kafka, CREATED)[-1]
    assert RAW in [name.encode() for name, _ in last.headers]


def test_a_batch_of_garbled_headers_is_read_in_one_pass() -> None:
    builder = DefaultRecordBatchBuilder(2, 0, False, -1, -1, -1, 1 << 24)
    for offset in range(20_000):
        builder.append(offset, 0, b"k", b"v" * 20, [(_Name("x"), b"1"), ("good", b"2")])
    limits = Limits(unpacked_bytes=1 << 24, raw_bytes=1 << 24)
    records = list(Fetched(bytes(builder.build()), CREATED, 0, position=0, limits=limits))
    assert len(records) == 20_000
    assert {record.headers[0][0].encode() for record in records} == {RAW}
    assert {record.headers[1][0] for record in records} == {"good"}
    assert {type(record.value) for record in records} == {bytes}
