"""A broker's log that is damaged on disk: whoever reads it goes on behind the damage, or says where it holds."""

import logging
import struct
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import pytest
from kafka import KafkaProducer
from prometheus_client import generate_latest

from shared.errors import TemporaryError
from shared.events import Event
from shared.events.cloudevents import to_kafka
from shared.kafka import History, Publisher, Unreadable, list_dead_letters, replay_dead_letters, tail
from shared.kafka.client import connection, retry_topic
from shared.settings import KafkaSettings
from tests.delivery.conftest import SESSION_MS, with_short_sessions
from tests.delivery.harness import (
    CREATED,
    Answering,
    answered,
    committed,
    ends,
    make_delivery_topics,
    product_event,
    running,
)
from tests.polling import eventually
from tests.servers import RealKafka, make_topics

pytestmark = pytest.mark.connected

UPDATED = "product.updated"
BATCH = 5
LENGTH_AT = 8
RECORDS_AT = 80


@pytest.fixture
def settings(breakable_kafka: RealKafka, prefix_of_its_own: Callable[[KafkaSettings], KafkaSettings]) -> KafkaSettings:
    settings = with_short_sessions(prefix_of_its_own(breakable_kafka.settings), SESSION_MS)
    make_delivery_topics(settings, partitions=3)
    return settings


def publish(settings: KafkaSettings, codec: str | None = None, *, prefix: str = "") -> list[list[str]]:
    """Three batches of five products in each partition; the product ids of each partition."""
    ids = [[f"{prefix}{partition}-{number}" for number in range(3 * BATCH)] for partition in range(3)]
    producer = KafkaProducer(**connection(settings, client_id="test"), compression_type=codec, linger_ms=60_000)
    for start in range(0, 3 * BATCH, BATCH):
        for partition in range(3):
            for product_id in ids[partition][start : start + BATCH]:
                message = to_kafka(product_event(product_id))
                producer.send(
                    settings.topic_prefix + CREATED,
                    message.value,
                    message.key,
                    message.headers,
                    partition=partition,
                )
        producer.flush(timeout=30)
    producer.close(timeout=10)
    return ids


def damage(server: RealKafka, settings: KafkaSettings, partition: int, number: int, place: int) -> None:
    """Flip a bit of a batch where it lies on the broker's disk, at a place counted from the batch's begin."""
    log: Path = server.logs / f"{settings.topic_prefix}{CREATED}-{partition}" / "00000000000000000000.log"
    with log.open("r+b") as file:
        raw = file.read()
        begin = 0
        for _ in range(number):
            (length,) = struct.unpack_from(">i", raw, begin + LENGTH_AT)
            begin += 12 + length
        file.seek(begin + place)
        file.write(bytes([raw[begin + place] ^ 0x40]))


def held(worker: object) -> float:
    text = generate_latest(worker.metrics.registry).decode()  # type: ignore[attr-defined]
    return float(text.split("\nskureel_held_partitions ")[1].split("\n")[0])


@pytest.mark.parametrize("codec", [None, "gzip", "snappy", "lz4", "zstd"])
def test_a_flipped_byte_is_a_dead_letter_and_everything_else_goes_on(
    codec: str | None, breakable_kafka: RealKafka, settings: KafkaSettings
) -> None:
    ids = publish(settings, codec)
    damage(breakable_kafka, settings, 0, 1, RECORDS_AT)
    expected = sorted(set(chain(*ids)) - set(ids[0][BATCH : 2 * BATCH]))
    with running(Answering(), settings) as worker:
        eventually(lambda: sorted(answered(settings)) == expected)
        eventually(lambda: committed(settings, worker.group) == ends(settings))
    [letter] = list_dead_letters(settings)
    assert letter.story.reason == "unreadable-batch"
    assert (letter.story.topic, letter.story.partition, letter.story.offset) == (settings.topic_prefix + CREATED, 0, 5)
    assert letter.value is not None
    assert len(letter.value) > RECORDS_AT
    assert "cannot be read at the offsets 5 to 9" in letter.story.message
    # Its bytes are no record that could be sent.
    done = replay_dead_letters(settings)
    assert done.sent == 0
    assert "could not be read" in done.parked[0]


def test_damage_of_another_epoch_than_what_lies_before_is_met_once(
    breakable_kafka: RealKafka, settings: KafkaSettings, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever asks behind it in the epoch of what lies before is sent back by the broker, to the damage again."""
    before = publish(settings)
    breakable_kafka.stop()
    breakable_kafka.start()
    behind = publish(settings, prefix="later-")
    damage(breakable_kafka, settings, 0, 3, RECORDS_AT)
    expected = sorted(set(chain(*before, *behind)) - set(behind[0][:BATCH]))
    with running(Answering(), settings) as worker:
        eventually(lambda: sorted(answered(settings)) == expected)
        eventually(lambda: committed(settings, worker.group) == ends(settings))
    assert len(list(list_dead_letters(settings))) == 1
    assert "went back" not in caplog.text


def test_a_length_that_cannot_be_holds_its_partition_and_says_so(
    breakable_kafka: RealKafka, settings: KafkaSettings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, "shared.kafka.mends")
    ids = publish(settings)
    damage(breakable_kafka, settings, 1, 1, LENGTH_AT)
    expected = sorted(ids[0] + ids[1][:BATCH] + ids[2])
    with running(Answering(), settings) as worker:
        eventually(lambda: sorted(answered(settings)) == expected)
        eventually(lambda: held(worker) == 1)
        assert committed(settings, worker.group) == {**ends(settings), 1: BATCH}
        assert worker.live()
    told = [record.getMessage() for record in caplog.records if record.name == "shared.kafka.mends"]
    assert f"{CREATED}[1] cannot be read on from offset 5: the broker gives nothing, and has 10 offsets more" in told[0]


class Lanes(Answering):
    consumes = (CREATED, UPDATED)


def test_a_held_partition_holds_up_no_less_urgent_lane(breakable_kafka: RealKafka, settings: KafkaSettings) -> None:
    publish(settings)
    make_topics(
        settings, UPDATED, UPDATED + ".dlq", *(retry_topic(UPDATED, delay) for delay in (30.0, 300.0)), partitions=3
    )
    damage(breakable_kafka, settings, 1, 0, LENGTH_AT)
    updates = [f"u-{number}" for number in range(9)]
    with Publisher(settings) as publisher:
        for product_id in updates:
            event = product_event(product_id)
            publisher.publish(Event(UPDATED, event.source, event.id, event.data, event.time))
    with running(Lanes(), settings) as worker:
        eventually(lambda: set(updates) <= set(answered(settings)), 60)
        assert worker.ready(), "a roll-out must not wait for a broker's disk"
        assert f"{settings.topic_prefix}{CREATED}[1]: " in (worker.notice() or "")


def test_what_operators_read_goes_on_behind_the_damage_and_names_it(
    breakable_kafka: RealKafka, settings: KafkaSettings
) -> None:
    ids = publish(settings, "gzip")
    damage(breakable_kafka, settings, 0, 1, RECORDS_AT)
    expected = sorted(set(chain(*ids)) - set(ids[0][BATCH : 2 * BATCH]))
    unreadable: list[Unreadable] = []
    events = tail(settings, [CREATED], from_beginning=True, timeout_seconds=3.0, on_unreadable=unreadable.append)
    assert sorted(event.data.product_id for event in events) == expected
    assert [(found.partition, found.offset, found.error.reason) for found in unreadable] == [(0, 5, "unreadable-batch")]
    unreadable.clear()
    with History(settings, [CREATED], since_ms=1_000, on_unreadable=unreadable.append) as history:
        assert sorted(past.event.data.product_id for past in history.read()) == expected
    assert [found.offset for found in unreadable] == [5]


def test_a_past_that_cannot_be_read_on_is_read_as_far_as_it_goes_and_then_named(
    breakable_kafka: RealKafka, settings: KafkaSettings
) -> None:
    ids = publish(settings)
    damage(breakable_kafka, settings, 1, 0, LENGTH_AT)
    came: list[str] = []
    with History(settings, [CREATED]) as history, pytest.raises(TemporaryError, match=r"\[1\] cannot be read on: "):
        came.extend(past.event.data.product_id for past in history.read())
    assert sorted(came) == sorted(ids[0] + ids[2])
